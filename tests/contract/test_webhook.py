"""The webhook against real sockets: what is sent, how connections are kept, and how it is configured."""

import asyncio
from dataclasses import fields
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from standardwebhooks import Webhook as IndependentVerifier

from destinations.bodies.forms import RAW
from destinations.registry import builtin_kinds
from destinations.webhook import settings as webhook_settings
from pipeline import __version__
from pipeline.config.secret import Secret
from pipeline.config.settings import RetrySpec
from pipeline.model import DeliveryReason, JobState, MessageType, Outcome, Result, RunError, Verdict
from tests.support.receiver import OK, hang_up, receiving, silence, then
from tests.support.webhooks import JOB, exchange_of, opened, sending, sent

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLDER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


async def test_a_request_has_exactly_these_headers_and_a_signature_that_others_accept() -> None:
    async with receiving() as receiver:
        outcome = await sent(receiver.url, secrets=(Secret(SECRET), Secret(OLDER)), headers={"X-Team": Secret("docs")})
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/hooks?a=1")
    signed = {name: request.headers.pop(name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    assert signed["webhook-id"] == "msg_01960000-0000-7000-8000-00000000002b"
    for secret in (SECRET, OLDER):
        IndependentVerifier(secret).verify(request.body, signed)
    assert request.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": f"sendoff/{__version__}",
        "content-type": "application/json",
        "content-length": str(len(request.body)),
        "x-sendoff-job-id": JOB,
        "x-sendoff-destination": "archive",
        "x-sendoff-attempt": "3",
        "x-call-id": JOB,
        "x-function-name": "extract-background",
        "x-function-status": "201",
        "x-duration-seconds": "1.500000",
        "x-team": "docs",
    }
    assert len(request.header_names) == len(request.headers) + len(signed)
    assert outcome == Outcome(
        verdict=Verdict.DELIVERED,
        status=200,
        headers=(("Content-Length", "2"),),
        body=b"ok",
        remote_address="127.0.0.1",
    )


async def test_without_secrets_a_request_is_not_signed() -> None:
    async with receiving() as receiver:
        await sent(receiver.url)
    assert "webhook-id" in receiver.requests[0].headers
    assert "webhook-signature" not in receiver.requests[0].headers


async def test_the_raw_form_sends_the_results_own_bytes_signed() -> None:
    async with (
        receiving() as receiver,
        opened(receiver.url, body=RAW, secrets=(Secret(SECRET),), method="PUT") as destination,
    ):
        result = Result(status=200, headers=(("Content-Type", "text/csv"),), body="a;ü\n".encode())
        await destination.send(sending(result=result))
    (request,) = receiver.requests
    assert (request.method, request.body, request.headers["content-type"]) == ("PUT", result.body, "text/csv")
    with pytest.raises(
        ValueError, match="Expecting value"
    ):  # the signature holds; only then does the library parse JSON
        IndependentVerifier(SECRET).verify(request.body, request.headers)


async def test_a_failed_job_says_so_in_the_headers_too() -> None:
    async with receiving() as receiver, opened(receiver.url) as destination:
        failed = {
            "state": JobState.FAILED,
            "result": None,
            "error": RunError(type="E", message="m"),
            "started_at": None,
        }
        await destination.send(sending(type=MessageType.JOB_FAILED, **failed))
    headers = receiver.requests[0].headers
    assert (headers["x-function-status"], headers["x-duration-seconds"]) == ("500", "0.000000")


async def test_own_headers_win_over_the_usual_ones() -> None:
    own = {"User-Agent": Secret("us/1"), "Content-Type": Secret("application/vnd.ours+json")}
    async with receiving() as receiver:
        await sent(receiver.url, headers=own)
    (request,) = receiver.requests
    assert (request.headers["user-agent"], request.headers["content-type"]) == ("us/1", "application/vnd.ours+json")
    assert len(request.header_names) == len(set(map(str.lower, request.header_names)))


async def test_own_headers_win_over_those_that_differ_from_request_to_request() -> None:
    names = ("x-sendoff-job-id", "x-sendoff-attempt", "X-Call-Id", "X-Function-Name", "x-function-status")
    named = [*names, "X-Duration-Seconds", "TraceParent", "x-sendoff-destination"]
    settings = webhook_settings.settings_of(
        {"url": "http://a/", "headers": {name: Secret(f"our {name}") for name in named}}
    )
    async with receiving() as receiver, opened(receiver.url, headers=settings.headers) as destination:
        await destination.send(sending(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
        await destination.send(sending())
    for request in receiver.requests:
        assert [request.headers[name.lower()] for name in named] == [f"our {name}" for name in named]
        assert len(request.header_names) == len(set(map(str.lower, request.header_names)))
        assert request.headers["webhook-id"].startswith("msg_")


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 40_000
    async with receiving() as receiver, opened(receiver.url, body=RAW) as destination:
        outcome = await destination.send(sending(result=Result(status=200, headers=(), body=body)))
    assert outcome.verdict is Verdict.DELIVERED
    assert receiver.requests[0].body == body


async def test_one_connection_serves_many_requests() -> None:
    async with receiving() as receiver, opened(receiver.url) as destination:
        for _ in range(5):
            assert (await destination.send(sending())).verdict is Verdict.DELIVERED
    assert receiver.connections == 1


async def test_a_connection_that_the_receiver_closed_between_two_requests_costs_no_attempt() -> None:
    async with receiving(then(OK, lambda writer: writer.close())) as receiver, opened(receiver.url) as destination:
        for _ in range(5):
            assert (await destination.send(sending())).verdict is Verdict.DELIVERED
    assert receiver.connections == 5


async def test_a_request_of_which_no_byte_was_written_is_made_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, opened(receiver.url) as destination:
        await destination.send(sending())
        (kept,) = exchange_of(destination)._idle
        monkeypatch.setattr(kept._transport, "is_closing", lambda: True)  # too late for the pool to have seen it
        assert (await destination.send(sending())).verdict is Verdict.DELIVERED
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_request_that_was_written_is_not_made_again(method: str) -> None:
    async with receiving(OK, hang_up, OK) as receiver, opened(receiver.url, method=method) as destination:
        await destination.send(sending())
        outcome = await destination.send(sending())
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.CONNECTION_RESET)
    assert len(receiver.requests) == 2


async def test_an_unsent_request_is_made_again_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, opened(receiver.url) as destination:
        with monkeypatch.context() as patch:
            patch.setattr("asyncio.selector_events._SelectorSocketTransport.is_closing", lambda _: True)
            assert (await destination.send(sending())).reason is DeliveryReason.CONNECTION_RESET
        assert (await destination.send(sending())).verdict is Verdict.DELIVERED
    assert (receiver.connections, len(receiver.requests)) == (3, 1)


async def test_an_unsent_request_waits_a_second_at_most_for_the_other_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = []
    timeout_at = asyncio.timeout_at

    def noted(when: float | None) -> asyncio.Timeout:
        assert when is not None
        waits.append(when - asyncio.get_running_loop().time())
        # The time is up at once for the second connection: nobody sleeps a second to see it.
        return timeout_at(when if len(waits) == 1 else 0)

    async with receiving() as receiver, opened(receiver.url, connect_timeout=5.0) as destination:
        monkeypatch.setattr("asyncio.selector_events._SelectorSocketTransport.is_closing", lambda _: True)
        monkeypatch.setattr("asyncio.timeout_at", noted)
        outcome = await destination.send(sending())
        monkeypatch.undo()
    assert waits == [pytest.approx(5, abs=1), pytest.approx(1, abs=0.5)]
    assert (outcome.reason, outcome.patience_s) == (DeliveryReason.CONNECTION_RESET, None)
    assert outcome.message.endswith("closed before anything was sent, and no other was made within 1 s")


@pytest.mark.parametrize("took_s", [5.0, 5.5, 4.999999])
async def test_where_no_time_is_left_for_another_connection_none_is_made_and_the_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, took_s: float
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    def closing(transport: asyncio.Transport) -> bool:
        # Others are asked as well, by whatever throws a stream away: they do not move the clock.
        if transport.get_extra_info("peername") == ("127.0.0.1", receiver.port):
            monkeypatch.setattr(loop, "time", lambda: began + took_s)
        return True

    async with receiving() as receiver, opened(receiver.url, connect_timeout=5.0) as destination:
        monkeypatch.setattr(loop, "time", lambda: began)
        monkeypatch.setattr("asyncio.selector_events._SelectorSocketTransport.is_closing", closing)
        outcome = await destination.send(sending())
        monkeypatch.undo()
    assert receiver.connections == 1
    assert outcome.reason is DeliveryReason.CONNECTION_RESET
    assert outcome.message.endswith("closed before anything was sent, and the 5 s for a connection were over")


async def test_a_cancelled_sending_says_nothing_and_closes_its_connection() -> None:
    async with receiving(silence) as receiver, opened(receiver.url) as destination:
        task = asyncio.create_task(destination.send(sending()))
        while not receiver.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while exchange_of(destination)._connector._acquired:
            await asyncio.sleep(0)


def test_the_kind_makes_settings_and_destinations() -> None:
    kinds = builtin_kinds()
    settings = kinds["webhook"].settings({"url": "https://a.example/", "secrets": [Secret(SECRET)], "body": "raw"})
    assert settings.concurrency == 10
    assert settings.retry == RetrySpec(name="default")
    assert kinds["webhook"].make("a", settings).recipients() == ("",)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"url": "http://user:hunter2@a.example/"}, "^url: credentials"),
        ({"url": "http://0x7f000001/"}, "^url: write the host's address"),
        ({"url": "http://a/", "secrets": [Secret(SECRET), Secret("hunter2")]}, r"^secrets\[1\]: expected whsec_"),
        (
            {"url": "http://a/", "headers": {"X-Key": Secret("hunter2\r\nX: y")}},
            r"^headers\.X-Key: a header holds no line breaks",
        ),
        (
            {"url": "http://a/", "headers": {"X-Key": Secret("hunter2\x00")}},
            r"^headers\.X-Key: a header holds no line breaks",
        ),
    ],
)
def test_what_no_schema_can_say_is_a_fault_that_shows_no_secret(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        webhook_settings.settings_of(options)
    assert "hunter2" not in str(caught.value)


def test_the_schema_and_the_settings_are_the_same() -> None:
    properties = builtin_kinds()["webhook"].schema["properties"]
    assert set(properties) == {field.name for field in fields(webhook_settings.Settings)}
    settings = webhook_settings.Settings(url="http://a/")
    assert properties["body"]["default"] == settings.body.name
    for name in ("method", "concurrency"):
        assert properties[name]["default"] == getattr(settings, name)
    assert tuple(properties["dead_on"]["default"]) == settings.dead_on


FORBIDDEN = [
    "Host",
    "content-length",
    "Transfer-Encoding",
    "connection",
    "Expect",
    "upgrade",
    "webhook-id",
    "Webhook-Signature",
]


@pytest.mark.parametrize("name", [*FORBIDDEN, "webhook-", "", "X y", "X:y", "X\n", "Host\n", "Müller", "a" * 129])
def test_a_header_that_frames_the_request_cannot_be_set(name: str) -> None:
    names = builtin_kinds()["webhook"].schema["properties"]["headers"]["propertyNames"]
    assert not Draft202012Validator(names).is_valid(name)


@pytest.mark.parametrize("name", ["Authorization", "X-Host", "hosts", "my-webhook-id", "content-type", "x_y"])
def test_other_headers_can_be_set(name: str) -> None:
    names = builtin_kinds()["webhook"].schema["properties"]["headers"]["propertyNames"]
    assert Draft202012Validator(names).is_valid(name)
