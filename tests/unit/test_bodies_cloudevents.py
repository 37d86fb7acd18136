"""The form `cloudevents`: its attributes, what its data is, and where its data stands."""

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destinations.bodies.cloudevents import CloudEventsForm, Mode
from pipeline.model import AnyMessage, Message
from tests.support.messages import (
    BAD_STATUS,
    COMPLETED,
    EXPIRED,
    FAILED,
    JOB,
    LIMIT,
    SUCCEEDED,
    TRACED,
    body_of,
    signed,
    with_result,
)

STRUCTURED, BINARY = CloudEventsForm(), CloudEventsForm(mode=Mode.BINARY)


def event_of(message: AnyMessage, limit: int = LIMIT, form: CloudEventsForm = STRUCTURED) -> Any:
    return orjson.loads(body_of(message, form, limit, signed).content)


def test_both_modes_say_the_same_of_an_event() -> None:
    for message in (SUCCEEDED, TRACED, FAILED, BAD_STATUS, EXPIRED, COMPLETED):
        event, binary = event_of(message), body_of(message, BINARY, link=signed)
        headers = {name.removeprefix("ce-"): unquote(value) for name, value in binary.headers}
        assert {**headers, "datacontenttype": binary.content_type} == {
            name: value for name, value in event.items() if name != "data"
        }
        is_json = binary.content_type == "application/json"
        assert event["data"] == (orjson.loads(binary.content) if is_json else binary.content.decode())


def test_an_event_is_structured_where_nothing_else_is_said() -> None:
    assert CloudEventsForm().mode is Mode.STRUCTURED
    assert body_of(SUCCEEDED, STRUCTURED).content_type == "application/cloudevents+json; charset=utf-8"
    assert "traceparent" not in event_of(SUCCEEDED)


def test_source_and_prefix_can_be_set() -> None:
    form = CloudEventsForm(source="/documents", type_prefix="com.example")
    event = event_of(SUCCEEDED, form=form)
    assert (event["source"], event["type"]) == ("/documents", "com.example.job.succeeded")


@given(st.text())
def test_what_stands_in_a_header_is_printable_and_can_be_read_back(source: str) -> None:
    headers = dict(body_of(SUCCEEDED, replace(BINARY, source=f"/{source}")).headers)
    assert all("\x21" <= character <= "\x7e" and character != '"' for character in headers["ce-source"])
    assert unquote(headers["ce-source"]) == f"/{source}" or "\ufffd" in unquote(headers["ce-source"])


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("/a/b?c=d&e=f#g", "/a/b?c=d&e=f#g"),
        ("/a%20b", "/a%2520b"),
        ('/a "b"', "/a%20%22b%22"),
        ("/Euro €", "/Euro%20%E2%82%AC"),
        ("/😀", "/%F0%9F%98%80"),
    ],
)
def test_headers_are_written_as_the_binding_says(source: str, written: str) -> None:
    assert dict(body_of(SUCCEEDED, replace(BINARY, source=source)).headers)["ce-source"] == written


TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"


@pytest.mark.parametrize(
    ("declared", "body", "content_type", "member", "value"),
    [
        ("application/json", b'{"a": 1}', "application/json", "data", {"a": 1}),
        ("application/problem+json", b"[]", "application/problem+json", "data", []),
        ("application/json", b"{broken", "application/json", "data_base64", b"{broken"),
        ("application/json", b"", "application/json", "data_base64", b""),
        (None, b"12", "application/json", "data", 12),
        (None, b"hello", TEXT, "data", "hello"),
        (None, b"\xff\xfe", BYTES, "data_base64", b"\xff\xfe"),
        ("text/csv", "a;ü\n".encode(), "text/csv", "data", "a;ü\n"),
        ("text/csv; charset=UTF-8", "ü".encode(), "text/csv; charset=UTF-8", "data", "ü"),
        ("text/csv; charset=latin-1", b"a;b", "text/csv; charset=latin-1", "data_base64", b"a;b"),
        ("text/plain", b"\xff", "text/plain", "data_base64", b"\xff"),
        ("application/xml", b"<a/>", "application/xml", "data", "<a/>"),
        ("image/svg+xml", b"<svg/>", "image/svg+xml", "data", "<svg/>"),
        ("image/png", b"\x89PNG", "image/png", "data_base64", b"\x89PNG"),
        (BYTES, b"abc", BYTES, "data_base64", b"abc"),
    ],
)
def test_where_the_data_stands_says_its_type(
    declared: str | None, body: bytes, content_type: str, member: str, value: Any
) -> None:
    message = with_result(body, declared)
    event = event_of(message)
    assert event["datacontenttype"] == content_type
    assert {"data", "data_base64", "dataref"} & event.keys() == {member}
    assert (base64.b64decode(event[member]) if member == "data_base64" else event[member]) == value
    binary = body_of(message, BINARY)
    assert (binary.content, binary.content_type) == (body, content_type)


@pytest.mark.parametrize(("limit", "is_inline"), [(15, False), (16, True)])
def test_the_limit_counts_base64_too(limit: int, is_inline: bool) -> None:
    assert ("data_base64" in event_of(with_result(b"\xff" * 10, "image/png"), limit + 2)) is is_inline


def test_a_large_result_is_referred_to_in_one_mode_and_sent_in_the_other() -> None:
    message = with_result(b"x" * (LIMIT + 1), "text/plain")
    event = event_of(message)
    assert event["dataref"] == f"https://sendoff.example/v1/jobs/{JOB}/result?sig=v1"
    assert not {"data", "data_base64"} & event.keys()
    assert len(body_of(message, BINARY).content) == LIMIT + 1


@pytest.mark.parametrize("message", [FAILED, EXPIRED, COMPLETED])
def test_without_a_result_the_data_is_that_of_a_message(message: AnyMessage) -> None:
    data = event_of(message)["data"]
    assert data.keys() == ({"job", "error"} if isinstance(message, Message) else {"batch", "failures", "results_url"})


def test_the_headers_that_make_it_an_event_are_its_own() -> None:
    names = [name for name, _ in body_of(TRACED, BINARY).headers]
    assert all(map(BINARY.owns, names))
    assert all(map(STRUCTURED.owns, [*names, "content-type", "ce-region"]))
    for name in ("content-type", "ce-region", "traceparent", "x-ce-id"):
        assert not BINARY.owns(name)  # the type of the data, and extensions
