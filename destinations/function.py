"""The kind `function`: the message becomes a job of another function. Nothing is sent: the service stores that job in
the transaction that records the attempt, so that there is one child for each delivery.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from destinations.base import Sending
from destinations.bodies.base import Form
from destinations.bodies.forms import form_of
from destinations.bodies.making import made
from destinations.bodies.message import MESSAGE
from pipeline.config.settings import RetrySpec
from pipeline.model import ChildDraft, Message, Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a function destination; the fields and defaults of `schemas/function.schema.json`."""

    function: str
    payload: Form = MESSAGE
    concurrency: int = 10
    retry: RetrySpec = field(default_factory=lambda: RetrySpec(name="default"))


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return the settings in validated options."""
    return Settings(**{**options, "payload": form_of(options.get("payload", MESSAGE))})


class Function:
    """One function that messages are handed to."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._settings = settings

    async def open(self) -> None:
        """Do nothing: there is no connection."""

    async def close(self) -> None:
        """Do nothing."""

    def recipients(self) -> tuple[str, ...]:
        """Return one nameless recipient."""
        return ("",)

    async def send(self, sending: Sending) -> Outcome:
        """Say delivered, with the job that is to be made."""
        message = sending.message
        # A function cannot follow a link as a receiver can: it gets the result, however large.
        body = await made(self._settings.payload, sending, sys.maxsize)
        child = ChildDraft(
            function=self._settings.function,
            body=body.content,
            content_type=body.content_type,
            subject_id=message.subject_id,
            parent_id=message.job_id if isinstance(message, Message) else None,
            depth=message.depth + 1 if isinstance(message, Message) else 1,
            traceparent=message.traceparent,
        )
        return Outcome(verdict=Verdict.DELIVERED, child=child)
