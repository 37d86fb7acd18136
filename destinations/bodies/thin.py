"""The form `thin`: that something happened, and where to read what; nothing that is anybody's secret. Pure."""

from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from destinations.base import Sending
from destinations.bodies.base import JSON_TYPE, Body, Form
from destinations.bodies.subjects import result_of, subject_of

_KEPT = ("id", "function", "destination", "batch_id", "parent_id", "links")


@dataclass(frozen=True, slots=True)
class ThinForm(Form):
    """Ids, type, moment and links."""

    name: ClassVar[str] = "thin"

    def is_heavy(self, sending: Sending, inline_limit: int, event: bytes) -> bool:
        """Say no: the result is not looked at."""
        return False

    def make(self, sending: Sending, inline_limit: int, event: bytes) -> Body:
        """Return the body as JSON; a result is linked, whatever its size."""
        message = sending.message
        subject = subject_of(sending)
        facts = {key: subject.facts[key] for key in _KEPT if key in subject.facts}
        inside: dict[str, Any] = {subject.key: facts}
        if result_of(message) is not None:
            inside["result_url"] = sending.link(facts["links"]["result"])
        if "results_url" in subject.more:
            inside["results_url"] = subject.more["results_url"]
        written = {"type": message.type, "timestamp": subject.ended_at, "data": inside}
        return Body(content=orjson.dumps(written), content_type=JSON_TYPE)
