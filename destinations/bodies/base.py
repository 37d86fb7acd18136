"""What a body is, and what every form of bodies has."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from destinations.base import Sending
from destinations.bodies.subjects import result_of
from pipeline.records import record

JSON_TYPE = "application/json"
LARGE = 256 * 1024
"""JSON of more than so many bytes is not made on the loop."""


@record(frozen=True, slots=True, kw_only=True)
class Body:
    """What is sent, as exact bytes, its Content-Type, and headers that belong to it."""

    content: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Form(ABC):
    """A form of bodies, with its options."""

    name: ClassVar[str]
    """What it is called in the YAML."""
    needs_event: ClassVar[bool] = False
    """Whether it repeats the event that the job's function was called with."""

    @property
    def links_results(self) -> bool:
        """Tell whether a result above the limit is linked, so that its receiver must be able to follow the link."""
        return True

    def owns(self, header: str) -> bool:
        """Tell whether only the form itself may set this header (its name in lower case), or it is another form."""
        return False

    def is_heavy(self, sending: Sending, inline_limit: int, event: bytes) -> bool:
        """Tell whether `make` takes long, and is no work for the loop."""
        result = result_of(sending.message)
        # Longer ones are linked, and not even looked at.
        return result is not None and LARGE < len(result.body) <= inline_limit

    @abstractmethod
    def make(self, sending: Sending, inline_limit: int, event: bytes) -> Body:
        """Return the body of a message; a result above `inline_limit` bytes is linked by what `sending.link` makes.

        `event` is what the job's function was called with, as JSON, for a form that needs it. Raises
        TemplateFaultError for a template that cannot be filled in.
        """
