"""A turn: one call on its way through a lane and a worker process."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import orjson

from pipeline.functions.alarms import Alarm
from pipeline.functions.outcomes import Ended, Failure
from pipeline.functions.output import RawOutput
from pipeline.model import Call, Progress, RunOutcome

OnProgress = Callable[[Progress], None]


class Holder(Protocol):
    """The process that has a turn in hand."""

    def break_off(self, turn: "Turn", failure: Failure | None) -> None:
        """End its run with `failure`, or for nobody."""


@dataclass(slots=True, eq=False)
class Turn:
    """One call, and the future that its caller awaits."""

    call: Call
    future: asyncio.Future[Ended]
    on_progress: OnProgress | None = None
    process: Holder | None = None
    """Where it runs, or ran last; None while it waits."""
    run: int = 0
    """Its number in that process."""
    alarm: Alarm | None = None
    """What bounds it there."""
    started_at: datetime | None = None
    is_broken_off: bool = False
    """It is being ended before its time; what it still answers comes too late."""
    failure: Failure | None = None
    """What it was broken off for; None where its caller has gone."""
    lost: int = 0
    """How many processes ended before they began it."""

    def head(self) -> bytes:
        """Return what a worker is told of the call besides its event."""
        call = self.call
        return orjson.dumps(
            {
                "id": call.id,
                "timeout_s": call.timeout_s,
                "is_background": call.is_background,
                "attempt": call.attempt,
                "max_attempts": call.max_attempts,
                "batch_id": call.batch_id,
                "parent_id": call.parent_id,
            }
        )

    def end(self, outcome: RunOutcome, raw: RawOutput | None, is_value: bool = False) -> None:
        """Answer the caller, if there still is one."""
        if not self.future.done():
            self.future.set_result(Ended(outcome, raw, is_value))

    def fail(self, error: Exception) -> None:
        """Have the caller's `run` raise."""
        if not self.future.done():
            self.future.set_exception(error)
