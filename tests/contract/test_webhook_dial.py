"""The webhook against real sockets: receivers that are not there, addresses it never connects to, and TLS."""

import asyncio
import socket
import ssl

import aiohttp
import pytest
import trustme

from destinations import egress
from destinations.dial import connector, failures
from destinations.webhook import destination as webhook
from pipeline.model import DeliveryReason, Verdict
from tests.support.receiver import answer, receiving
from tests.support.webhooks import SHORT_S, FakeResolver, exchange_of, opened, sending, sent


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> FakeResolver:
    resolver = FakeResolver()
    make = connector.make_exchange
    monkeypatch.setattr(webhook, "make_exchange", lambda **keywords: make(**keywords, resolver=resolver))
    return resolver


async def test_names_are_looked_up_by_aiodns() -> None:
    async with opened("http://receiver.example/") as destination:
        connector = exchange_of(destination)._connector
        assert isinstance(connector._resolver._resolver, aiohttp.AsyncResolver)  # type: ignore[attr-defined]


async def test_a_name_that_does_not_exist_is_a_dns_error(names: FakeResolver) -> None:
    outcome = await sent("http://nowhere.example/")
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.DNS_ERROR)
    assert outcome.message == "nowhere.example cannot be looked up: Domain name not found"


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("127.0.0.1", "127.0.0.2"), ("127.0.0.1", "::1")])
async def test_a_port_where_nobody_listens_is_connection_refused(
    names: FakeResolver, addresses: tuple[str, ...]
) -> None:
    names.addresses = addresses
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = await sent(f"http://receiver.example:{port}/")
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.CONNECTION_REFUSED)


async def test_a_host_that_does_not_take_the_connection_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fill = [socket.socket() for _ in range(4)]  # a full backlog drops what comes after
        for each in fill:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        outcome = await sent(f"http://127.0.0.1:{port}/", timeout=5.0, connect_timeout=SHORT_S)
        for each in fill:
            each.close()
    assert outcome.reason is DeliveryReason.TIMEOUT
    assert "no connection" in outcome.message
    assert outcome.patience_s == 60


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (101, DeliveryReason.NETWORK_UNREACHABLE),
        (113, DeliveryReason.NETWORK_UNREACHABLE),
        (104, DeliveryReason.CONNECTION_RESET),
        (32, DeliveryReason.CONNECTION_RESET),
        (110, DeliveryReason.TIMEOUT),
        (111, DeliveryReason.CONNECTION_REFUSED),
    ],
)
def test_the_systems_errors_have_their_classes(number: int, reason: DeliveryReason) -> None:
    assert failures.reason_of(aiohttp.ClientOSError(number, "as the system says")) is reason


async def test_cookies_are_not_kept(names: FakeResolver) -> None:
    names.addresses = ("127.0.0.1",)  # a name, because no client keeps the cookies of an address
    async with (
        receiving(answer(200, "Set-Cookie: a=b\r\n")) as receiver,
        opened(f"http://receiver.example:{receiver.port}/") as destination,
    ):
        await destination.send(sending())
        await destination.send(sending())
    assert "cookie" not in receiver.requests[1].headers


HOSTS_OF_METADATA = [
    "169.254.169.254",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fe80::1]",
]


@pytest.mark.parametrize("host", HOSTS_OF_METADATA)
async def test_a_link_local_address_is_refused_before_anything_is_sent(host: str) -> None:
    outcome = await sent(f"http://{host}/latest/meta-data/", connect_timeout=1.0)
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.BLOCKED_ADDRESS)
    assert "link-local or metadata address" in outcome.message


@pytest.mark.parametrize(
    "addresses",
    [("169.254.169.254",), ("::ffff:169.254.169.254",), ("169.254.169.254", "fe80::1"), ("169.254.1.1", "169.254.1.2")],
)
async def test_a_name_that_leads_to_one_is_refused(names: FakeResolver, addresses: tuple[str, ...]) -> None:
    names.addresses = addresses
    outcome = await sent("http://innocent.example/", connect_timeout=1.0)
    assert outcome.reason is DeliveryReason.BLOCKED_ADDRESS


async def test_the_same_guard_lets_allowed_addresses_through(names: FakeResolver) -> None:
    names.addresses = ("127.0.0.1",)
    async with receiving() as receiver:
        url = f"http://innocent.example:{receiver.port}/"
        assert (await sent(url)).verdict is Verdict.DELIVERED
        refused = await sent(url, trust=egress.CALLER)
        literal = await sent(receiver.url, trust=egress.CALLER)
    assert refused.reason is literal.reason is DeliveryReason.BLOCKED_ADDRESS
    assert "allow_cidrs" in refused.message
    assert receiver.connections == 1


async def test_a_certificate_that_nobody_vouches_for_is_a_tls_error(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with receiving(tls=tls) as receiver:
        outcome = await sent(receiver.url)
        assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.TLS_ERROR)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
        assert (await sent(receiver.url)).verdict is Verdict.DELIVERED
        wrong_name = receiver.url.replace("127.0.0.1", "localhost")
        assert (await sent(wrong_name)).reason is DeliveryReason.TLS_ERROR
    assert len(receiver.requests) == 1


async def test_a_receiver_that_speaks_no_tls_is_a_tls_error() -> None:
    async def gibberish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(gibberish, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await sent(f"https://127.0.0.1:{port}/")).reason is DeliveryReason.TLS_ERROR
