"""The webhook against real sockets: what each answer means, and each receiver that misbehaves."""

import asyncio
import gzip
import resource
import time
from typing import Any

import pytest

from pipeline.model import DeliveryReason, Verdict
from tests.support.receiver import OK, Flood, answer, drip, hang_up, receiving, silence, then
from tests.support.webhooks import SHORT_S, opened, sending, sent

ANSWERS = [
    (200, "", Verdict.DELIVERED, None, None),
    (204, "", Verdict.DELIVERED, None, None),
    (302, "Location: http://127.0.0.1/elsewhere\r\n", Verdict.TEMPORARY, DeliveryReason.REDIRECT, None),
    (307, "Location: /elsewhere\r\n", Verdict.TEMPORARY, DeliveryReason.REDIRECT, None),
    (400, "", Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR, None),
    (408, "", Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR, None),
    (410, "", Verdict.PERMANENT, DeliveryReason.GONE, None),
    (413, "", Verdict.PERMANENT, DeliveryReason.REJECTED, None),
    (414, "", Verdict.PERMANENT, DeliveryReason.REJECTED, None),
    (415, "", Verdict.PERMANENT, DeliveryReason.REJECTED, None),
    (425, "", Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR, None),
    (429, "", Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR, None),
    (429, "Retry-After: 5\r\n", Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR, 5.0),
    (431, "", Verdict.PERMANENT, DeliveryReason.REJECTED, None),
    (500, "", Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR, None),
    (501, "", Verdict.PERMANENT, DeliveryReason.REJECTED, None),
    (503, "Retry-After: 172800\r\n", Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR, 86_400.0),
    (503, "Retry-After: -1\r\n", Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR, None),
    (505, "", Verdict.PERMANENT, DeliveryReason.REJECTED, None),
]


@pytest.mark.parametrize(("status", "headers", "verdict", "reason", "wait_s"), ANSWERS)
async def test_each_answer_means_what_the_table_says(
    status: int, headers: str, verdict: Verdict, reason: DeliveryReason | None, wait_s: float | None
) -> None:
    reply = answer(status, headers, b"" if status == 204 else b"said")
    async with receiving(reply) as receiver:
        outcome = await sent(receiver.url)
    assert (outcome.status, outcome.verdict, outcome.reason, outcome.retry_after_s) == (status, verdict, reason, wait_s)
    assert outcome.remote_address == "127.0.0.1"
    assert outcome.body == (b"" if status == 204 else b"said")
    assert len(receiver.requests) == 1, "no redirect is followed, and nothing is sent again"


async def test_a_redirect_is_recorded_and_its_target_never_called() -> None:
    async with receiving() as target, receiving(answer(301, f"Location: {target.url}\r\n")) as receiver:
        outcome = await sent(receiver.url)
    assert target.url in outcome.message
    assert ("Location", target.url) in outcome.headers
    assert target.connections == 0


async def test_what_an_answer_asks_for_holds_behind_more_headers_than_are_kept() -> None:
    padding = f"Set-Cookie: a={'v' * 4096}\r\n" * 2
    asking = f"{padding}Retry-After: 300\r\nWebhook-Delivery: disable\r\n"
    async with receiving(answer(503, asking)) as receiver:
        outcome = await sent(receiver.url)
    assert (outcome.retry_after_s, outcome.pause_s) == (300, 300)
    assert "disable" in outcome.disables
    assert {("Retry-After", "300"), ("Webhook-Delivery", "disable")} <= set(outcome.headers)


async def test_a_receiver_that_never_answers_is_a_timeout_with_patience() -> None:
    async with receiving(silence) as receiver:
        outcome = await sent(receiver.url, timeout=SHORT_S)
    assert (outcome.verdict, outcome.reason, outcome.status) == (Verdict.TEMPORARY, DeliveryReason.TIMEOUT, None)
    assert (outcome.retry_after_s, outcome.patience_s) == (None, 60)


async def test_a_head_that_drips_is_a_timeout() -> None:
    async with receiving(drip(OK, 0.05)) as receiver:
        outcome = await sent(receiver.url, timeout=SHORT_S)
    assert outcome.reason is DeliveryReason.TIMEOUT


@pytest.mark.parametrize(("status", "verdict"), [(200, Verdict.DELIVERED), (500, Verdict.TEMPORARY)])
async def test_once_the_status_is_there_a_body_that_drips_changes_nothing(status: int, verdict: Verdict) -> None:
    head = f"HTTP/1.1 {status} Said\r\nContent-Length: 100\r\n\r\n".encode()

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(head + b"first ")
        await drip(b"x" * 90, 0.05)(writer)

    async with receiving(reply) as receiver:
        started = time.monotonic()
        outcome = await sent(receiver.url, timeout=SHORT_S)
    assert outcome.verdict is verdict
    assert outcome.body.startswith(b"first")
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("end", [lambda writer: writer.close(), lambda writer: writer.transport.abort()])
@pytest.mark.parametrize(("status", "verdict"), [(200, Verdict.DELIVERED), (503, Verdict.TEMPORARY)])
async def test_a_body_that_is_cut_off_changes_nothing(status: int, verdict: Verdict, end: Any) -> None:
    cut = f"HTTP/1.1 {status} Said\r\nContent-Length: 100\r\n\r\nfirst".encode()
    async with receiving(then(cut, end)) as receiver:
        outcome = await sent(receiver.url)
    assert (outcome.status, outcome.verdict) == (status, verdict)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (hang_up, DeliveryReason.CONNECTION_RESET),
        (then(b"", lambda writer: writer.transport.abort()), DeliveryReason.CONNECTION_RESET),
        (then(b"HTTP/1.1 200", lambda writer: writer.close()), DeliveryReason.CONNECTION_RESET),
        (b"this is not HTTP\r\n\r\n", DeliveryReason.HTTP_ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", DeliveryReason.HTTP_ERROR),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 20_000 + b"\r\n\r\n", DeliveryReason.TOO_LARGE),
        (
            b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)) + b"\r\n",
            DeliveryReason.TOO_LARGE,
        ),
    ],
)
async def test_without_a_readable_head_the_attempt_has_failed(reply: Any, reason: DeliveryReason) -> None:
    async with receiving(reply) as receiver:
        outcome = await sent(receiver.url)
    assert (outcome.verdict, outcome.reason, outcome.status) == (Verdict.TEMPORARY, reason, None)
    assert 0 < len(outcome.message) <= 500


async def test_an_endless_body_is_read_to_the_limit_and_no_further() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    async with receiving(Flood(head, b"x" * 65_536)) as receiver, opened(receiver.url, timeout=5.0) as destination:
        started = time.monotonic()
        outcome = await destination.send(sending())
        assert (outcome.verdict, len(outcome.body)) == (Verdict.DELIVERED, 16 * 1024)
        assert (await destination.send(sending())).verdict is Verdict.DELIVERED
    assert time.monotonic() - started < 4
    assert receiver.connections == 2, "a connection with unread bytes is not used again"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5_000  # KiB


async def test_a_gzip_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with receiving(answer(200, "Content-Encoding: gzip\r\n", bomb)) as receiver:
        outcome = await sent(receiver.url)
    assert outcome.verdict is Verdict.DELIVERED
    assert outcome.body == bomb[: 16 * 1024]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5_000  # KiB
