"""The form `message`: type, moment, and what the message is about, with its result. Pure.

A result's JSON is spliced in as it is, never parsed into objects and written again.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from destinations.base import Sending
from destinations.bodies.base import JSON_TYPE, Body, Form
from destinations.bodies.subjects import Subject, result_of, subject_of
from pipeline.model import Result
from pipeline.values import Value, value_of


@dataclass(frozen=True, slots=True)
class MessageForm(Form):
    """What serves every kind of message; other forms take it where they have nothing of their own to say."""

    name: ClassVar[str] = "message"

    def make(self, sending: Sending, inline_limit: int, event: bytes = b"") -> Body:
        """Return the body as JSON."""
        message = sending.message
        subject = subject_of(sending)
        data = data_of(subject, sending, inline_limit)
        written = {"type": message.type, "timestamp": subject.ended_at, "data": data}
        return Body(content=orjson.dumps(written), content_type=JSON_TYPE)


MESSAGE = MessageForm()


def data_of(subject: Subject, sending: Sending, inline_limit: int) -> dict[str, Any]:
    """Return the `data` of a message about `subject`, for orjson."""
    result = result_of(sending.message)
    written: dict[str, Any] = {subject.key: subject.facts}
    if result is not None:
        if (value := inlined(result, inline_limit)) is not None:
            written |= value.members
        else:
            written["result_url"] = sending.link(subject.facts["links"]["result"])
    written |= subject.more
    return written


def inlined(result: Result, inline_limit: int) -> Value | None:
    """Return the result's value to be spliced in, or None where it is too long for that."""
    if len(result.body) <= inline_limit:
        value = value_of(result)
        if len(value.json) <= inline_limit:  # as a JSON string, text and base64 are longer than the body was
            return value
    return None
