"""The bodies of messages: exact bytes against golden files, and the value of a result as JSON."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry

from destinations.body import Body, Form, make_body
from pipeline.model import JobReason, JobState, Message, MessageType, Result, RunError
from pipeline.values import value_json

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
JOB = "01960000-0000-7000-8000-00000000002a"
AT = datetime(2026, 3, 1, 12, 0, 0, 123999, tzinfo=UTC)

SUCCEEDED = Message(
    id="msg_01960000-0000-7000-8000-00000000002b",
    type=MessageType.JOB_SUCCEEDED,
    job_id=JOB,
    function="extract-background",
    state=JobState.SUCCEEDED,
    reason=None,
    attempt=2,
    created_at=AT,
    started_at=AT + timedelta(seconds=1),
    ended_at=AT + timedelta(seconds=3),
    tags=("invoices", "März"),
    batch_id="01960000-0000-7000-8000-000000000001",
    parent_id=None,
    depth=0,
    error=None,
    result=Result(
        status=200, headers=(("Content-Type", "application/json"),), body=b'{ "words": 12,\n "exact": 1.00 }'
    ),
)
FAILED = replace(
    SUCCEEDED,
    type=MessageType.JOB_FAILED,
    state=JobState.FAILED,
    reason=JobReason.ERROR,
    result=None,
    error=RunError(type="ValueError", message="no text in “page 3”", stack=('File "extract.py", line 7, in handler',)),
)
BAD_STATUS = replace(
    FAILED,
    reason=JobReason.BAD_STATUS,
    result=Result(status=503, headers=(("content-type", "text/plain"),), body=b"try later"),
    error=RunError(type="BadStatus", message="the function answered 503"),
)
EXPIRED = replace(FAILED, state=JobState.EXPIRED, reason=None, error=None, started_at=None, attempt=0)
LARGE = replace(SUCCEEDED, result=Result(status=200, headers=(), body=b"[" + b"1," * 200_000 + b"1]"))


def body_of(message: Message, form: Form = Form.MESSAGE, inline_limit: int = 262_144) -> Body:
    return make_body(form, message, base_url="https://sendoff.example", inline_limit=inline_limit)


def with_result(body: bytes, content_type: str | None = None) -> Message:
    headers = () if content_type is None else (("Content-Type", content_type),)
    return replace(SUCCEEDED, result=Result(status=200, headers=headers, body=body))


GOLDEN_FILES = {
    "message-succeeded.json": (SUCCEEDED, Form.MESSAGE),
    "message-failed.json": (FAILED, Form.MESSAGE),
    "message-bad-status.json": (BAD_STATUS, Form.MESSAGE),
    "message-expired.json": (EXPIRED, Form.MESSAGE),
    "message-result-url.json": (LARGE, Form.MESSAGE),
    "raw.json": (SUCCEEDED, Form.RAW),
}


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_each_form_is_its_golden_file_byte_for_byte(name: str) -> None:
    message, form = GOLDEN_FILES[name]
    content = body_of(message, form).content
    if os.environ.get("SENDOFF_WRITE_GOLDEN"):
        (GOLDEN / name).write_bytes(content)
    assert content == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("name", [name for name, (_, form) in GOLDEN_FILES.items() if form is Form.MESSAGE])
def test_golden_messages_fit_the_published_schema(name: str) -> None:
    schema = json.loads((ROOT / "schemas" / "message.schema.json").read_text("utf-8"))
    Draft202012Validator(schema, registry=Registry()).validate(json.loads((GOLDEN / name).read_bytes()))


def content_of(message: Message) -> Any:
    return orjson.loads(body_of(message).content)


def test_a_value_stands_in_the_message_byte_for_byte() -> None:
    assert SUCCEEDED.result is not None
    assert b'"result":' + SUCCEEDED.result.body + b',"error":null}' in body_of(SUCCEEDED).content


def test_a_message_has_a_result_or_its_link_only_where_there_is_one() -> None:
    assert "result_url" not in content_of(SUCCEEDED)["data"]
    assert content_of(BAD_STATUS)["data"]["result"] == "try later"
    assert not {"result", "result_url"} & content_of(FAILED)["data"].keys()
    large = content_of(LARGE)["data"]
    assert "result" not in large
    assert large["result_url"] == large["job"]["links"]["result"] == f"https://sendoff.example/v1/jobs/{JOB}/result"


@pytest.mark.parametrize(("limit", "is_inline"), [(9, False), (10, True), (11, True)])
def test_the_limit_holds_for_the_bytes_that_would_stand_in_the_message(limit: int, is_inline: bool) -> None:
    for message in (with_result(b"1234567890"), with_result(b"12345678", "text/plain")):
        content = orjson.loads(body_of(message, inline_limit=limit).content)
        assert ("result" in content["data"]) is is_inline


def test_raw_is_the_result_itself_whatever_its_size() -> None:
    sent = body_of(with_result(b"\x00\xff" * 300_000, "image/png"), Form.RAW)
    assert sent == Body(content=b"\x00\xff" * 300_000, content_type="image/png")


def test_raw_without_a_result_is_the_message() -> None:
    assert body_of(FAILED, Form.RAW) == body_of(FAILED)
    assert body_of(FAILED).content_type == "application/json"


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain\r\nX-Evil: 1", "text/plané", " text/plain", "a" * 300, "a\x00b"]
)
def test_raw_passes_on_no_type_that_could_not_stand_in_a_header(content_type: str | None) -> None:
    assert body_of(with_result(b"x", content_type), Form.RAW).content_type == "application/octet-stream"


def test_moments_are_utc_to_the_millisecond_never_rounded_up() -> None:
    tokyo = replace(
        SUCCEEDED, created_at=AT.astimezone(timezone(timedelta(hours=9))), ended_at=AT.replace(microsecond=0)
    )
    assert content_of(tokyo)["data"]["job"]["created_at"] == "2026-03-01T12:00:00.123Z"
    assert content_of(tokyo)["timestamp"] == content_of(tokyo)["data"]["job"]["ended_at"] == "2026-03-01T12:00:00.000Z"


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        ("application/json", b'{"a": 1.0}', b'{"a": 1.0}'),
        ("application/json", b" [1] \n", b" [1] \n"),
        ("Application/JSON; charset=utf-8", b"null", b"null"),
        ("application/problem+json", b'"x"', b'"x"'),
        ("application/json", b"{broken", b'"{broken"'),
        ("application/json", b"NaN", b'"NaN"'),
        ("application/json", b"[1] trailing", b'"[1] trailing"'),
        ("application/json", b"", b'""'),
        (None, b"12", b"12"),
        (None, b"hello", b'"hello"'),
        (None, b"", b'""'),
        ("text/plain", b"12", b'"12"'),
        ("text/plain", 'grün "x"\n'.encode(), '"grün \\"x\\"\\n"'.encode()),
        ("text/x-json-like", b"[]", b'"[]"'),
        ("image/png", b"\x89PNG\xff", b'"iVBORw/="'.replace(b"iVBORw/=", b"iVBOR/8=")),
        (None, b"\xff\xfe", b'"//4="'),
        ("application/json", b'"\xff"', b'"Iv8i"'),
        ("application/json", b"\xef\xbb\xbf1", '"\ufeff1"'.encode()),
    ],
)
def test_the_value_of_a_result(content_type: str | None, body: bytes, value: bytes) -> None:
    result = with_result(body, content_type).result
    assert result is not None
    assert value_json(result) == value


@given(
    body=st.binary() | st.text().map(str.encode),
    content_type=st.sampled_from([None, "application/json", "text/plain", "a/b"]),
)
def test_whatever_a_function_returns_the_message_is_valid_json(body: bytes, content_type: str | None) -> None:
    content = json.loads(body_of(with_result(body, content_type)).content)
    assert content["data"]["job"]["id"] == JOB
