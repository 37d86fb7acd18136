"""Every form of body over real sockets: headers, signatures, events that the official library reads, and what fails."""

import asyncio
import base64
import hmac
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from standardwebhooks import Webhook as IndependentVerifier

from destinations.bodies.base import LARGE, Form
from destinations.bodies.forms import FORMS, RAW, form_of
from destinations.bodies.message import MessageForm
from destinations.bodies.template import TemplateForm
from destinations.webhook import settings as webhook_settings
from pipeline.config.secret import Secret
from pipeline.model import AnyMessage, DeliveryReason, Message, Verdict
from tests.support.messages import (
    BAD_STATUS,
    COMPLETED,
    EXPIRED,
    FAILED,
    MESSAGES,
    SUCCEEDED,
    TEST,
    TRACE,
    TRACED,
    sending_of,
    signed,
    with_result,
)
from tests.support.receiver import OK, Received, receiving
from tests.support.webhooks import opened

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
BINARY = form_of({"cloudevents": {"mode": "binary", "source": "/a b/ü%", "type_prefix": "com.example"}})
TEMPLATE = form_of({"template": '{"text": "{{ type }}", "of": "{{ (job or batch or alert).id }}"}'})
TEXT = form_of({"template": "{{ type }}: <{{ (job or batch or alert).id }}>", "content_type": "text/plain"})
ALL = {**FORMS, "binary": BINARY, "template": TEMPLATE, "text": TEXT}


USUAL = {"x-sendoff-destination", "x-sendoff-attempt", "user-agent"}
OF_FUNCTIONS = {"x-call-id", "x-function-name", "x-function-status", "x-duration-seconds"}


async def _event() -> bytes:
    return b'{"httpMethod":"POST","body":"words"}'


@asynccontextmanager
async def received(message: AnyMessage, form: Form, **settings: Any) -> AsyncIterator[Received]:
    """Send one message and give what came."""
    async with receiving(OK) as receiver, opened(receiver.url, body=form, **settings) as destination:
        sending = replace(sending_of(message, signed), started_at=datetime.now(UTC), read_event=_event)
        outcome = await destination.send(sending)
        assert outcome.verdict is Verdict.DELIVERED, outcome
        (request,) = receiver.requests
        yield request


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("form", ALL)
async def test_every_form_carries_every_message_signed_and_with_the_usual_headers(form: str, name: str) -> None:
    message = MESSAGES[name]
    async with received(message, ALL[form], secrets=tuple(map(Secret, SECRETS))) as request:
        for secret in SECRETS:
            IndependentVerifier(secret).verify(request.body, request.headers, json_parse=False)
        headers = request.headers
        subject = {"batch": "x-sendoff-batch-id", "alert": "x-sendoff-alert-id"}.get(name, "x-sendoff-job-id")
        assert (headers["webhook-id"], headers[subject]) == (message.id, message.subject_id)
        assert set(headers) >= USUAL
        assert set(headers).isdisjoint(OF_FUNCTIONS) if name == "alert" else set(headers) >= OF_FUNCTIONS
        assert headers.get("traceparent") == (TRACE if message is TRACED else None)
        assert any(each.startswith("ce-") for each in headers) is (form == "binary")
        assert len(request.header_names) == len(headers)
        if form not in ("raw", "text") and headers["content-type"].partition(";")[0].endswith("json"):
            json.loads(request.body)
    if form == "text":
        assert request.body == f"{message.type}: <{message.subject_id}>".encode()
        assert headers["content-type"] == "text/plain"


async def test_the_record_has_the_event_that_was_read_and_no_other_form_reads_it() -> None:
    async with received(SUCCEEDED, FORMS["lambda"]) as request:
        assert json.loads(request.body)["requestPayload"] == {"httpMethod": "POST", "body": "words"}

    async def unread() -> bytes:
        raise AssertionError("nobody needs it")

    async with receiving(OK) as receiver:
        for name, form in ALL.items():
            async with opened(receiver.url, body=form) as destination:
                sending = replace(sending_of(COMPLETED if name == "lambda" else SUCCEEDED), read_event=unread)
                assert (await destination.send(sending)).verdict is Verdict.DELIVERED


# CloudEvents, read by the official library


def event_of(request: Received) -> Any:
    return from_http(HTTPMessage(headers=request.headers, body=request.body), JSONFormat())


RESULTS = {
    "json": (b'{"words": 12, "\\u2028": "Gr\xc3\xbc\xc3\x9fe"}', "application/json"),
    "list": (b"[1.0]", "application/json; charset=utf-8"),
    "text": ("a;ü\n".encode(), "text/csv"),
    "bytes": (b"\x89PNG\xff\x00", "image/png"),
    "broken": (b"{\xff", "application/json"),
}


