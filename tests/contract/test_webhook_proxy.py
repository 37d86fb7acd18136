"""A webhook through a forward proxy: what each end sees, connections that are kept, whom the guard lets through, and
proxies that misbehave. Real sockets throughout.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
import uvloop

from destinations import egress
from destinations.tls import Tls
from destinations.webhook_access import Proxy
from pipeline.config.secret import Secret
from pipeline.model import DeliveryReason, Outcome, Result, Verdict
from tests.support.certificates import HOST, authority_in, showing, written
from tests.support.forward_proxy import CONNECTED, ForwardProxy, forward_proxy
from tests.support.internet import simulate
from tests.support.names import SILENCE, NameServer, name_server
from tests.support.receiver import (
    OK,
    Flood,
    Receiver,
    Reply,
    answer,
    drip,
    hang_up,
    listening,
    receiving,
    silence,
    then,
)
from tests.support.webhooks import SHORT_S, exchange_of, opened, sending, sent

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
SCHEMES = pytest.mark.parametrize("scheme", ["http", "https"])
PASSWORD = "correct horse"
LARGE = Result(status=200, headers=(("content-type", "text/plain"),), body=b"words " * 500_000)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    return authority_in(tmp_path, authority)


def proxied(proxy: ForwardProxy, password: str | None = None) -> Proxy:
    """Return the settings that lead through a proxy."""
    if password is None:
        return Proxy(url=proxy.url)
    return Proxy(url=proxy.url, username="sendoff", password=Secret(password))


def at(scheme: str, authority: trustme.CA, *replies: bytes | Reply) -> AbstractAsyncContextManager[Receiver]:
    """Have a receiver that speaks TLS or does not."""
    return receiving(*replies, tls=showing(authority.issue_cert(HOST)) if scheme == "https" else None)


def tls_of(scheme: str, ca: Path) -> Tls | None:
    return Tls(ca=ca) if scheme == "https" else None


# What each end sees


@LOOPS
@SCHEMES
@pytest.mark.parametrize("password", [None, PASSWORD])
def test_a_receiver_behind_a_proxy_is_called_over_kept_connections(
    loop: Callable[[], asyncio.AbstractEventLoop],
    scheme: str,
    password: str | None,
    authority: trustme.CA,
    ca: Path,
) -> None:
    async def call() -> None:
        credentials = password and f"sendoff:{password}"
        async with (
            at(scheme, authority) as receiver,
            forward_proxy(credentials=credentials) as proxy,
            opened(
                receiver.url,
                proxy=proxied(proxy, password),
                tls=tls_of(scheme, ca),
                bearer=Secret("t0ken"),
                inline_limit=2**24,
            ) as destination,
        ):
            for _ in range(3):
                outcome = await destination.send(sending())
                assert (outcome.verdict, outcome.body) == (Verdict.DELIVERED, b"ok"), outcome.message
                assert outcome.remote_address == "127.0.0.1"
            large = await asyncio.gather(*(destination.send(sending(result=LARGE)) for _ in range(4)))
            assert {each.verdict for each in large} == {Verdict.DELIVERED}
            assert len(exchange_of(destination)._idle) == 4
            assert proxy.connections == proxy.upstream == receiver.connections == 4
            for request in receiver.requests:
                assert request.path == "/hooks?a=1"
                assert request.headers["host"] == f"{HOST}:{receiver.port}"
                assert request.headers["authorization"] == "Bearer t0ken"
                assert not any(name.startswith("proxy-") for name in request.headers)
            seen = proxy.requests[0]
            assert all(("proxy-authorization" in each.headers) == (password is not None) for each in proxy.requests)
            if scheme == "http":
                assert (seen.method, seen.path) == ("POST", f"http://{HOST}:{receiver.port}/hooks?a=1")
                assert len(proxy.requests) == 7
            else:
                assert (seen.method, seen.path) == ("CONNECT", f"{HOST}:{receiver.port}")
                assert seen.headers["host"] == f"{HOST}:{receiver.port}"
                assert len(proxy.requests) == 4, "what goes through a tunnel is none of its business"
                assert "authorization" not in seen.headers

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(call())


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_proxies_of_the_environment_are_not_used(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, forward_proxy() as proxy:
        monkeypatch.setenv(variable, proxy.url)
        assert (await sent(receiver.url)).verdict is Verdict.DELIVERED
        assert proxy.connections == 0
        assert (await sent(receiver.url, proxy=proxied(proxy))).verdict is Verdict.DELIVERED
        assert proxy.connections == 1


async def test_a_client_certificate_is_shown_to_the_receiver_through_the_proxy(
    authority: trustme.CA, ca: Path, tmp_path: Path
) -> None:
    clients = trustme.CA()
    files = written(clients.issue_cert("sendoff@example.com"), tmp_path)
    shown: list[object] = []

    async def reply(writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("peercert")["subjectAltName"])
        writer.write(OK)

    tls = Tls(ca=ca, certificate=files.certificate, key=files.key)
    context = showing(authority.issue_cert(HOST), asks_by=clients)
    async with receiving(reply, tls=context) as receiver, forward_proxy() as proxy:
        assert (await sent(receiver.url, proxy=proxied(proxy), tls=tls)).verdict is Verdict.DELIVERED
    assert shown == [(("email", "sendoff@example.com"),)]


@SCHEMES
async def test_a_redirect_is_not_followed_through_a_proxy_either(scheme: str, authority: trustme.CA, ca: Path) -> None:
    moved = answer(307, "Location: http://elsewhere.example/\r\n")
    async with at(scheme, authority, moved) as receiver, forward_proxy() as proxy:
        outcome = await sent(receiver.url, proxy=proxied(proxy), tls=tls_of(scheme, ca))
    assert outcome.reason is DeliveryReason.REDIRECT
    assert len(proxy.requests) == len(receiver.requests) == 1


@SCHEMES
async def test_a_connection_that_the_receiver_ends_is_made_anew(scheme: str, authority: trustme.CA, ca: Path) -> None:
    closing = then(answer(200, "Connection: close\r\n"), lambda writer: writer.close())
    async with (
        at(scheme, authority, closing) as receiver,
        forward_proxy() as proxy,
        opened(receiver.url, proxy=proxied(proxy), tls=tls_of(scheme, ca)) as destination,
    ):
        for _ in range(3):
            assert (await destination.send(sending())).verdict is Verdict.DELIVERED
        assert not exchange_of(destination)._idle
        assert proxy.connections == 3


async def test_a_kept_tunnel_that_was_closed_is_replaced(authority: trustme.CA, ca: Path) -> None:
    async with (
        at("https", authority) as receiver,
        forward_proxy() as proxy,
        opened(receiver.url, proxy=proxied(proxy), tls=Tls(ca=ca)) as destination,
    ):
        assert (await destination.send(sending())).verdict is Verdict.DELIVERED
        for task in tuple(receiver.open):
            task.cancel()
        await receiver.abandoned()
        async with asyncio.timeout(10):
            while exchange_of(destination)._idle:
                await asyncio.sleep(0.01)
        assert (await destination.send(sending())).verdict is Verdict.DELIVERED
    assert proxy.connections == 2


@SCHEMES
async def test_the_receivers_own_answers_mean_what_they_always_mean(
    scheme: str, authority: trustme.CA, ca: Path
) -> None:
    async with at(scheme, authority, answer(503, "Retry-After: 7\r\n"), answer(410)) as receiver:
        async with forward_proxy() as proxy:
            settings = {"proxy": proxied(proxy), "tls": tls_of(scheme, ca)}
            unavailable, gone = await sent(receiver.url, **settings), await sent(receiver.url, **settings)
    assert (unavailable.reason, unavailable.status, unavailable.pause_s) == (DeliveryReason.HTTP_ERROR, 503, 7)
    assert (gone.reason, bool(gone.disables)) == (DeliveryReason.GONE, True)


# TLS with the receiver: the proxy changes nothing


def ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


@LOOPS
@pytest.mark.parametrize("fault", ["another's", "expired", "unknown"])
def test_a_receiver_that_cannot_be_trusted_is_not_called_through_a_proxy_either(
    loop: Callable[[], asyncio.AbstractEventLoop], fault: str, authority: trustme.CA, ca: Path
) -> None:
    certificate, sentence = {
        "another's": (authority.issue_cert("receiver.example"), "mismatch"),
        "expired": (authority.issue_cert(HOST, not_before=ago(60), not_after=ago(30)), "has expired"),
        "unknown": (trustme.CA().issue_cert(HOST), "unable to get local issuer certificate"),
    }[fault]

    async def call() -> None:
        async with receiving(tls=showing(certificate)) as receiver, forward_proxy() as proxy:
            outcome = await sent(receiver.url, proxy=proxied(proxy), tls=Tls(ca=ca))
            assert_failed(outcome, DeliveryReason.TLS_ERROR)
            assert outcome.message.startswith(f"{HOST}:{receiver.port}, through {proxy.name}: the certificate is not ")
            assert sentence in outcome.message
            assert (receiver.requests, len(proxy.requests)) == ([], 1)
            strangers = await sent(receiver.url, proxy=proxied(proxy))
            assert_failed(strangers, DeliveryReason.TLS_ERROR)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(call())


async def test_without_settings_the_system_is_trusted_behind_a_proxy(
    authority: trustme.CA, ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    async with at("https", authority) as receiver, forward_proxy() as proxy:
        assert (await sent(receiver.url, proxy=proxied(proxy))).verdict is Verdict.DELIVERED


# Proxies that misbehave


def assert_failed(outcome: Outcome, reason: DeliveryReason, message: str | None = None) -> None:
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, reason), outcome.message
    assert (outcome.status, outcome.retry_after_s) == (None, 60 if reason is DeliveryReason.TIMEOUT else None)
    assert message is None or outcome.message == message


TARGET = "https://receiver.example:4443/hook"
SAID = "HTTP/1.1 {} Said\r\nContent-Length: 3\r\n\r\nno!"
TUNNELS = {
    "403": (SAID.format(403).encode(), "http_error", "{proxy} does not connect to {target}: 403 Forbidden"),
    "502": (SAID.format(502).encode(), "http_error", "{proxy} does not connect to {target}: 502 Bad Gateway"),
    "599": (SAID.format(599).encode(), "http_error", "{proxy} does not connect to {target}: 599"),
    "302": (
        answer(302, "Location: http://login.example/\r\n"),
        "http_error",
        "{proxy} does not connect to {target}: 302 Found",
    ),
    "407": (
        answer(407, "Proxy-Authenticate: Basic\r\n"),
        "auth_error",
        "{proxy} wants other credentials (407): proxy: {{url, username, password}} names them",
    ),
    "silence": (silence, "timeout", "{proxy} has not connected to {target} within {short} s"),
    "a drip": (
        drip(b"HTTP/1.1 200 Connection established\r\n", 0.05),
        "timeout",
        "{proxy} has not connected to {target} within {short} s",
    ),
    "interim answers": (
        Flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "too_large",
        "{proxy}: the answer cannot be read: no end within 1048576 bytes",
    ),
    "a hang-up": (hang_up, "connection_reset", "{proxy} closed the connection before its answer"),
    "a hang-up in the head": (
        then(b"HTTP/1.1 200 Conn", lambda writer: writer.close()),
        "connection_reset",
        "{proxy} closed the connection before its answer",
    ),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", "http_error", None),
    "a head without end": (
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
        "too_large",
        "{proxy}: the answer cannot be read: it has more than 128 headers",
    ),
    "more than it has connected": (
        CONNECTED + b"welcome",
        "http_error",
        "{proxy} says more than that it has connected",
    ),
    "connected, then silence": (
        then(CONNECTED, lambda _: None),
        "timeout",
        "no TLS within {short} s with {target}, through {proxy}",
    ),
    "connected, then a hang-up": (
        then(CONNECTED, lambda writer: writer.close()),
        "connection_reset",
        "{target}, through {proxy}: the connection was closed before TLS was agreed upon",
    ),
}


@LOOPS
@pytest.mark.parametrize("manner", TUNNELS)
def test_a_proxy_that_does_not_open_a_tunnel_ends_in_time_with_a_class(
    loop: Callable[[], asyncio.AbstractEventLoop], manner: str
) -> None:
    says, reason, message = TUNNELS[manner]
    within = SHORT_S if reason == "timeout" else 10.0

    async def call() -> None:
        async with forward_proxy(says=says) as proxy:
            async with opened(TARGET, proxy=proxied(proxy), connect_timeout=within) as destination:
                outcome = await destination.send(sending())
                assert not exchange_of(destination)._idle
                assert not exchange_of(destination)._connector._acquired, "nothing is left of it"
            words = {"proxy": proxy.name, "target": "receiver.example:4443", "short": f"{SHORT_S:g}"}
            assert_failed(outcome, DeliveryReason(reason), message and message.format(**words))
            assert proxy.name in outcome.message
            assert proxy.connections == 1

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(call())


async def test_what_speaks_no_tls_behind_a_proxy_is_a_tls_error() -> None:
    async with receiving(OK) as receiver, forward_proxy() as proxy:
        url = receiver.url.replace("http:", "https:")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await reader.read(2**16)

        async with listening(serve) as port:
            outcome = await sent(url.replace(f":{receiver.port}", f":{port}"), proxy=proxied(proxy))
    where = f"{HOST}:{port}, through {proxy.name}"
    assert_failed(outcome, DeliveryReason.TLS_ERROR, f"{where}: what answers there speaks no TLS")


PLAIN = {
    "403": (SAID.format(403).encode(), "http_error", 403, "403 Forbidden"),
    "502": (SAID.format(502).encode(), "http_error", 502, "502 Bad Gateway"),
    "407": (
        answer(407, "Proxy-Authenticate: Basic\r\n", b"who?"),
        "auth_error",
        407,
        "{proxy} wants other credentials (407): proxy: {{url, username, password}} names them",
    ),
    "silence": (silence, "timeout", None, "no answer from {proxy} within {short} s"),
    "a drip": (drip(b"HTTP/1.1 200 OK\r\n", 0.05), "timeout", None, "no answer from {proxy} within {short} s"),
    "a hang-up": (hang_up, "connection_reset", None, "{proxy} closed the connection before its answer"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", "http_error", None, None),
}


@pytest.mark.parametrize("manner", PLAIN)
async def test_a_proxy_that_does_not_hand_on_ends_in_time_with_a_class(manner: str) -> None:
    says, reason, status, message = PLAIN[manner]
    async with forward_proxy(says=says) as proxy:
        timeout = SHORT_S if reason == "timeout" else 10.0
        outcome = await sent("http://receiver.example:8080/hook", proxy=proxied(proxy), timeout=timeout)
    assert (outcome.verdict, outcome.reason, outcome.status) == (Verdict.TEMPORARY, DeliveryReason(reason), status)
    assert outcome.retry_after_s == (60 if reason == "timeout" else None)
    words = {"proxy": proxy.name, "short": f"{SHORT_S:g}"}
    assert message is None or outcome.message == message.format(**words)


@SCHEMES
async def test_wrong_credentials_of_a_proxy_are_an_auth_error(scheme: str, authority: trustme.CA, ca: Path) -> None:
    async with at(scheme, authority) as receiver, forward_proxy(credentials=f"sendoff:{PASSWORD}") as proxy:
        for password in (None, "wrong"):
            settings = {"proxy": proxied(proxy, password), "tls": tls_of(scheme, ca)}
            outcome = await sent(receiver.url, **settings)
            assert outcome.reason is DeliveryReason.AUTH_ERROR
            assert proxy.name in outcome.message
        assert receiver.connections == 0


async def test_a_receivers_own_407_is_none_of_a_proxy(authority: trustme.CA, ca: Path) -> None:
    async with at("https", authority, answer(407)) as receiver, forward_proxy() as proxy:
        through = await sent(receiver.url, proxy=proxied(proxy), tls=Tls(ca=ca))
        straight = await sent(receiver.url, tls=Tls(ca=ca))
    assert {through.reason, straight.reason} == {DeliveryReason.HTTP_ERROR}


@SCHEMES
async def test_a_proxy_that_is_not_there_is_named_and_not_the_receiver(scheme: str) -> None:
    url = f"{scheme}://receiver.example/"
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    outcome = await sent(url, proxy=Proxy(url=f"http://{HOST}:{port}"))
    assert_failed(outcome, DeliveryReason.CONNECTION_REFUSED, f"the proxy {HOST}:{port}: Connection refused")


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NameServer]:
    async with name_server(monkeypatch) as server:
        yield server


@SCHEMES
async def test_names_of_proxies_are_looked_up_and_those_of_receivers_are_not(
    scheme: str, names: NameServer, authority: trustme.CA, ca: Path
) -> None:
    names.lead("proxy.example", "127.0.0.1")
    names.lead("slow.example", SILENCE)
    url = f"{scheme}://receiver.example:1/"
    unknown = await sent(url, proxy=Proxy(url="http://nowhere.example:3128"))
    assert_failed(unknown, DeliveryReason.DNS_ERROR)
    assert unknown.message.startswith("the proxy nowhere.example cannot be looked up: ")
    slow = await sent(url, proxy=Proxy(url="http://slow.example:3128"), connect_timeout=SHORT_S)
    sentence = f"the proxy slow.example was not looked up within {SHORT_S:g} s"
    assert_failed(slow, DeliveryReason.DNS_ERROR, sentence)
    async with receiving(tls=showing(authority.issue_cert("receiver.example")) if scheme == "https" else None) as it:
        async with forward_proxy() as proxy:
            through = Proxy(url=f"http://proxy.example:{proxy.port}")
            url = f"{scheme}://receiver.example:{it.port}/"
            assert (await sent(url, proxy=through, tls=tls_of(scheme, ca))).verdict is Verdict.DELIVERED
    assert names.asked["receiver.example"] == 0


async def test_a_proxy_that_does_not_take_the_connection_is_a_timeout() -> None:
    with socket.create_server((HOST, 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fill = [socket.socket() for _ in range(4)]  # a full backlog drops what comes after
        for each in fill:
            each.setblocking(False)
            each.connect_ex((HOST, port))
        outcome = await sent(TARGET, proxy=Proxy(url=f"http://{HOST}:{port}"), connect_timeout=SHORT_S)
        for each in fill:
            each.close()
    assert_failed(outcome, DeliveryReason.TIMEOUT, f"no connection within {SHORT_S:g} s to the proxy {HOST}:{port}")


async def test_cancelling_closes_what_was_begun() -> None:
    async with forward_proxy(says=silence) as proxy, opened(TARGET, proxy=proxied(proxy)) as destination:
        task = asyncio.create_task(destination.send(sending()))
        async with asyncio.timeout(10):
            while not proxy.requests:
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not exchange_of(destination)._connector._acquired


# The guard


METADATA = "169.254.169.254"


@SCHEMES
@pytest.mark.parametrize("address", [METADATA, "[::ffff:169.254.169.254]", "[fe80::1]", "168.63.129.16"])
async def test_a_proxy_at_a_blocked_address_is_not_dialled(
    scheme: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    internet = simulate(monkeypatch)
    async with forward_proxy(says=OK) as proxy:
        through = Proxy(url=f"http://{address}:{proxy.port}")
        outcome = await sent(f"{scheme}://receiver.example/", proxy=through)
        assert_failed(outcome, DeliveryReason.BLOCKED_ADDRESS)
        assert "link-local or metadata" in outcome.message
        assert (internet.dialled, proxy.connections) == ([], 0)


async def test_a_proxys_name_that_leads_to_a_blocked_address_is_not_dialled(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    internet = simulate(monkeypatch)
    names.lead("proxy.example", METADATA)
    outcome = await sent(TARGET, proxy=Proxy(url="http://proxy.example:3128"))
    assert_failed(outcome, DeliveryReason.BLOCKED_ADDRESS)
    assert outcome.message.startswith("the proxy 169.254.169.254 is a link-local or metadata address")
    assert internet.dialled == []


@SCHEMES
@pytest.mark.parametrize("host", [METADATA, "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "0xa9fea9fe"])
async def test_a_receiver_at_a_blocked_address_is_not_asked_of_a_proxy(scheme: str, host: str) -> None:
    async with forward_proxy() as proxy:
        outcome = await sent(f"{scheme}://{host}/latest/meta-data/", proxy=proxied(proxy))
        assert_failed(outcome, DeliveryReason.BLOCKED_ADDRESS)
        assert proxy.connections == 0


@SCHEMES
async def test_a_callers_private_address_is_not_asked_of_the_operators_private_proxy(
    scheme: str, authority: trustme.CA, ca: Path
) -> None:
    async with at(scheme, authority) as receiver, forward_proxy() as proxy:
        settings = {"proxy": proxied(proxy), "tls": tls_of(scheme, ca)}
        refused = await sent(receiver.url, trust=egress.CALLER, **settings)
        assert_failed(refused, DeliveryReason.BLOCKED_ADDRESS)
        assert proxy.connections == 0
        assert (await sent(receiver.url, **settings)).verdict is Verdict.DELIVERED
