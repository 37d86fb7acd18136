"""HTTP on one side, events and results on the other: what a function is called with, and how its result is answered.

Pure. The shapes are Netlify's (AWS's API Gateway event, version 1), byte for byte where a function can see them.
"""

import base64
import re
import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson

from pipeline.errors import BadBodyError, BodyTooLargeError
from pipeline.model import Result

_TEXT_TYPES = frozenset(
    f"application/{name}"
    for name in ("csp-report", "graphql", "json", "javascript", "x-www-form-urlencoded", "x-ndjson", "xml")
)
_GZIP_WINDOW = 31  # zlib's number for "a gzip header and nothing else"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_NOT_IN_A_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OWN_HEADERS = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)

Headers = Sequence[tuple[str, str]]


def event_json(
    *,
    method: str,
    path: str,
    raw_query: str,
    raw_url: str,
    headers: Headers,
    body: bytes,
    request_id: str,
    client_ip: str,
    peer_ip: str | None = None,
    body_limit: int,
) -> bytes:
    """Return the event for one request, as JSON; `peer_ip` is who connected, where that is a proxy of the client's.

    `headers` come as they were sent, less what the service keeps to itself (keys, cookies). gzip is undone here; an
    empty body counts as none. Raises BodyTooLargeError where the unpacked body is longer than `body_limit`, and
    BadBodyError where it is not gzip although it says so.
    """
    received = _merge(headers)
    encodings = received.get("content-encoding", [])
    if body and len(encodings) == 1 and encodings[0].strip().lower() in ("gzip", "x-gzip"):
        body = _gunzip(body, body_limit)
        del received["content-encoding"]
        if "content-length" in received:
            received["content-length"] = [str(len(body))]
    elif len(body) > body_limit:
        raise BodyTooLargeError(f"the body is longer than {body_limit} bytes")
    received["x-nf-request-id"] = [request_id]
    received["client-ip"] = received["x-nf-client-connection-ip"] = [client_ip]
    received.setdefault("x-forwarded-for", []).append(client_ip if peer_ip is None else peer_ip)
    query = _query(raw_query)
    text, is_base64 = _body(body, received.get("content-type", [""])[0])
    return _dumps(
        {
            "path": path,
            "httpMethod": method,
            "headers": _joined(received),
            "multiValueHeaders": received,
            "queryStringParameters": _joined(query),
            "multiValueQueryStringParameters": query,
            "body": text,
            "isBase64Encoded": is_base64,
            "rawUrl": raw_url,
            "rawQuery": raw_query,
        }
    )


def check_head(status: Any, headers: Any) -> tuple[int, tuple[tuple[str, str], ...]]:
    """Return a response's status and headers as they go into a Result.

    Raises ValueError, with a sentence for the function's author, for what HTTP cannot carry.
    """
    if type(status) is not int or not 100 <= status <= 599:
        raise ValueError(f"statusCode must be a number from 100 to 599, got {status!r:.80}")
    checked = []
    for name, value in headers:
        if _TOKEN.fullmatch(name) is None:
            raise ValueError(f"a header's name must be a token as HTTP has it, got {name!r:.80}")
        if _NOT_IN_A_VALUE.search(value):
            raise ValueError(f"the header {name} must not contain line breaks or control characters")
        checked.append((name, value))
    return status, tuple(checked)


def answer_headers(result: Result) -> list[tuple[str, str]]:
    """Return the headers of `result` for an HTTP answer: all but those that are the connection's to set."""
    return [(name, value) for name, value in result.headers if name.lower() not in _OWN_HEADERS]


def _merge(pairs: Headers) -> dict[str, list[str]]:
    merged: dict[str, list[str]] = {}
    for name, value in pairs:
        merged.setdefault(name.lower(), []).append(value)
    return merged


def _query(raw_query: str) -> dict[str, list[str]]:
    if not raw_query:
        return {}
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(raw_query, keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return values


def _joined(values: dict[str, list[str]]) -> dict[str, str]:
    return {name: ", ".join(several) for name, several in values.items()}


def _body(body: bytes, content_type: str) -> tuple[str | None, bool]:
    if not body:
        return None, False
    if _is_text(content_type):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass  # Netlify destroys such a body; base64 keeps every byte
    return base64.b64encode(body).decode("ascii"), True


def _is_text(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type.startswith("text/") or media_type.endswith(("+json", "+xml")) or media_type in _TEXT_TYPES


def _gunzip(body: bytes, limit: int) -> bytes:
    """Unpack all members of a gzip file, never making more than `limit` bytes and one."""
    unpacked = bytearray()
    while body:
        member = zlib.decompressobj(wbits=_GZIP_WINDOW)
        try:
            unpacked += member.decompress(body, limit - len(unpacked) + 1)
        except zlib.error:
            raise BadBodyError("the body is not gzip, although its content-encoding says so") from None
        if len(unpacked) > limit:
            raise BodyTooLargeError(f"the unpacked body is longer than {limit} bytes")
        if not member.eof:
            raise BadBodyError("the gzip body ends too early")
        body = member.unused_data
    return bytes(unpacked)


def _dumps(event: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(event)
    except TypeError:
        # aiohttp hands bytes that are no UTF-8 on as lone surrogates, which JSON cannot hold: take them for Latin-1.
        return orjson.dumps(_without_surrogates(event))


def _without_surrogates(value: Any) -> Any:
    match value:
        case dict():
            return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
        case list():
            return [_without_surrogates(item) for item in value]
        case str() if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return value.encode("utf-8", "surrogateescape").decode("latin-1")
    return value
