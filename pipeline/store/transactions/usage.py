"""Usage: what each function used on each day. Counted in the transaction that ends a run or notes a synchronous call,
so that it is as durable as that, and neither retention nor deletion takes anything back.
"""

import sqlite3
from collections.abc import Iterable
from datetime import date, datetime

from pipeline.model import RunOutcome, RunState, Usage
from pipeline.records import record
from pipeline.store.engine.rows import micros

_DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1).toordinal()
_COUNT = """
INSERT INTO usage (day, function, calls, runs, failed, run_us, memory_us) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, runs = runs + excluded.runs,
    failed = failed + excluded.failed, run_us = run_us + excluded.run_us, memory_us = memory_us + excluded.memory_us
"""
_LIST = """
SELECT day, function, calls, runs, failed, run_us, memory_us FROM usage
WHERE day BETWEEN :first AND :last AND (:function IS NULL OR function = :function)
      AND (day < :after_day OR day = :after_day AND function > :after_function)
ORDER BY day DESC, function LIMIT :most
"""


@record(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one execution of a function took; `memory_mb` is what it was allowed to use."""

    function: str
    ended_at: datetime
    run_us: int
    memory_mb: int
    is_call: bool
    """A synchronous call; else a run of a job."""
    is_failed: bool


def spent(outcome: RunOutcome, function: str, memory_mb: int, now: datetime, *, is_call: bool) -> Spent | None:
    """Return what an execution took, or None where it counts for nothing: it was returned or lost, or never began."""
    match outcome.state:
        case RunState.SUCCEEDED | RunState.FAILED:
            pass
        case RunState.CANCELLED if outcome.started_at is not None:
            pass
        case _:
            return None
    ended_at = outcome.ended_at or now
    return Spent(
        function=function,
        ended_at=ended_at,
        # Never below nothing, whoever turned the clock meanwhile.
        run_us=max(0, micros(ended_at) - micros(outcome.started_at or ended_at)),
        memory_mb=memory_mb,
        is_call=is_call,
        is_failed=outcome.state is RunState.FAILED,
    )


def count(db: sqlite3.Connection, executions: Iterable[Spent | None]) -> None:
    """Add executions to what their functions used on the days on which they ended: one statement for each of these."""
    sums: dict[tuple[int, str], list[int]] = {}
    for each in executions:
        if each is not None:
            row = sums.setdefault((micros(each.ended_at) // _DAY_US, each.function), [0, 0, 0, 0, 0])
            row[0] += each.is_call
            row[1] += not each.is_call
            row[2] += each.is_failed
            row[3] += each.run_us
            row[4] += each.run_us * each.memory_mb
    for key, row in sums.items():
        db.execute(_COUNT, (*key, *row))


def list_usage(
    db: sqlite3.Connection,
    *,
    first: date,
    last: date,
    function: str | None,
    after: tuple[date, str] | None,
    most: int,
) -> list[Usage]:
    """Return up to `most` rows of the days from `first` to `last`, the newest day first, functions by name, behind
    `after`.
    """
    after_day, after_function = (_number(last) + 1, "") if after is None else (_number(after[0]), after[1])
    query = {
        "first": _number(first),
        "last": _number(last),
        "function": function,
        "after_day": after_day,
        "after_function": after_function,
        "most": most,
    }
    return [_usage(*row) for row in db.execute(_LIST, query)]


def _number(day: date) -> int:
    return day.toordinal() - _EPOCH


def _usage(day: int, function: str, calls: int, runs: int, failed: int, run_us: int, memory_us: int) -> Usage:
    return Usage(
        day=date.fromordinal(day + _EPOCH),
        function=function,
        calls=calls,
        runs=runs,
        failed=failed,
        run_s=run_us / 1_000_000,
        gb_s=memory_us / 1_000_000 / 1024,
    )
