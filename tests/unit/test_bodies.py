"""The forms of bodies: exact bytes against golden files and schemas, and what each form makes of each message."""

import os
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import ValidationError

from destinations.bodies.base import Body, Form
from destinations.bodies.cloudevents import CloudEventsForm, Mode
from destinations.bodies.forms import FORMS, LAMBDA, RAW, THIN, form_of
from destinations.bodies.message import MESSAGE
from destinations.bodies.template import TemplateForm
from pipeline.model import AnyMessage, Message
from pipeline.values import value_json
from schemas import load_schema
from tests.support.messages import (
    ALERT,
    AT,
    BAD_STATUS,
    COMPLETED,
    EVENT,
    EXPIRED,
    FAILED,
    JOB,
    LARGE,
    LIMIT,
    MESSAGES,
    SUCCEEDED,
    TEST,
    TRACED,
    body_of,
    signed,
    with_result,
)
from tests.support.shapes import check

GOLDEN = Path(__file__).parents[1] / "golden"
STRUCTURED, BINARY = FORMS["cloudevents"], CloudEventsForm(mode=Mode.BINARY)
TEMPLATE = TemplateForm(
    '{"text": "{{ job.function }}: {{ error.errorMessage if error else result.words }}", "tags": {{ job.tags }}}'
)
ALL = {**FORMS, "binary": BINARY, "template": TEMPLATE}

GOLDEN_FILES: dict[str, tuple[AnyMessage, Form, str | None]] = {
    "message-succeeded.json": (SUCCEEDED, MESSAGE, "message"),
    "message-failed.json": (FAILED, MESSAGE, "message"),
    "message-bad-status.json": (BAD_STATUS, MESSAGE, "message"),
    "message-expired.json": (EXPIRED, MESSAGE, "message"),
    "message-result-url.json": (LARGE, MESSAGE, "message"),
    "message-batch.json": (COMPLETED, MESSAGE, "message"),
    "message-alert.json": (ALERT, MESSAGE, "message"),
    "raw.json": (SUCCEEDED, RAW, None),
    "thin-succeeded.json": (SUCCEEDED, THIN, "thin-message"),
    "thin-failed.json": (FAILED, THIN, "thin-message"),
    "thin-batch.json": (COMPLETED, THIN, "thin-message"),
    "thin-alert.json": (ALERT, THIN, "thin-message"),
    "lambda-succeeded.json": (SUCCEEDED, LAMBDA, "lambda-record"),
    "lambda-failed.json": (FAILED, LAMBDA, "lambda-record"),
    "lambda-expired.json": (EXPIRED, LAMBDA, "lambda-record"),
    "lambda-result-url.json": (LARGE, LAMBDA, "lambda-record"),
    "cloudevents-structured.json": (TRACED, STRUCTURED, "cloudevent"),
    "cloudevents-structured-failed.json": (FAILED, STRUCTURED, "cloudevent"),
    "cloudevents-structured-batch.json": (COMPLETED, STRUCTURED, "cloudevent"),
    "cloudevents-structured-alert.json": (ALERT, STRUCTURED, "cloudevent"),
    "cloudevents-structured-dataref.json": (LARGE, STRUCTURED, "cloudevent"),
    "cloudevents-binary.http": (TRACED, BINARY, None),
    "template.json": (FAILED, TEMPLATE, None),
}


def written(name: str) -> bytes:
    """Return what a golden file holds: a body, and before it its headers, where it has any of its own."""
    message, form, _ = GOLDEN_FILES[name]
    body = body_of(message, form)
    if not name.endswith(".http"):
        assert body.headers == ()
        return body.content
    lines = [f"{key}: {value}\n" for key, value in (*body.headers, ("content-type", body.content_type))]
    return "".join([*lines, "\n"]).encode() + body.content


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_each_form_is_its_golden_file_byte_for_byte(name: str) -> None:
    if os.environ.get("SENDOFF_WRITE_GOLDEN"):
        (GOLDEN / name).write_bytes(written(name))
    assert written(name) == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("name", [name for name, (*_, schema) in GOLDEN_FILES.items() if schema])
