"""Requests to events, and results to answers, as the reference has them."""

import base64
import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadBodyError, BodyTooLargeError
from pipeline.functions.wire import answer_headers, check_head, event_json
from pipeline.model import Result

ADDED = {
    "x-nf-request-id": ["id-1"],
    "client-ip": ["192.0.2.7"],
    "x-nf-client-connection-ip": ["192.0.2.7"],
    "x-forwarded-for": ["192.0.2.7"],
}


def event(
    body: bytes = b"",
    *headers: tuple[str, str],
    raw_query: str = "",
    body_limit: int = 1000,
) -> dict[str, Any]:
    made = event_json(
        method="POST",
        path="/.netlify/functions/dump/extra",
        raw_query=raw_query,
        raw_url="http://localhost:8888/.netlify/functions/dump/extra",
        headers=headers,
        body=body,
        request_id="id-1",
        client_ip="192.0.2.7",
        body_limit=body_limit,
    )
    parsed = json.loads(made)
    assert isinstance(parsed, dict)
    return parsed


def test_event_has_every_key_in_order() -> None:
    made = event(b'{"n":1}', ("Content-Type", "application/json"), raw_query="a=1&a=2&name=J%C3%BCrgen&b=&plus=a+b")
    assert list(made) == [
        "path", "httpMethod", "headers", "multiValueHeaders", "queryStringParameters",
        "multiValueQueryStringParameters", "body", "isBase64Encoded", "rawUrl", "rawQuery",
    ]  # fmt: skip
    assert made["path"] == "/.netlify/functions/dump/extra"
    assert made["httpMethod"] == "POST"
    assert made["rawUrl"] == "http://localhost:8888/.netlify/functions/dump/extra"
    assert made["rawQuery"] == "a=1&a=2&name=J%C3%BCrgen&b=&plus=a+b"
    assert made["queryStringParameters"] == {"a": "1, 2", "name": "Jürgen", "b": "", "plus": "a b"}
    assert made["multiValueQueryStringParameters"] == {
        "a": ["1", "2"], "name": ["Jürgen"], "b": [""], "plus": ["a b"]
    }  # fmt: skip
    assert (made["body"], made["isBase64Encoded"]) == ('{"n":1}', False)


def test_headers_are_lower_case_and_joined() -> None:
    made = event(b"", ("X-A", "1"), ("Accept", "*/*"), ("x-a", "2"))
    assert made["headers"]["x-a"] == "1, 2"
    assert made["multiValueHeaders"] == {"x-a": ["1", "2"], "accept": ["*/*"], **ADDED}


def test_added_headers_cannot_be_forged_and_the_proxies_are_kept() -> None:
    made = event(b"", ("Client-IP", "1.1.1.1"), ("X-NF-Request-Id", "mine"), ("X-Forwarded-For", "10.0.0.1"))
    assert made["headers"] == {
        "client-ip": "192.0.2.7",
        "x-nf-request-id": "id-1",
        "x-nf-client-connection-ip": "192.0.2.7",
        "x-forwarded-for": "10.0.0.1, 192.0.2.7",
    }


def test_no_body_is_null() -> None:
    made = event(b"", ("Content-Type", "text/plain"))
    assert (made["body"], made["isBase64Encoded"]) == (None, False)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "TEXT/HTML; charset=utf-8", "application/json", "application/vnd.api+json", "image/svg+xml",
     "application/xml", "application/x-www-form-urlencoded", "application/x-ndjson", "application/graphql",
     "application/javascript", "application/csp-report"],
)  # fmt: skip
def test_text_types_are_text(content_type: str) -> None:
    made = event("grün".encode(), ("content-type", content_type))
    assert (made["body"], made["isBase64Encoded"]) == ("grün", False)


@pytest.mark.parametrize(
    "content_type", ["application/pdf", "image/png", "application/jsonx", "", "multipart/form-data"]
)
def test_other_types_are_base64(content_type: str) -> None:
    made = event(b"abc", ("content-type", content_type))
    assert (made["body"], made["isBase64Encoded"]) == ("YWJj", True)


