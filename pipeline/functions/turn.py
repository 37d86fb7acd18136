"""A turn: one call on its way through a lane and a worker process."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.functions.outcomes import Ended
from pipeline.functions.output import RawOutput
from pipeline.model import Call, RunOutcome

if TYPE_CHECKING:
    from pipeline.functions.process import Process


@dataclass(slots=True, eq=False)
class Turn:
    """One call, and the future that its caller awaits."""

    call: Call
    future: asyncio.Future[Ended]
    process: "Process | None" = None
    """Where it runs, or ran last; None while it waits."""
    started_at: datetime | None = None
    lost: int = 0
    """How many processes ended before they began it."""

    def end(self, outcome: RunOutcome, raw: RawOutput | None, is_value: bool = False) -> None:
        """Answer the caller, if there still is one."""
        if not self.future.done():
            self.future.set_result(Ended(outcome, raw, is_value))

    def fail(self, error: Exception) -> None:
        """Have the caller's `run` raise."""
        if not self.future.done():
            self.future.set_exception(error)
