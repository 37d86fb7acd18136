"""The items of a batch: from the line, or the file, of an upload to what a job is called with. Pure."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pipeline import strictjson
from pipeline.errors import BadJsonError
from pipeline.model import Reject
from pipeline.web.fitting import misfits

_TEXT, _JSON, _BYTES = "text/plain; charset=utf-8", "application/json", "application/octet-stream"

_CALLBACK = "x-callback-url"
_ONE_CALLBACK = "a batch has one X-Callback-Url, for all of it: send it as a header of the request, and of no item"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item that can be a job."""

    index: int
    body: bytes
    headers: tuple[tuple[str, str], ...]
    """As the function sees them, its content type among them."""
    tags: tuple[str, ...] = ()
    key: str | None = None

    @property
    def digest(self) -> str:
        """Return what tells this item from any other that may be sent under its index."""
        facts = json.dumps([self.headers, self.tags, self.key]).encode()
        return sha256(b"%d:%b%b" % (len(facts), facts, self.body)).hexdigest()


def item_of_file(index: int, name: str | None, content_type: str | None, body: bytes, body_limit: int) -> Item | Reject:
    """Return the item that a file of a multipart upload makes; its name is the item's key."""
    if len(body) > body_limit:
        return _too_large(index, body_limit)
    return Item(index=index, body=body, headers=(("content-type", content_type or _BYTES),), key=name)


def items_of_lines(lines: Sequence[tuple[int, bytes]], body_limit: int) -> list[Item | Reject]:
    """Return what the lines of an NDJSON upload make, each with its index."""
    return [_of_line(index, line, body_limit) for index, line in lines]


def items_of_values(values: Sequence[tuple[int, Any]], body_limit: int) -> list[Item | Reject]:
    """Return what the items of a JSON document make, each with its index."""
    return [item_of(index, value, body_limit) for index, value in values]


def item_of(index: int, value: Any, body_limit: int) -> Item | Reject:
    """Return the item that a JSON value makes."""
    if found := misfits("batch-item", value, most=1):
        return Reject(index=index, detail=str(found[0]), pointer=found[0].pointer)
    try:
        body, content_type = _body(value)
    except (binascii.Error, UnicodeEncodeError) as error:
        return Reject(index=index, detail=f"expected base64: {error}", pointer="/body_base64")
    if len(body) > body_limit:
        return _too_large(index, body_limit)
    if (name := _callback_in(value)) is not None:
        return Reject(index=index, detail=_ONE_CALLBACK, pointer=f"/headers/{name}")
    headers = tuple((name.lower(), text) for name, text in value.get("headers", {}).items())
    if content_type is not None and not any(name == "content-type" for name, _ in headers):
        headers = (("content-type", content_type), *headers)
    return Item(index=index, body=body, headers=headers, tags=tuple(value.get("tags", ())), key=value.get("key"))


def too_long(index: int, limit: int) -> Reject:
    """Return the rejection of a line that was not read to its end."""
    return Reject(index=index, detail=f"expected a line of at most {limit} bytes, got a longer one")


def _of_line(index: int, line: bytes, body_limit: int) -> Item | Reject:
    try:
        strictjson.check(line)
    except (BadJsonError, UnicodeDecodeError) as error:
        return Reject(index=index, detail=f"expected one line of JSON: {error}")
    # Python's own reader keeps integers of any size as they are.
    return item_of(index, json.loads(line), body_limit)


def _callback_in(value: dict[str, Any]) -> str | None:
    return next((name for name in value.get("headers", {}) if name.lower() == _CALLBACK), None)


def _body(value: dict[str, Any]) -> tuple[bytes, str | None]:
    if "body_base64" in value:
        return base64.b64decode(value["body_base64"].encode("ascii"), validate=True), _BYTES
    if "body" not in value:
        return b"", None
    body = value["body"]
    if isinstance(body, str):
        return body.encode(), _TEXT
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), _JSON


def _too_large(index: int, body_limit: int) -> Reject:
    return Reject(
        index=index, detail=f"expected a body of at most {body_limit} bytes, got a longer one", pointer="/body"
    )