def test_golden_files_fit_the_published_schemas(name: str) -> None:
    schema = GOLDEN_FILES[name][2]
    assert schema is not None
    check(schema, orjson.loads((GOLDEN / name).read_bytes()))


def test_the_schema_names_the_forms_of_the_table() -> None:
    webhook, function = (load_schema(name)["properties"] for name in ("webhook", "function"))
    named, options = webhook["body"]["anyOf"]
    assert named["enum"] == list(FORMS)
    assert set(function["payload"]["enum"]) <= set(FORMS)
    assert options["properties"]["content_type"]["default"] == TEMPLATE.content_type


def test_every_form_has_a_golden_file() -> None:
    assert {form for _, form, _ in GOLDEN_FILES.values()} == set(ALL.values())


SCHEMAS = {"message": "message", "thin": "thin-message", "lambda": "lambda-record", "cloudevents": "cloudevent"}


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("form", SCHEMAS)
def test_every_message_fits_the_schema_of_its_form(name: str, form: str) -> None:
    is_other = form == "lambda" and name in ("batch", "alert")  # AWS has no record of these
    check("message" if is_other else SCHEMAS[form], orjson.loads(body_of(MESSAGES[name], FORMS[form]).content))


# message


def content_of(message: AnyMessage, form: Form = MESSAGE, inline_limit: int = LIMIT) -> Any:
    return orjson.loads(body_of(message, form, inline_limit, signed).content)


def test_a_value_stands_in_the_message_byte_for_byte() -> None:
    assert SUCCEEDED.result is not None
    assert b'"result":' + SUCCEEDED.result.body + b',"error":null}' in body_of(SUCCEEDED, MESSAGE).content


def test_a_message_has_a_result_or_its_link_only_where_there_is_one() -> None:
    assert "result_url" not in content_of(SUCCEEDED)["data"]
    assert content_of(BAD_STATUS)["data"]["result"] == "try later"
    assert not {"result", "result_url"} & content_of(FAILED)["data"].keys()
    large = content_of(LARGE)["data"]
    assert "result" not in large
    assert large["job"]["links"]["result"] == f"https://sendoff.example/v1/jobs/{JOB}/result"
    assert large["result_url"] == f"{large['job']['links']['result']}?sig=v1"


LINKED = {
    MESSAGE: lambda content: content["data"].get("result_url"),
    LAMBDA: lambda content: isinstance(content["responsePayload"], dict) and content["responsePayload"]["result_url"],
    STRUCTURED: lambda content: content.get("dataref"),
}


@pytest.mark.parametrize("form", LINKED, ids=lambda form: form.name)
@pytest.mark.parametrize(("limit", "is_inline"), [(9, False), (10, True), (11, True)])
def test_the_limit_holds_for_the_bytes_that_would_stand_in_the_body(form: Form, limit: int, is_inline: bool) -> None:
    link = f"https://sendoff.example/v1/jobs/{JOB}/result?sig=v1"
    for message in (with_result(b"1234567890"), with_result(b"12345678", "text/plain")):
        assert LINKED[form](content_of(message, form, limit)) == (None if is_inline else link) or is_inline
        assert bool(LINKED[form](content_of(message, form, limit))) is not is_inline


def test_exactly_those_forms_say_that_they_link_which_do() -> None:
    for form in (*FORMS.values(), BINARY):
        is_linked = b"/result?sig=v1" in body_of(LARGE, form, LIMIT, signed).content
        assert form.links_results is is_linked, form
    assert not TEMPLATE.links_results  # what it links is its author's affair


