"""A webhook through a forward proxy: what each end sees, kept connections, TLS, and whom the guard lets through.

Real sockets throughout; proxies that misbehave stand in `test_misbehaving_proxies`.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from destinations import egress
from destinations.dial import connector
from destinations.dial.credentials import Proxy
from destinations.dial.tls import Tls
from pipeline.config.secret import Secret
from pipeline.model import DeliveryReason, Result, Verdict
from tests.support.certificates import HOST, ago, showing, written
from tests.support.forward_proxy import forward_proxy
from tests.support.internet import simulate
from tests.support.loops import LOOPS
from tests.support.names import NameServer
from tests.support.proxied import PASSWORD, SCHEMES, TARGET, assert_failed, at, proxied, tls_of
from tests.support.receiver import (
    OK,
    answer,
    receiving,
    then,
)
from tests.support.webhooks import exchange_of, opened, sending, sent

LARGE = Result(status=200, headers=(("content-type", "text/plain"),), body=b"words " * 500_000)


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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connector, "IDLE_S", 600.0)  # longer than a busy machine takes for all of this

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
            kept = len(exchange_of(destination)._idle)
            assert proxy.connections == proxy.upstream == receiver.connections == kept <= 4
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
                assert len(proxy.requests) == kept, "what goes through a tunnel is none of its business"
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
    replies = (answer(503, "Retry-After: 7\r\n"), answer(410))
    async with at(scheme, authority, *replies) as receiver, forward_proxy() as proxy:
        settings = {"proxy": proxied(proxy), "tls": tls_of(scheme, ca)}
        unavailable, gone = await sent(receiver.url, **settings), await sent(receiver.url, **settings)
    assert (unavailable.reason, unavailable.status, unavailable.pause_s) == (DeliveryReason.HTTP_ERROR, 503, 7)
    assert (gone.reason, bool(gone.disables)) == (DeliveryReason.GONE, True)


# TLS with the receiver: the proxy changes nothing


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


@SCHEMES
@pytest.mark.parametrize("host", ["93.184.215.14", "xn--a.example"])
async def test_the_operators_private_proxy_serves_callers_urls_that_are_public(scheme: str, host: str) -> None:
    async with forward_proxy(says=answer(403)) as proxy:
        outcome = await sent(f"{scheme}://{host}/", trust=egress.CALLER, proxy=proxied(proxy))
    assert (outcome.reason, len(proxy.requests)) == (DeliveryReason.HTTP_ERROR, 1)


async def test_a_dot_behind_the_name_is_none_of_the_certificates(authority: trustme.CA, ca: Path) -> None:
    async with receiving(tls=showing(authority.issue_cert("localhost"))) as receiver, forward_proxy() as proxy:
        url = receiver.url.replace(HOST, "localhost.")
        assert (await sent(url, proxy=proxied(proxy), tls=Tls(ca=ca))).verdict is Verdict.DELIVERED
    assert proxy.requests[0].path == f"localhost.:{receiver.port}"
