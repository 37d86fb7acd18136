"""The webhook's exchange: large requests, connections that cannot be trusted, and the parts of aiohttp it stands on."""

import asyncio
import inspect
import time

import pytest
from aiohttp import TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from destinations.bodies.forms import RAW
from destinations.dial import connector
from destinations.dial.exchange import Exchange
from pipeline.config.secret import Secret
from pipeline.model import DeliveryReason, Outcome, Result, Verdict
from tests.support.receiver import OK, answer, receiving, then
from tests.support.webhooks import SHORT_S, exchange_of, opened, sending, sent

LARGE = Result(status=200, headers=(), body=bytes(range(256)) * 160_000)


def test_the_parts_of_aiohttp_are_as_the_exchange_needs_them() -> None:
    assert list(inspect.signature(TCPConnector.connect).parameters) == ["self", "req", "traces", "timeout"]
    assert {"protocol", "transport", "close"} <= set(dir(Connection))
    assert {"should_close", "connection_lost", "closed"} <= set(dir(ResponseHandler))


async def sent_large_to(serve: object, **settings: object) -> Outcome:
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:  # type: ignore[arg-type]
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with opened(url, body=RAW, **settings) as destination:
            return await destination.send(sending(result=LARGE))


@pytest.mark.parametrize("status", [200, 413])
async def test_the_answer_decides_that_comes_before_the_request_is_written(status: int) -> None:
    answered = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(status, body=b"early"))
        await answered.wait()
        writer.close()

    outcome = await sent_large_to(serve)
    answered.set()
    assert (outcome.status, outcome.body) == (status, b"early")


async def test_a_receiver_that_closes_while_a_large_request_is_written_is_a_reset() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    assert (await sent_large_to(serve)).reason is DeliveryReason.CONNECTION_RESET


async def test_a_receiver_that_does_not_read_a_large_request_is_a_timeout_and_leaves_nothing() -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * SHORT_S)
        while await reader.read(2**20):
            pass
        closed.set()
        writer.close()

    assert (await sent_large_to(serve, timeout=SHORT_S)).reason is DeliveryReason.TIMEOUT
    await asyncio.wait_for(closed.wait(), 5)


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next() -> None:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(answer(500))

    async with receiving(reply) as receiver, opened(receiver.url) as destination:
        await destination.send(sending())
        await asyncio.sleep(0.1)
        assert (await destination.send(sending())).verdict is Verdict.DELIVERED
    assert receiver.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        answer(200, "Connection: close\r\n", b"ok"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + OK,
        then(b"HTTP/1.1 200 OK\r\n\r\nok", lambda writer: writer.close()),
    ],
)
async def test_a_connection_that_ends_with_its_answer_is_not_used_again(reply: bytes) -> None:
    async with receiving(reply) as receiver, opened(receiver.url) as destination:
        for _ in range(2):
            assert (await destination.send(sending())).body == b"ok"
        assert not exchange_of(destination)._idle
    assert receiver.connections == 2


async def test_an_answer_in_chunks_after_interim_ones_is_read_and_its_connection_kept() -> None:
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with (
        receiving(b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + chunks) as receiver,
        opened(receiver.url) as destination,
    ):
        for _ in range(2):
            assert (await destination.send(sending())).body == b"ok"
    assert receiver.connections == 1


async def test_an_idle_connection_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = asyncio.Event()
    monkeypatch.setattr(connector, "IDLE_S", 0.05)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"}")
            writer.write(OK)
        assert await reader.read() == b""
        closed.set()
        writer.close()

    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        opened(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", body=RAW) as destination,
    ):
        for _ in range(2):
            assert (await destination.send(sending())).body == b"ok"
        await closed.wait()
        assert not exchange_of(destination)._idle


async def test_what_follows_the_chunks_of_a_body_is_none_of_its_headers() -> None:
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
    async with receiving(chunks) as receiver:
        outcome = await sent(receiver.url)
    assert (outcome.headers, outcome.body) == ((("Transfer-Encoding", "chunked"),), b"ok")


