"""The form `raw`: the result's own bytes and type, whatever their size. Pure."""

import re
from dataclasses import dataclass
from typing import ClassVar

from destinations.base import Sending
from destinations.bodies.base import Body, Form
from destinations.bodies.message import MESSAGE
from destinations.bodies.subjects import result_of
from pipeline.model import Result

UNKNOWN_TYPE = "application/octet-stream"
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?")


@dataclass(frozen=True, slots=True)
class RawForm(Form):
    """The result itself; what has none, such as a batch, has the form `message`."""

    name: ClassVar[str] = "raw"

    @property
    def links_results(self) -> bool:
        """Say no."""
        return False

    def is_heavy(self, sending: Sending, inline_limit: int, event: bytes) -> bool:
        """Say no: nothing is made."""
        return False

    def make(self, sending: Sending, inline_limit: int, event: bytes) -> Body:
        """Return the result's bytes."""
        result = result_of(sending.message)
        if result is None:
            return MESSAGE.make(sending, inline_limit)
        return Body(content=result.body, content_type=declared_type(result) or UNKNOWN_TYPE)


def declared_type(result: Result) -> str | None:
    """Return the type that a function gave its result, or None where there is none that can stand in a header."""
    # It is the function's own text.
    content_type = result.content_type or ""
    return content_type if _HEADER_VALUE.fullmatch(content_type) else None
