"""What functions used, by day."""

from datetime import date

from pipeline.records import record


@record(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one function used on one day (UTC): all that ended on it."""

    day: date
    function: str
    calls: int
    """Synchronous calls."""
    runs: int
    """Runs of jobs, those that were tried again included."""
    failed: int
    """How many of both failed."""
    run_s: float
    gb_s: float
    """Seconds times the memory that each was allowed to use, in units of 1,024 MB, as AWS counts."""

    @property
    def invocations(self) -> int:
        """Return how often the function was invoked."""
        return self.calls + self.runs
