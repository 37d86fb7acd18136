"""Testing a destination: one message made for it alone, sent once, now. Nothing of it is stored."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from destinations.base import Sending
from pipeline.clock import Clock
from pipeline.ids import IdSource
from pipeline.model import DeliveryReason, JobState, Message, MessageType, Outcome, Result, Verdict
from pipeline.services.routes import Route
from pipeline.services.setup import Current
from pipeline.telemetry import Telemetry

FUNCTION = "webhook-test"
"""The function that the made-up job names."""
_BODY = b'{"test":true}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of a test at one recipient."""

    recipient: str
    outcome: Outcome
    duration_s: float

    @property
    def is_delivered(self) -> bool:
        """Tell whether it was taken."""
        return self.outcome.verdict is Verdict.DELIVERED


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What became of a test of one destination."""

    message_id: str
    tries: Sequence[Tried]

    @property
    def is_delivered(self) -> bool:
        """Tell whether every recipient took it."""
        return all(each.is_delivered for each in self.tries)


class Tester:
    """Sends tests, besides all lanes: also to a destination that is paused, and whatever else is being sent."""

    def __init__(self, *, current: Current, clock: Clock, ids: IdSource, telemetry: Telemetry) -> None:
        self._current = current
        self._clock = clock
        self._ids = ids
        self._telemetry = telemetry

    async def test(self, route: Route) -> Tested:
        """Send one message once to each recipient, as many at once as the destination's concurrency says."""
        message, gate = self._message(self._clock.now()), asyncio.Semaphore(route.concurrency)

        async def tried(recipient: str) -> Tried:
            async with gate:
                return await self._try(route, message, recipient)

        tries = await asyncio.gather(*map(tried, route.destination.recipients()))
        tested = Tested(message_id=message.id, tries=tries)
        self._telemetry.emit("destination.tested", destination=route.name, delivered=tested.is_delivered)
        return tested

    def _message(self, now: datetime) -> Message:
        # A job that succeeded, as receivers and templates know them; only the type says that it never was.
        return Message(
            id=self._ids.message_id(),
            type=MessageType.WEBHOOK_TEST,
            job_id=self._ids.new(),
            function=FUNCTION,
            state=JobState.SUCCEEDED,
            reason=None,
            attempt=1,
            created_at=now,
            started_at=now,
            ended_at=now,
            tags=(),
            batch_id=None,
            parent_id=None,
            depth=0,
            error=None,
            result=Result(status=200, headers=(("Content-Type", "application/json"),), body=_BODY),
        )

    async def _try(self, route: Route, message: Message, recipient: str) -> Tried:
        began = self._clock.monotonic()
        sending = Sending(
            delivery_id=self._ids.new(),
            destination=route.name,
            recipient=recipient,
            attempt=1,
            max_attempts=1,
            message=message,
            base_url=self._current.setup.base_url,
            started_at=self._clock.now(),
        )
        try:
            outcome = await route.destination.send(sending)
        except Exception as error:  # it raises nothing, but where a reload has just closed it
            self._telemetry.failed("task.failed", error)
            said = f"the destination raised {type(error).__name__}"
            outcome = Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.ABORTED, message=said)
        duration_s = self._clock.monotonic() - began
        return Tried(recipient=recipient, outcome=self._telemetry.mask.outcome(outcome), duration_s=duration_s)