async def test_a_change_of_protocol_that_nobody_asked_for_is_an_answer_like_any_other() -> None:
    reply = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n\x00\x01"
    async with receiving(reply) as receiver, opened(receiver.url) as destination:
        for _ in range(2):
            outcome = await destination.send(sending())
            assert (outcome.status, outcome.reason) == (101, DeliveryReason.HTTP_ERROR)
    assert receiver.connections == 2


@pytest.mark.parametrize("line", [b"X: " + b"y" * 200_000, b"X" * 200_000, b"X: y\r\n" * 130])
async def test_a_head_that_does_not_end_is_too_large(line: bytes) -> None:
    async with receiving(b"HTTP/1.1 200 OK\r\n" + line) as receiver:
        outcome = await sent(receiver.url)
    assert (outcome.reason, outcome.status) == (DeliveryReason.TOO_LARGE, None)


async def test_no_more_connections_are_made_than_allowed() -> None:
    async with receiving(OK) as receiver, opened(receiver.url, concurrency=2) as destination:
        outcomes = await asyncio.gather(*(destination.send(sending()) for _ in range(20)))
    assert {outcome.verdict for outcome in outcomes} == {Verdict.DELIVERED}
    assert receiver.connections <= 2


async def test_the_timeout_holds_for_all_of_it_the_wait_for_a_connection_too() -> None:
    async with (
        receiving(OK, lambda writer: asyncio.sleep(60)) as receiver,
        opened(receiver.url, concurrency=1, timeout=SHORT_S) as destination,
    ):
        await destination.send(sending())
        started = time.monotonic()
        outcomes = await asyncio.gather(*(destination.send(sending()) for _ in range(3)))
    assert {outcome.reason for outcome in outcomes} == {DeliveryReason.TIMEOUT}
    assert time.monotonic() - started < 3 * SHORT_S


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\x00b"])
async def test_nothing_that_breaks_lines_becomes_a_header(value: str) -> None:
    async with receiving() as receiver, opened(receiver.url) as destination:
        outcome = await destination.send(sending(function=value))
    assert (outcome.reason, receiver.requests) == (DeliveryReason.HTTP_ERROR, [])
    with pytest.raises(ValueError, match="no line breaks"):
        Exchange(
            TCPConnector(),
            method="POST",
            url=URL("http://a/"),
            headers=[("x", value)],
            timeout_s=1,
            connect_timeout_s=1,
            connections=1,
            idle_s=1,
            late=lambda _: TimeoutError(),
        )


async def test_own_headers_may_hold_more_than_ascii() -> None:
    async with receiving() as receiver:
        await sent(receiver.url, headers={"X-Team": Secret("Büro\t\udcff")})
    assert receiver.requests[0].headers["x-team"] == "Büro\t".encode().decode("latin-1")


# How much of an answer is read

KIB = 1024
LIMIT = 64 * KIB


async def test_of_a_body_without_an_end_64_kib_are_read_and_the_connection_is_closed() -> None:
    written = 0

    async def reply(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while written < 512 * KIB:
            writer.write(b"y" * KIB)
            written += KIB
            await writer.drain()
            await asyncio.sleep(0.001)  # the sender has this piece before the next one is written

    async with receiving(reply) as receiver, opened(receiver.url) as destination:
        read = await exchange_of(destination).send({}, b"")
        await receiver.abandoned()
    some_pieces = 16 * KIB
    assert LIMIT <= len(read.body) < LIMIT + some_pieces
    assert LIMIT <= written < LIMIT + 2 * some_pieces


@pytest.mark.parametrize(("size", "connections"), [(60 * KIB, 1), (70 * KIB, 2)])
async def test_a_connection_is_kept_after_an_answer_that_was_read_to_its_end(size: int, connections: int) -> None:
    async with receiving(answer(200, body=b"y" * size)) as receiver, opened(receiver.url) as destination:
        for _ in range(2):
            assert (await destination.send(sending())).verdict is Verdict.DELIVERED
    assert receiver.connections == connections
