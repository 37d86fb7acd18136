"""The kind `function`: the message becomes a job of another function. Nothing is sent: the service stores that job in
the transaction that records the attempt, so that there is one child for each delivery.
"""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from destinations.base import Sending
from destinations.body import Body, Form, lambda_body, make_body
from pipeline.config.settings import RetrySpec
from pipeline.model import BatchMessage, ChildDraft, Outcome, Verdict

_LARGE = 256 * 1024
"""A result above so many bytes is turned into a body in a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a function destination; the fields and defaults of `schemas/function.schema.json`."""

    function: str
    payload: Form = Form.MESSAGE
    concurrency: int = 10
    retry: RetrySpec = field(default_factory=lambda: RetrySpec(name="default"))


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return the settings in validated options."""
    return Settings(**{**options, "payload": Form(options.get("payload", Form.MESSAGE))})


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
        body = await self._body(sending)
        child = ChildDraft(
            function=self._settings.function,
            body=body.content,
            content_type=body.content_type,
            subject_id=message.subject_id,
            parent_id=None if isinstance(message, BatchMessage) else message.job_id,
            depth=1 if isinstance(message, BatchMessage) else message.depth + 1,
            traceparent=message.traceparent,
        )
        return Outcome(verdict=Verdict.DELIVERED, child=child)

    async def _body(self, sending: Sending) -> Body:
        message = sending.message
        is_record = self._settings.payload is Form.LAMBDA and not isinstance(message, BatchMessage)
        event = await sending.read_event() if is_record else b""

        def made() -> Body:
            if self._settings.payload is Form.LAMBDA and not isinstance(message, BatchMessage):
                return lambda_body(message, event)
            # A function cannot follow a link as a receiver can: it gets the result, however large.
            return make_body(self._settings.payload, message, base_url=sending.base_url, inline_limit=sys.maxsize)

        result = None if isinstance(message, BatchMessage) else message.result
        size = len(event) + (len(result.body) if result else 0)
        return await asyncio.to_thread(made) if size > _LARGE else made()
