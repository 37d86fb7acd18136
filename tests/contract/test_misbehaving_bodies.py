"""Receivers whose answers are of a size, a form or a slowness that no answer needs: the status has decided before.

Memory is that of a process which does nothing but send, at its height.
"""

import asyncio
import gzip

import pytest

from pipeline.model import Verdict
from tests.support.receiver import OK, Flood, answer, drip, receiving, then
from tests.support.sender import FLAT_KIB, SOCKETS, Sender
from tests.support.webhooks import SHORT_S, answered_by, opened, sending

KEPT = 16 * 1024
GIGABYTE = 10**9
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
STATUSES = pytest.mark.parametrize(
    ("status", "verdict"), [(200, Verdict.DELIVERED), (500, Verdict.TEMPORARY), (413, Verdict.PERMANENT)]
)


def head(status: int = 200) -> bytes:
    return b"HTTP/1.1 %d Said\r\n" % status


# Size


FLOODS = {
    "a gigabyte": (b"Content-Length: %d\r\n\r\n" % GIGABYTE, b"y" * 65_536, KEPT),
    "until it closes": (b"\r\n", b"y" * 65_536, KEPT),
    "chunks": (CHUNKED, b"10000\r\n" + b"y" * 65_536 + b"\r\n", KEPT),
    "one giant chunk": (CHUNKED + b"3b9aca00\r\n", b"y" * 65_536, KEPT),
    "chunks of one byte": (CHUNKED, b"1\r\ny\r\n" * 10_000, KEPT),
    "a chunk's extension": (CHUNKED + b"1;", b"y" * 65_536, 0),
    "a chunk's size": (CHUNKED, b"0" * 65_536, 0),
    "trailers": (CHUNKED + b"2\r\nok\r\n0\r\n", b"X: y\r\n" * 10_000, 2),
    "one giant trailer": (CHUNKED + b"2\r\nok\r\n0\r\nX: ", b"y" * 65_536, 2),
    "answers that nobody asked for": (b"Content-Length: 2\r\n\r\nok", OK * 1_000, 2),
}


@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize(("status", "verdict"), [(200, "delivered"), (500, "temporary")])
async def test_a_body_without_an_end_is_read_to_the_limit_and_takes_no_memory(
    name: str, status: int, verdict: str, process: Sender
) -> None:
    start, unit, kept = FLOODS[name]
    flood = Flood(head(status) + start, unit, most=GIGABYTE)
    async with receiving(flood) as receiver:
        told = await process.send(receiver.url, timeout=20.0)
        assert (told.verdict, told.status, told.body) == (verdict, status, kept)
        assert told.grown_kib < FLAT_KIB
        await receiver.abandoned()
    assert flood.taken < SOCKETS


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip", "nonsense"])
async def test_a_body_that_is_packed_stays_packed(coding: str, process: Sender) -> None:
    bomb = gzip.compress(gzip.compress(bytes(200_000_000), 9), 9)
    single = gzip.compress(bytes(50_000_000), 9)
    for body in (bomb, single):
        async with receiving(answer(200, f"Content-Encoding: {coding}\r\n", body)) as receiver:
            told = await process.send(receiver.url, timeout=20.0)
            assert (told.verdict, told.body) == ("delivered", min(len(body), KEPT))
            assert told.grown_kib < FLAT_KIB
    async with answered_by(answer(200, f"Content-Encoding: {coding}\r\n", single)) as (_, outcome):
        assert outcome.body == single[:KEPT]


async def test_as_many_at_once_as_a_destination_sends_take_no_more_than_their_reads(process: Sender) -> None:
    flood = Flood(head() + b"Content-Length: %d\r\n\r\n" % GIGABYTE, b"y" * 65_536, most=10 * GIGABYTE)
    async with receiving(flood) as receiver:
        told = await process.send(receiver.url, timeout=20.0, at_once=10)
        assert {outcome["verdict"] for outcome in told.outcomes} == {"delivered"}
        assert (len(told.outcomes), told.grown_kib < 4 * FLAT_KIB) == (10, True)
        await receiver.abandoned()


# Slowness