def test_body_without_type_is_base64() -> None:
    assert event(b"abc")["body"] == "YWJj"


def test_text_that_is_no_utf8_is_base64() -> None:
    made = event(b"\xffabc", ("content-type", "text/plain"))
    assert base64.b64decode(made["body"]) == b"\xffabc"
    assert made["isBase64Encoded"] is True


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["text/plain", "application/octet-stream", "x"]))
def test_every_body_can_be_had_back(body: bytes, content_type: str) -> None:
    made = event(body, ("content-type", content_type))
    text = made["body"]
    assert (base64.b64decode(text) if made["isBase64Encoded"] else text.encode()) == body


@given(st.text(st.characters(codec="utf-8")), st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=4))
def test_any_request_makes_an_event(query: str, headers: list[tuple[str, str]]) -> None:
    made = event(b"x", *headers, raw_query=query)
    assert made["rawQuery"] == query


def test_header_bytes_that_are_no_utf8_are_latin_1() -> None:
    made = event(b"", ("x-name", b"J\xfcrgen".decode("utf-8", "surrogateescape")), ("x-other", "Jürgen"))
    assert made["headers"]["x-name"] == made["headers"]["x-other"] == "Jürgen"


def test_gzip_is_undone_and_its_header_removed() -> None:
    packed = gzip.compress(b"abc", mtime=0) + gzip.compress(b"def", mtime=0)
    made = event(
        packed, ("Content-Encoding", "GZIP"), ("Content-Type", "text/plain"), ("Content-Length", str(len(packed)))
    )
    assert made["body"] == "abcdef"
    assert "content-encoding" not in made["headers"]
    assert made["headers"]["content-length"] == "6"


@pytest.mark.parametrize(("size", "passes"), [(1000, True), (1001, False), (50_000_000, False)])
def test_gzip_bomb_stops_at_the_limit(size: int, passes: bool) -> None:
    packed = gzip.compress(b"\0" * size, mtime=0)
    if passes:
        assert len(base64.b64decode(event(packed, ("content-encoding", "gzip"))["body"])) == size
    else:
        with pytest.raises(BodyTooLargeError):
            event(packed, ("content-encoding", "gzip"))


@pytest.mark.parametrize(
    "body", [b"abc", gzip.compress(b"abc", mtime=0)[:-1], gzip.compress(b"abc", mtime=0) + b"x", zlib.compress(b"abc")]
)
def test_what_is_not_gzip_is_a_bad_body(body: bytes) -> None:
    with pytest.raises(BadBodyError):
        event(body, ("content-encoding", "gzip"))


def test_other_encodings_pass_through() -> None:
    made = event(b"abc", ("content-encoding", "br"), ("content-type", "text/plain"))
    assert (made["body"], made["headers"]["content-encoding"]) == ("abc", "br")


def test_body_limit_is_exact() -> None:
    assert event(b"x" * 1000)["isBase64Encoded"]
    with pytest.raises(BodyTooLargeError):
        event(b"x" * 1001)


@pytest.mark.parametrize(
    ("status", "headers"),
    [(99, []), (600, []), ("200", []), (True, []), (None, []), (200, [("a b", "c")]), (200, [("", "c")]),
     (200, [("a", "b\nc")]), (200, [("a", "b\0")]), (200, [("a\r\n", "b")]), (200, [("ä", "b")])],
)  # fmt: skip
def test_head_that_http_cannot_carry_is_refused(status: Any, headers: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match=r"statusCode|header"):
        check_head(status, headers)


def test_head_is_kept_as_it_is() -> None:
    assert check_head(299, [["Set-Cookie", "a=1"], ["set-cookie", "b\t2"]]) == (
        299, (("Set-Cookie", "a=1"), ("set-cookie", "b\t2"))
    )  # fmt: skip


def test_answer_leaves_the_connections_headers_to_the_connection() -> None:
    result = Result(
        status=200, headers=(("Content-Length", "7"), ("X", "1"), ("Transfer-Encoding", "chunked")), body=b""
    )
    assert answer_headers(result) == [("X", "1")]
