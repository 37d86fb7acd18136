"""Receivers whose answers cannot be read: no HTTP, heads out of form, too large, too slow, or without an end."""

import pytest

from pipeline.model import DeliveryReason, Verdict
from tests.support.receiver import OK, Flood, Reply, drip, hang_up, receiving, silence, then
from tests.support.sender import FLAT_KIB, SOCKETS, Sender
from tests.support.webhooks import SHORT_S, answered_by, opened, sending

HEAD = b"HTTP/1.1 200 OK\r\n"


UNREADABLE = {
    "words": b"this is not HTTP\r\n\r\n",
    "an older HTTP": b"<html>hello</html>\r\n\r\n",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04\x00\x01\x00\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "mail": b"220 mail.example ESMTP\r\n",
    "every byte": bytes(range(256)) * 10,
    "another version": b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n",
    "status 000": b"HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 Little\r\nContent-Length: 0\r\n\r\n",
    "a status in words": b"HTTP/1.1 two OK\r\nContent-Length: 0\r\n\r\n",
    "a header without a colon": HEAD + b"no colon here\r\nContent-Length: 0\r\n\r\n",
    "a header without a name": HEAD + b": y\r\nContent-Length: 0\r\n\r\n",
    "a name with a space": HEAD + b"X : y\r\nContent-Length: 0\r\n\r\n",
    "a value with a NUL": HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length in words": HEAD + b"Content-Length: many\r\n\r\n",
    "a length with a sign": HEAD + b"Content-Length: +2\r\n\r\nok",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "two lengths in one": HEAD + b"Content-Length: 5, 6\r\n\r\nhello",
    "a length beyond all bounds": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
}
NO_HTTP = {"words", "an older HTTP", "HTTP/2", "SSH", "mail", "every byte"}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_cannot_be_read_is_a_failed_attempt_at_once(name: str) -> None:
    async with answered_by(UNREADABLE[name]) as (receiver, outcome):
        await receiver.abandoned()
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR)
    assert outcome.status is None
    assert outcome.message.startswith("the answer cannot be read: ")
    assert outcome.message.endswith(": what came is no HTTP answer") == (name in NO_HTTP)
    assert "RTSP" not in outcome.message
    assert "\n" not in outcome.message
    assert len(outcome.message) <= 500


@pytest.mark.parametrize("record", [b"\x15\x03\x01\x00\x02\x02\x28", b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"])
async def test_an_answer_in_tls_says_that_https_may_be_meant(record: bytes) -> None:
    async with answered_by(record) as (_, outcome):
        assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR)
    assert "https://" in outcome.message


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"X: y\r\n z\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"X: \xff\xfe\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"content-length:2\r\n\r\nok",
    ],
)
async def test_small_sins_of_form_are_forgiven(head: bytes) -> None:
    async with answered_by(head) as (_, outcome):
        assert (outcome.verdict, outcome.body) == (Verdict.DELIVERED, b"ok")


# Heads that end too soon


@pytest.mark.parametrize("end", ["close", "half-close", "reset"])
@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200", HEAD, HEAD + b"Content-Length: 2\r\n", b"HTTP/1.1 100 Go\r\n\r\n"]
)
async def test_a_head_that_is_broken_off_is_a_connection_that_was_reset(said: bytes, end: str) -> None:
    how = {
        "close": lambda writer: writer.close(),
        "half-close": lambda writer: writer.write_eof(),
        "reset": lambda writer: writer.transport.abort(),
    }
    async with answered_by(then(said, how[end])) as (receiver, outcome):
        await receiver.abandoned()
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.CONNECTION_RESET)
    assert (outcome.status, outcome.retry_after_s) == (None, None)
    assert "closed the connection" in outcome.message or "reset" in outcome.message
    assert "object" not in outcome.message
    assert "<" not in outcome.message


async def test_the_next_sending_after_each_of_them_is_on_a_connection_of_its_own() -> None:
    replies = [*UNREADABLE.values(), hang_up, OK]
    async with receiving(*replies) as receiver, opened(receiver.url) as destination:
        outcomes = [await destination.send(sending()) for _ in replies]
    assert [outcome.verdict for outcome in outcomes] == [Verdict.TEMPORARY] * len(UNREADABLE) + [
        Verdict.TEMPORARY,
        Verdict.DELIVERED,
    ]
    assert receiver.connections == len(replies)


# Heads that never end


@pytest.mark.parametrize(
    "reply",
    [
        silence,
        then(b"HTTP/1.1 200 OK\r\nX-Slow: ", lambda _: None),
        drip(OK, 0.05),
        drip(b"\r\n" * 100, 0.01),
        drip(b"HTTP/1.1 102 Processing\r\n\r\n" * 100, 0.002),
    ],
    ids=["nothing", "half a head", "a head by bytes", "line breaks", "interim answers by bytes"],
)
async def test_an_answer_that_does_not_come_is_a_timeout_with_patience(reply: Reply) -> None:
    async with answered_by(reply, timeout=SHORT_S) as (_, outcome):
        assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.TIMEOUT)
    assert (outcome.status, outcome.patience_s) == (None, 60)
    assert f"no answer within {SHORT_S:g} s" in outcome.message


async def test_interim_answers_before_the_answer_are_passed_over() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\r\n" * 50
    async with answered_by(b"HTTP/1.1 100 Continue\r\n\r\n" + interim + OK) as (_, outcome):
        assert (outcome.verdict, outcome.status, outcome.body) == (Verdict.DELIVERED, 200, b"ok")


FLOODS = {
    "100k headers": (HEAD, b"".join(b"X-%d: y\r\n" % number for number in range(100_000)), "too_large"),
    "one giant header": (HEAD + b"X: ", b"y" * 65_536, "too_large"),
    "one giant name": (HEAD, b"y" * 65_536, "too_large"),
    "one giant reason": (b"HTTP/1.1 200 ", b"y" * 65_536, "too_large"),
    "giant headers": (HEAD, b"X: " + b"y" * 8_000 + b"\r\n", "too_large"),
    "interim answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 2_000, "too_large"),
    "interim answers with headers": (
        b"",
        b"HTTP/1.1 103 Hints\r\n" + b"Link: </a>; rel=preload\r\n" * 100 + b"\r\n",
        "too_large",
    ),
    "line breaks": (b"", b"\r\n" * 32_768, "too_large"),
    "NULs": (b"", bytes(65_536), "http_error"),
    "words": (b"", b"y" * 65_536, "http_error"),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_in_the_place_of_a_head_is_not_read_to_its_end_and_takes_no_memory(
    name: str, process: Sender
) -> None:
    head, unit, reason = FLOODS[name]
    flood = Flood(head, unit)
    async with receiving(flood) as receiver:
        told = await process.send(receiver.url, timeout=20.0)
        assert (told.verdict, told.reason, told.status) == ("temporary", reason, None)
        assert 10 < len(told.message) <= 200
        assert told.grown_kib < FLAT_KIB
        await receiver.abandoned()
    assert flood.taken < SOCKETS
