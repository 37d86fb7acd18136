"""The form `cloudevents`: CloudEvents 1.0 over HTTP, as one JSON document or with its attributes in headers. Pure.

Sources: CloudEvents 1.0.2 with its JSON format and HTTP protocol binding, and its extensions `dataref` and
`traceparent`. The event's data is the result; where there is none, it is what `data` of the form `message` is.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar
from urllib.parse import quote

import orjson

from destinations.base import Sending
from destinations.bodies.base import JSON_TYPE, LARGE, Body, Form
from destinations.bodies.message import data_of
from destinations.bodies.raw import UNKNOWN_TYPE, declared_type
from destinations.bodies.subjects import Subject, result_of, subject_of
from pipeline.model import Result
from pipeline.values import is_json, is_json_type

STRUCTURED_TYPE = "application/cloudevents+json; charset=utf-8"
_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "traceparent")
_UNCHANGED = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""What stands in a header as it is, besides letters and digits: all that is printable but space, `"` and `%`."""
_TEXT = re.compile(r"text/.*|.*[/+]xml")
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\";\s]+)", re.IGNORECASE)


class Mode(StrEnum):
    """How an event is laid out in a request."""

    STRUCTURED = "structured"
    BINARY = "binary"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEventsForm(Form):
    """An event for each message; its id is the message's."""

    name: ClassVar[str] = "cloudevents"
    mode: Mode = Mode.STRUCTURED
    source: str | None = None
    """A URI; None: the function's own."""
    type_prefix: str = "dev.sendoff"

    @property
    def links_results(self) -> bool:
        """Tell whether large results are linked: as the body itself they may have any size."""
        return self.mode is Mode.STRUCTURED

    def owns(self, header: str) -> bool:
        """Tell whether a header makes a request an event; in the mode `binary` others may add extensions to it."""
        if self.mode is Mode.STRUCTURED:
            return header == "content-type" or header.startswith("ce-")  # readers know the mode `binary` by these
        return header.removeprefix("ce-") in _ATTRIBUTES and header.startswith("ce-")

    def is_heavy(self, sending: Sending, inline_limit: int, event: bytes) -> bool:
        """Tell whether a large result is read: as the body itself only one that has no type."""
        if self.mode is Mode.STRUCTURED:
            return Form.is_heavy(self, sending, inline_limit, event)
        result = result_of(sending.message)
        return result is not None and len(result.body) > LARGE and declared_type(result) is None

    def make(self, sending: Sending, inline_limit: int, event: bytes) -> Body:
        """Return the event."""
        subject = subject_of(sending)
        attributes = self._attributes(sending, subject)
        result = result_of(sending.message)
        if self.mode is Mode.STRUCTURED:
            document = attributes | _data(subject, sending, inline_limit)
            return Body(content=orjson.dumps(document), content_type=STRUCTURED_TYPE)
        headers = tuple((f"ce-{name}", quote(value, safe=_UNCHANGED)) for name, value in attributes.items())
        if result is None:
            content = orjson.dumps(data_of(subject, sending, inline_limit))
            return Body(content=content, content_type=JSON_TYPE, headers=headers)
        return Body(content=result.body, content_type=_type_of(result), headers=headers)

    def _attributes(self, sending: Sending, subject: Subject) -> dict[str, str]:
        message = sending.message
        attributes = {
            "specversion": "1.0",
            "id": message.id,
            "source": self.source or sending.base_url + subject.path,
            "type": f"{self.type_prefix}.{message.type}",
            "subject": message.subject_id,
            "time": subject.ended_at,
        }
        if message.traceparent is not None:
            attributes["traceparent"] = message.traceparent
        return attributes


def _data(subject: Subject, sending: Sending, inline_limit: int) -> dict[str, Any]:
    """Return the members that hold an event's data, or say where it is."""
    result = result_of(sending.message)
    if result is None:
        return {"datacontenttype": JSON_TYPE, "data": data_of(subject, sending, inline_limit)}
    if len(result.body) <= inline_limit:
        content_type = _type_of(result)
        name, value = _member(result, content_type)
        if len(value) <= inline_limit:
            return {"datacontenttype": content_type, name: orjson.Fragment(value)}
    dataref = sending.link(subject.facts["links"]["result"])
    return {"datacontenttype": declared_type(result) or UNKNOWN_TYPE, "dataref": dataref}


def _member(result: Result, content_type: str) -> tuple[str, bytes]:
    if is_json(result):
        return "data", result.body
    if (text := _text(result.body, content_type)) is not None:
        return "data", orjson.dumps(text)
    return "data_base64", b'"%b"' % b64encode(result.body)


def _type_of(result: Result) -> str:
    """Return the type of a result; what its function gave none is looked at, as for its value."""
    if (declared := declared_type(result)) is not None:
        return declared
    if result.content_type is None and is_json(result):
        return JSON_TYPE
    plain = "text/plain; charset=utf-8"
    return plain if _text(result.body, plain) is not None else UNKNOWN_TYPE


def _text(body: bytes, content_type: str) -> str | None:
    """Return a body as text, if its type says that it is one, in UTF-8, and it is."""
    charset = _CHARSET.search(content_type)
    is_utf8 = charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
    media_type = content_type.partition(";")[0].strip().lower()
    if not is_utf8 or is_json_type(media_type) or not _TEXT.fullmatch(media_type):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