@STATUSES
async def test_a_body_that_drips_is_read_until_the_time_is_up(status: int, verdict: Verdict) -> None:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(head(status) + b"Content-Length: 1000\r\n\r\nfirst ")
        await drip(b"x" * 900, 0.05)(writer)

    async with answered_by(reply, timeout=SHORT_S) as (receiver, outcome):
        assert (outcome.verdict, outcome.status) == (verdict, status)
        assert outcome.body.startswith(b"first ")
        assert len(outcome.body) < 900
        await receiver.abandoned()


@STATUSES
@pytest.mark.parametrize(
    "start", [b"Content-Length: 9\r\n\r\n", b"\r\n", CHUNKED, CHUNKED + b"9\r\n", CHUNKED + b"9;a"]
)
async def test_a_body_that_never_comes_is_awaited_until_the_time_is_up(
    start: bytes, status: int, verdict: Verdict
) -> None:
    async with answered_by(head(status) + start, timeout=SHORT_S) as (receiver, outcome):
        assert (outcome.verdict, outcome.status, outcome.body) == (verdict, status, b"")
        await receiver.abandoned()


# Lies and nonsense


@STATUSES
@pytest.mark.parametrize("end", ["close", "half-close", "reset"])
@pytest.mark.parametrize(
    ("start", "body"),
    [
        (b"Content-Length: 100\r\n\r\n", b""),
        (b"Content-Length: 100\r\n\r\nfirst", b"first"),
        (CHUNKED, b""),
        (CHUNKED + b"100\r\nfirst", b"first"),
        (CHUNKED + b"5\r\nfirst\r\n", b"first"),
        (b"\r\nfirst", b"first"),
    ],
)
async def test_a_body_that_is_broken_off_changes_nothing(
    start: bytes, body: bytes, end: str, status: int, verdict: Verdict
) -> None:
    how = {
        "close": lambda writer: writer.close(),
        "half-close": lambda writer: writer.write_eof(),
        "reset": lambda writer: writer.transport.abort(),
    }
    async with answered_by(then(head(status) + start, how[end])) as (receiver, outcome):
        assert (outcome.status, outcome.verdict) == (status, verdict)
        assert outcome.body == body
        await receiver.abandoned()


@STATUSES
@pytest.mark.parametrize(
    ("start", "body"),
    [
        (CHUNKED + b"zzz\r\nhello", b""),
        (CHUNKED + b"-5\r\nhello", b""),
        (CHUNKED + b"0x5\r\nhello", b""),
        (CHUNKED + b"\r\n\r\n", b""),
        (CHUNKED + b"ffffffffffffffffff\r\nhello", b""),
        (CHUNKED + b"5\r\nhello\r\nzzz\r\n", b"hello"),
        (CHUNKED + b"3\r\nhello\r\n0\r\n\r\n", b"hel"),
        (CHUNKED + b"5\r\nhello\r\n0\r\nno colon\r\n\r\n", b"hello"),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 900 nonsense", b"hello"),
        (b"Content-Length: 5\r\n\r\nhello and more", b"hello"),
        (b"Content-Length: 0\r\n\r\nhello", b""),
    ],
)
async def test_a_body_that_breaks_its_form_changes_nothing_and_ends_at_once(
    start: bytes, body: bytes, status: int, verdict: Verdict
) -> None:
    said = head(status) + start
    for reply in (said, drip(said, 0.0)):
        async with answered_by(reply) as (receiver, outcome):
            assert (outcome.status, outcome.verdict, outcome.body) == (status, verdict, body)
            await receiver.abandoned()


@pytest.mark.parametrize("status", [204, 304])
async def test_a_body_that_must_not_be_there_is_nobodys_answer(status: int) -> None:
    replies = (head(status) + b"Content-Length: 5\r\n\r\nhello", OK)
    async with receiving(*replies) as receiver, opened(receiver.url) as destination:
        outcomes = [await destination.send(sending()) for _ in replies]
    assert [(outcome.status, outcome.body) for outcome in outcomes] == [(status, b""), (200, b"ok")]
    assert receiver.connections == 2


async def test_what_was_said_too_much_is_never_the_next_ones_answer() -> None:
    lies = [
        b"Content-Length: 2\r\n\r\nok" + answer(500),
        b"Content-Length: 2\r\n\r\nok and more",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + answer(410),
    ]
    replies = [head() + lie for lie in lies]
    async with receiving(*replies, OK) as receiver, opened(receiver.url) as destination:
        outcomes = [await destination.send(sending()) for _ in range(4)]
    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELIVERED] * 4
    assert receiver.connections == 4