@pytest.mark.parametrize("mode", ["structured", "binary"])
@pytest.mark.parametrize("result", RESULTS)
async def test_the_official_library_reads_an_event_in_either_mode(mode: str, result: str) -> None:
    body, content_type = RESULTS[result]
    message = replace(with_result(body, content_type), traceparent=TRACE)
    form = form_of({"cloudevents": {"mode": mode, "source": "/docs?a=b"}})
    async with received(message, form) as request:
        event = event_of(request)
    assert event.get_specversion() == "1.0"
    assert event.get_id() == message.id == request.headers["webhook-id"]
    assert event.get_type() == "dev.sendoff.job.succeeded"
    assert event.get_source() == "/docs?a=b"
    assert event.get_subject() == message.job_id
    assert event.get_time() == message.ended_at.replace(microsecond=message.ended_at.microsecond // 1000 * 1000)
    assert event.get_datacontenttype() == content_type
    assert event.get_extension("traceparent") == TRACE
    data = event.get_data()
    is_text = result == "text"
    assert data == (json.loads(body) if result in ("json", "list") else body.decode() if is_text else body)


async def test_headers_that_are_no_plain_text_are_read_back() -> None:
    async with received(SUCCEEDED, BINARY) as request:
        assert request.headers["ce-source"] == "/a%20b/%C3%BC%25"
        event = event_of(request)
    assert (event.get_source(), event.get_type()) == ("/a b/ü%", "com.example.job.succeeded")


@pytest.mark.parametrize("message", [FAILED, BAD_STATUS, EXPIRED, COMPLETED, TEST])
async def test_both_modes_are_the_same_event_to_the_official_library(message: AnyMessage) -> None:
    events = []
    for mode in ("structured", "binary"):
        async with received(message, form_of({"cloudevents": {"mode": mode}})) as request:
            events.append(event_of(request))
    structured, binary = events
    assert structured.get_attributes() == binary.get_attributes()
    assert structured.get_data() == binary.get_data()


async def test_a_large_result_is_referred_to() -> None:
    large = with_result(b"x" * (LARGE + 1), "text/plain")
    async with received(large, FORMS["cloudevents"]) as request:
        event = event_of(request)
    assert event.get_data() is None
    assert event.get_extension("dataref").endswith("/result?sig=v1")


# What the options of a webhook and its body have to do with each other


async def test_an_own_content_type_wins_where_it_is_not_the_form_s() -> None:
    own = {"Content-Type": Secret("application/vnd.ours+json")}
    for name, form in ALL.items():
        if name == "cloudevents":
            with pytest.raises(ValueError, match=r"^headers\.Content-Type: expected another header, as body: cloudev"):
                webhook_settings.settings_of({"url": "http://a/", "body": form, "headers": own})
            continue
        settings = webhook_settings.settings_of({"url": "http://a/", "body": form, "headers": own})
        async with received(SUCCEEDED, form, headers=settings.headers) as request:
            assert request.headers["content-type"] == "application/vnd.ours+json"
            assert len(request.header_names) == len(request.headers)


async def test_own_extensions_of_an_event_are_headers() -> None:
    options = {"url": "http://a/", "body": BINARY, "headers": {"ce-region": Secret("eu")}}
    async with received(SUCCEEDED, BINARY, headers=webhook_settings.settings_of(options).headers) as request:
        assert event_of(request).get_extension("region") == "eu"


# Templates that fail


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("[{{ result.nope }}]", "UndefinedError: 'dict object' has no attribute 'nope'"),
        ("[{{ result.title }}]", "no JSON came of it, and its type is application/json: "),
        ("{% for a in range(9999) %}{{ result }}{% endfor %}", "makes more than 262144 characters"),
    ],
)
async def test_a_template_that_fails_is_a_failed_attempt_and_nothing_is_sent(source: str, said: str) -> None:
    async with receiving(OK) as receiver, opened(receiver.url, body=TemplateForm(source)) as destination:
        message = with_result(b'{"title": "no quotes around me"}', "application/json")
        outcome = await destination.send(sending_of(message))
        assert receiver.requests == []
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.TEMPLATE_ERROR)
    assert said in outcome.message
    assert len(outcome.message) <= 500


# Work that would keep the loop from everything else


def heavy(name: str) -> Message:
    size = LARGE + 1 if name != "template" else 10
    return with_result(b'"' + b"x" * size + b'"', None if name == "binary" else "application/json")


@pytest.mark.parametrize("name", ["message", "lambda", "cloudevents", "binary", "template"])
async def test_heavy_work_is_done_beside_the_loop(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    form, threads = ALL[name], list[int]()
    genuine = type(form).make

    def make(self: Form, *given: Any) -> Any:
        threads.append(threading.get_ident())
        return genuine(self, *given)

    monkeypatch.setattr(type(form), "make", make)
    async with received(heavy(name), form, inline_limit=2 * LARGE):
        pass
    assert threads
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("name", ["message", "raw", "thin", "lambda", "cloudevents", "binary"])
async def test_light_work_is_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    handed_on = list[object]()
    genuine = asyncio.to_thread

    async def to_thread(function: Any, *given: Any) -> Any:
        handed_on.append(function)
        return await genuine(function, *given)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    async with received(SUCCEEDED, ALL[name], secrets=(Secret(SECRETS[0]),)):
        pass
    if name in (
        "raw",
        "thin",
        "message",
        "cloudevents",
    ):  # linked, or not looked at
        async with received(with_result(b"1" * (LARGE + 1), "application/json"), ALL[name]):
            pass
    assert handed_on == []


# What no library can verify


async def test_bytes_that_are_no_text_are_signed_as_they_are() -> None:
    body = bytes(range(256))
    for form in (RAW, BINARY):
        async with received(with_result(body, "image/png"), form, secrets=(Secret(SECRETS[0]),)) as request:
            assert request.body == body
            with pytest.raises(UnicodeDecodeError):  # the official library takes text only
                IndependentVerifier(SECRETS[0]).verify(request.body, request.headers, json_parse=False)
            head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode()
            key = base64.b64decode(SECRETS[0].removeprefix("whsec_"))
            code = base64.b64encode(hmac.digest(key, head + body, "sha256")).decode()
            assert request.headers["webhook-signature"] == f"v1,{code}"


def test_the_hot_path_is_the_form_that_is_the_default() -> None:
    assert isinstance(webhook_settings.Settings(url="http://a/").body, MessageForm)