def test_moments_are_utc_to_the_millisecond_never_rounded_up() -> None:
    tokyo = replace(
        SUCCEEDED, created_at=AT.astimezone(timezone(timedelta(hours=9))), ended_at=AT.replace(microsecond=0)
    )
    assert content_of(tokyo)["data"]["job"]["created_at"] == "2026-03-01T12:00:00.123Z"
    assert content_of(tokyo)["timestamp"] == content_of(tokyo)["data"]["job"]["ended_at"] == "2026-03-01T12:00:00.000Z"


# raw


def test_raw_is_the_result_itself_whatever_its_size() -> None:
    sent = body_of(with_result(b"\x00\xff" * 300_000, "image/png"), RAW)
    assert sent == Body(content=b"\x00\xff" * 300_000, content_type="image/png")


@pytest.mark.parametrize("message", [FAILED, EXPIRED, COMPLETED])
def test_raw_without_a_result_is_the_message(message: AnyMessage) -> None:
    assert body_of(message, RAW) == body_of(message, MESSAGE)
    assert body_of(message, RAW).content_type == "application/json"


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain\r\nX-Evil: 1", "text/plané", " text/plain", "a" * 300, "a\x00b"]
)
def test_no_form_passes_on_a_type_that_could_not_stand_in_a_header(content_type: str | None) -> None:
    message = with_result(b"\xff", content_type)
    assert body_of(message, RAW).content_type == "application/octet-stream"
    assert body_of(message, BINARY).content_type == "application/octet-stream"
    assert content_of(message, STRUCTURED)["datacontenttype"] == "application/octet-stream"


# thin


def test_thin_tells_nothing_of_what_came_of_the_job_but_its_type() -> None:
    content = content_of(replace(FAILED, result=BAD_STATUS.result), THIN)
    assert content["type"] == "job.failed"
    assert content["data"].keys() == {"job", "result_url"}
    assert content["data"]["job"].keys() == {"id", "function", "batch_id", "parent_id", "links"}
    assert content["data"]["result_url"].endswith(f"/v1/jobs/{JOB}/result?sig=v1")


# Bytes

PNG = b"\x89PNG\xff"


def test_bytes_are_marked_as_base64_and_a_text_that_looks_like_it_is_not() -> None:
    encoded = b64encode(PNG).decode()
    bytes_, text = with_result(PNG, "image/png"), with_result(encoded.encode(), "text/plain")
    data = content_of(bytes_, MESSAGE)["data"]
    assert (data["result"], data["result_encoding"]) == (encoded, "base64")
    assert content_of(text, MESSAGE)["data"].keys() == {"job", "result", "error"}
    template = TemplateForm("[{{ result | tojson }}, {{ result_encoding | tojson }}]")
    assert [content_of(each, template)[1] for each in (bytes_, text, FAILED)] == ["base64", None, None]


@pytest.mark.parametrize("content_type", ["image/png", None])
def test_in_a_record_bytes_are_what_a_function_of_lambda_answers_with_bytes_by(content_type: str | None) -> None:
    record = content_of(with_result(PNG, content_type), LAMBDA)
    check("lambda-record", record)
    assert record["responsePayload"] == {
        "statusCode": 200,
        "headers": {"Content-Type": content_type} if content_type else {},
        "body": b64encode(PNG).decode(),
        "isBase64Encoded": True,
    }


@pytest.mark.parametrize("form", [MESSAGE, THIN], ids=str)
def test_the_results_of_a_batch_are_linked_so_that_the_receiver_can_follow(form: Form) -> None:
    data = content_of(COMPLETED, form)["data"]
    assert data["results_url"] == f"{data['batch']['links']['results']}?sig=v1"
    assert b"sig=" not in orjson.dumps(data["batch"]["links"])


# lambda


def test_a_record_of_a_batch_is_the_message() -> None:
    assert body_of(COMPLETED, LAMBDA) == body_of(COMPLETED, MESSAGE)


