"""What must be true of usage: each run that began counts for its function, on the day on which it ended, for good."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from pipeline.model import RunOutcome, RunState, Usage

MEMORY_MB = 512
"""What each run is allowed."""
_US = timedelta(microseconds=1)


@dataclass
class ModelOfUsage:
    """Runs, failures and time, by day and function."""

    runs: Counter[tuple[date, str]] = field(default_factory=Counter)
    failed: Counter[tuple[date, str]] = field(default_factory=Counter)
    run_us: Counter[tuple[date, str]] = field(default_factory=Counter)

    def count(self, function: str, outcome: RunOutcome, now: datetime) -> None:
        """What was returned or lost counts for nothing."""
        if outcome.state not in {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}:
            return
        key = (now.date(), function)
        self.runs[key] += 1
        self.failed[key] += outcome.state is RunState.FAILED
        self.run_us[key] += (now - (outcome.started_at or now)) // _US

    def told(self) -> set[Usage]:
        """Return it as the store tells it."""
        return {
            Usage(
                day=day,
                function=function,
                calls=0,
                runs=count,
                failed=self.failed[day, function],
                run_s=self.run_us[day, function] / 1_000_000,
                gb_s=self.run_us[day, function] * MEMORY_MB / 1_000_000 / 1024,
            )
            for (day, function), count in self.runs.items()
        }
