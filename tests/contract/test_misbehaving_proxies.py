"""Proxies that misbehave, or are not there: each ends in time, with a class and a sentence that names the proxy."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from destinations.dial.credentials import Proxy
from destinations.dial.tls import Tls
from pipeline.model import DeliveryReason, Verdict
from tests.support.certificates import HOST, showing
from tests.support.forward_proxy import CONNECTED, forward_proxy
from tests.support.loops import LOOPS
from tests.support.names import SILENCE, NameServer
from tests.support.proxied import PASSWORD, SCHEMES, TARGET, assert_failed, at, proxied, tls_of
from tests.support.receiver import (
    OK,
    Flood,
    answer,
    drip,
    hang_up,
    listening,
    receiving,
    silence,
    then,
)
from tests.support.webhooks import SHORT_S, exchange_of, opened, sending, sent

IN_TIME_S = 15.0
"""Far more than any of them takes, and less than a timeout that does not count."""


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
    within = SHORT_S if reason == "timeout" else IN_TIME_S

    async def call() -> None:
        async with forward_proxy(says=says) as proxy:
            async with opened(TARGET, proxy=proxied(proxy), connect_timeout=within) as destination:
                async with asyncio.timeout(IN_TIME_S):
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
        timeout = SHORT_S if reason == "timeout" else IN_TIME_S
        async with asyncio.timeout(IN_TIME_S):
            outcome = await sent("http://receiver.example:8080/hook", proxy=proxied(proxy), timeout=timeout)
    assert (outcome.verdict, outcome.reason, outcome.status) == (Verdict.TEMPORARY, DeliveryReason(reason), status)
    assert outcome.patience_s == (60 if reason == "timeout" else None)
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
    context = showing(authority.issue_cert("receiver.example")) if scheme == "https" else None
    async with receiving(tls=context) as receiver, forward_proxy() as proxy:
        through = Proxy(url=f"http://proxy.example:{proxy.port}")
        url = f"{scheme}://receiver.example:{receiver.port}/"
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
    asked, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        assert await reader.read() == b""
        closed.set()

    async with listening(serve) as port, opened(TARGET, proxy=Proxy(url=f"http://{HOST}:{port}")) as destination:
        task = asyncio.create_task(destination.send(sending()))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not exchange_of(destination)._connector._acquired
        async with asyncio.timeout(IN_TIME_S):
            await closed.wait()
