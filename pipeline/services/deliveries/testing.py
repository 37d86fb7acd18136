"""Testing a destination: one message made for it alone, sent once, now. Nothing of it is stored. It tells of a job that
never was, or again of one that has ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from destinations.base import Sending
from pipeline.clock import Clock
from pipeline.ids import IdSource
from pipeline.model import DeliveryReason, Job, JobState, Message, MessageType, Outcome, Result, Verdict, message_of
from pipeline.services.routes import Route
from pipeline.services.setup import Current
from pipeline.telemetry import Telemetry

FUNCTION = "webhook-test"
"""The function that the made-up job names."""
_BODY = b'{"test":true}'
_JSON = (("Content-Type", "application/json"),)
_REMEDY = (
    f"the result of a test is {_BODY.decode()}, which a template for other results cannot use: name another with "
    "`result` (on the command line --data), or a job that has ended with `job_id` (--job)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A job that has ended, and that a test is to tell of again."""

    job: Job
    result: Result | None
    event: bytes
    """What its function was called with, as JSON."""


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

    async def test(self, route: Route, about: bytes | Ended | None = None) -> Tested:
        """Send one message once to each recipient, as many at once as the destination's concurrency says.

        It is `about` a made-up job with this result, as JSON, or about one that has ended.
        """
        message, event = self._message(about), about.event if isinstance(about, Ended) else b"null"
        gate = asyncio.Semaphore(route.concurrency)

        async def read_event() -> bytes:
            return event

        async def tried(recipient: str) -> Tried:
            async with gate:
                each = await self._try(route, message, recipient, read_event)
            if about is None and each.outcome.reason is DeliveryReason.TEMPLATE_ERROR:
                said = f"{each.outcome.message}; {_REMEDY}"
                each = replace(each, outcome=replace(each.outcome, message=said))
            return each

        tries = await asyncio.gather(*map(tried, route.destination.recipients()))
        tested = Tested(message_id=message.id, tries=tries)
        self._telemetry.emit("destination.tested", destination=route.name, delivered=tested.is_delivered)
        return tested

    def _message(self, about: bytes | Ended | None) -> Message:
        if isinstance(about, Ended):
            return self._again(about.job, about.result)
        now = self._clock.now()
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
            result=Result(status=200, headers=_JSON, body=_BODY if about is None else about),
        )

    def _again(self, job: Job, result: Result | None) -> Message:
        assert job.ended_at is not None
        return message_of(
            job,
            job,
            message_id=self._ids.message_id(),
            message_type=MessageType.WEBHOOK_TEST,
            started_at=job.started_at,
            ended_at=job.ended_at,
            result=result,
        )

    async def _try(
        self, route: Route, message: Message, recipient: str, read_event: Callable[[], Awaitable[bytes]]
    ) -> Tried:
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
            read_event=read_event,
        )
        try:
            outcome = await route.destination.send(sending)
        except Exception as error:  # it raises nothing, but where a reload has just closed it
            self._telemetry.failed("task.failed", error)
            said = f"the destination raised {type(error).__name__}"
            outcome = Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.ABORTED, message=said)
        duration_s = self._clock.monotonic() - began
        return Tried(recipient=recipient, outcome=self._telemetry.mask.outcome(outcome), duration_s=duration_s)
