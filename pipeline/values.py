"""The value of a result, as JSON bytes: what `when` filters, templates and message bodies see. Pure."""

import base64
from typing import Any, NamedTuple

import orjson

from pipeline import strictjson
from pipeline.errors import BadJsonError
from pipeline.model import Result

BASE64 = "base64"
"""The encoding of a value that stands for bytes; no other has one."""


class Value(NamedTuple):
    """The value of a result, and how it is encoded, so that base64 can be told from a text that looks like it."""

    json: bytes
    encoding: str | None

    @property
    def members(self) -> dict[str, Any]:
        """Return what stands in a document that shows the result, for orjson."""
        shown = {"result": orjson.Fragment(self.json)}
        return shown if self.encoding is None else shown | {"result_encoding": self.encoding}


def value_of(result: Result) -> Value:
    """Return the value of `result` as valid JSON in UTF-8, byte for byte its body where that is JSON already.

    The body is JSON if its type says so or it has none, and it parses strictly; else the value is the text as a JSON
    string. Bytes that are no UTF-8 are given as a JSON string of their base64.
    """
    if is_json(result):
        return Value(result.body, None)
    try:
        return Value(orjson.dumps(result.body.decode()), None)
    except UnicodeDecodeError:
        return Value(b'"%b"' % base64.b64encode(result.body), BASE64)


def value_json(result: Result) -> bytes:
    """Return the value of `result` alone."""
    return value_of(result).json


def is_json(result: Result) -> bool:
    """Tell whether the body of `result` is JSON, and its type does not say that it is something else."""
    content_type = result.content_type
    return (content_type is None or is_json_type(content_type)) and _parses(result.body)


def is_json_type(content_type: str) -> bool:
    """Tell whether a Content-Type is `application/json` or another that ends in `+json`, whatever its parameters."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _parses(body: bytes) -> bool:
    try:
        strictjson.check(body)
    except BadJsonError:
        return False
    return True