@pytest.mark.parametrize(
    ("message", "condition", "payload"),
    [
        (SUCCEEDED, "Success", {"words": 12, "exact": 1.0}),
        (TEST, "Success", {"words": 12, "exact": 1.0}),
        (BAD_STATUS, "RetriesExhausted", "try later"),
        (EXPIRED, "EventAgeExceeded", None),
    ],
)
def test_a_record_says_how_it_ended_in_the_words_of_aws(message: Message, condition: str, payload: Any) -> None:
    record = content_of(message, LAMBDA)
    assert record["requestContext"]["condition"] == condition
    assert record["responsePayload"] == payload
    assert ("functionError" in record["responseContext"]) is (condition != "Success")
    assert record["requestPayload"] == orjson.loads(EVENT)


AWS: list[dict[str, Any]] = [
    # Facts of the Lambda Developer Guide: names, kinds of values and constants; the ids are made up.
    {
        "version": "1.0",
        "timestamp": "2026-03-01T12:00:03.568Z",
        "requestContext": {
            "requestId": "0d8a7f0e-7c1b-4f3e-9a52-4e6a1f6f2b11",
            "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:my-function:$LATEST",
            "condition": condition,
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"ids": [1, 2]},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"} | failed,
        "responsePayload": payload,
    }
    for condition, failed, payload in (
        ("Success", {}, {"any": "JSON"}),
        ("RetriesExhausted", {"functionError": "Unhandled"}, {"errorMessage": "it ended before it was done"}),
    )
]


def kinds_of(value: Any) -> Any:
    """Return the kinds of values in a record, without what is the function's own."""
    if not isinstance(value, dict):
        return type(value)
    return {key: kinds_of(each) for key, each in value.items() if not key.endswith("Payload")}


@pytest.mark.parametrize(("aws", "message"), [(AWS[0], SUCCEEDED), (AWS[1], FAILED)], ids=["succeeded", "failed"])
def test_a_record_is_what_aws_documents(aws: dict[str, Any], message: Message) -> None:
    check("lambda-record", aws)
    record = content_of(message, LAMBDA)
    assert list(record) == list(aws)
    assert kinds_of(record) == kinds_of(aws)
    assert record["version"] == aws["version"]
    assert record["responseContext"] == aws["responseContext"]
    assert record["requestContext"]["condition"] == aws["requestContext"]["condition"]
    # Counted from the end, as the page of the forms advises, both have the name in the same place.
    arns = [each["requestContext"]["functionArn"].split(":") for each in (record, aws)]
    assert arns[0] == ["arn", "sendoff", "function", message.function, "$LATEST"]
    assert [arn[-3] for arn in arns] == ["function", "function"]
    for each in (record, aws):
        broken = {**each, "responseContext": {}}
        with pytest.raises(ValidationError):
            check("lambda-record", broken)


# All of them


@pytest.mark.parametrize("form", ["message", "raw", "thin", "lambda", "cloudevents"])
def test_a_form_is_named_and_takes_no_options(form: str) -> None:
    assert form_of(form).name == form
    assert form_of(form_of(form)) == form_of(form)


def test_forms_with_the_same_options_are_equal() -> None:
    assert form_of({"cloudevents": {"mode": "binary"}}) == BINARY != STRUCTURED
    assert form_of({"cloudevents": {}}) == STRUCTURED
    assert form_of({"template": TEMPLATE.source}) == TEMPLATE
    assert form_of({"template": TEMPLATE.source, "content_type": "text/plain"}) != TEMPLATE


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
    content_type=st.sampled_from([None, "application/json", "text/plain", "text/plain; charset=latin-1", "a/b"]),
    form=st.sampled_from([MESSAGE, THIN, LAMBDA, STRUCTURED]),
)
def test_whatever_a_function_returns_the_body_is_valid_json(body: bytes, content_type: str | None, form: Form) -> None:
    assert JOB in orjson.dumps(content_of(with_result(body, content_type), form)).decode()
