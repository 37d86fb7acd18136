"""How SQLite finds what the store asks for: open rows only and never a whole table, with whatever has ended."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from pipeline.model import DeliveryState, Holding, JobState
from pipeline.store import Store
from pipeline.store.reading import counts
from pipeline.store.reading import deliveries as reading_deliveries
from pipeline.store.reading import jobs as reading
from pipeline.store.transactions import deliveries, destinations, expiry, insertions, jobs, logs, pruning, redelivery
from tests.support import samples
from tests.support.stores import Rig

# Plans of the statements that run all the time: open rows only, and never a whole table

PLANS = [
    ("claimed on insert, jobs", insertions._HAS_QUEUED, ["SEARCH job USING INDEX job_queued (function=?)"]),
    ("claim jobs", jobs._CLAIM, ["SEARCH job USING PRIMARY KEY (id=?)", "job_queued (function=?)"]),
    ("finish", jobs._FINISH, ["SEARCH job USING PRIMARY KEY (id=?)"]),
    ("renew jobs", jobs._RENEW, ["SEARCH job USING INDEX job_running (lease_owner=?)"]),
    ("promote jobs", jobs._PROMOTE, ["PRIMARY KEY (id=?)", "SEARCH job USING INDEX job_due (due_at<?)"]),
    ("next due job", jobs._NEXT_DUE, ["SEARCH job USING INDEX job_due"]),
    ("leased jobs", jobs._LEASED, ["SEARCH job USING INDEX job_running (lease_owner=?)"]),
    ("expired jobs", jobs._EXPIRED, ["SCAN job USING INDEX job_running"]),
    ("overdue jobs", expiry._OVERDUE, ["SEARCH job USING INDEX job_expires"]),
    ("next expiry", expiry._NEXT, ["SEARCH job USING INDEX job_expires"]),
    ("expire jobs", expiry._EXPIRE, ["SEARCH job USING PRIMARY KEY (id=?)"]),
    ("claimed on insert, deliveries", deliveries._HAS_PENDING, ["INDEX delivery_pending (destination=?)"]),
    ("claim deliveries", deliveries._CLAIM, ["PRIMARY KEY (id=?)", "delivery_pending (destination=?)"]),
    ("events", jobs._EVENTS, ["SEARCH payload USING INTEGER PRIMARY KEY"]),
    ("messages", deliveries._MESSAGES, [
        "delivery USING PRIMARY KEY (id=?)",
        "message USING PRIMARY KEY (job_id=? AND id=?)",
        "payload USING INTEGER PRIMARY KEY",
    ]),
    ("record", deliveries._STEP, ["SEARCH delivery USING PRIMARY KEY (id=?)"]),
    ("renew deliveries", deliveries._RENEW, ["SEARCH delivery USING INDEX delivery_sending (lease_owner=?)"]),
    ("promote deliveries", deliveries._PROMOTE, ["PRIMARY KEY (id=?)", "INDEX delivery_due (due_at<?)"]),
    ("next due delivery", deliveries._NEXT_DUE, ["SEARCH delivery USING INDEX delivery_due"]),
    ("leased deliveries", deliveries._LEASED, ["SEARCH delivery USING INDEX delivery_sending (lease_owner=?)"]),
    ("expired deliveries", deliveries._EXPIRED, ["SCAN delivery USING INDEX delivery_sending"]),
    ("last line", logs._LAST, ["SEARCH log USING INDEX sqlite_autoindex_log_1 (job_id=?)"]),
    ("log lines", logs._FROM, ["SEARCH log USING INDEX sqlite_autoindex_log_1 (job_id=?)"]),
    ("job", reading._JOB, ["SEARCH job USING PRIMARY KEY (id=?)"]),
    ("counts of a job", reading._COUNTS, ["SEARCH delivery USING INDEX delivery_once (job_id=?)"]),
    ("result", reading._RESULT, [
        "job USING PRIMARY KEY (id=?)", "run USING PRIMARY KEY (job_id=? AND run=?)", "payload USING INTEGER PRIMARY",
    ]),
    ("destinations", destinations._LIST, [
        "SEARCH delivery USING INDEX delivery_by_destination (destination>?)",
        "SEARCH delivery USING INDEX delivery_by_destination (destination=?)",
    ]),
    ("prune", pruning._NEXT, ["SEARCH job USING PRIMARY KEY (id>?)", "INDEX delivery_once (job_id=?)"]),
    ("prune payloads", pruning._PAYLOADS, ["payload USING INTEGER PRIMARY KEY", "run USING PRIMARY KEY (job_id=?)"]),
    *(("prune " + sql.split()[2], sql, ["SEARCH"]) for sql in pruning._OF_JOB),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), [pytest.param(*plan[1:], id=plan[0]) for plan in PLANS])
async def test_a_hot_statement_uses_its_index(rig: Rig, sql: str, expected: list[str]) -> None:
    plan = plan_of(rig, sql)
    for step in expected:
        assert any(step in line for line in plan), plan
    tables = ("job", "run", "log", "message", "delivery", "attempt", "payload")
    for line in plan:
        assert "USING" in line or not line.startswith(tuple(f"SCAN {table}" for table in tables))
        assert "AUTOMATIC" not in line


def plan_of(rig: Rig, sql: str) -> list[str]:
    """Return the steps of a statement, one over many rows with three of them, whether an index covers it or not."""
    sql = sql.replace("{values}", f"VALUES {', '.join(f'({each * 9}1)' for each in ('1,', '2,', '3,'))}")
    with closing(sqlite3.connect(rig.path)) as db:
        found = db.execute(f"EXPLAIN QUERY PLAN {sql}", _parameters(sql)).fetchall()
    return [row[3].replace("COVERING ", "") for row in found]


def _parameters(sql: str) -> Any:
    class Anything(dict[str, int]):
        def __missing__(self, _: str) -> int:
            return 1

    return Anything() if ":" in sql else (1,) * sql.count("?")


# Lists by state, newest first: along an index that has no others, also where all else has ended


class Explaining(sqlite3.Connection):
    """A connection that notes the plan of all that it executes."""

    plan: list[str]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement, once it was explained."""
        self.plan += [row[3] for row in super().execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        return super().execute(sql, parameters)

    def ways(self) -> set[str]:
        """Return how tables were gone through, but for the rows of a page by their ids."""
        tables = ("SCAN job", "SEARCH job", "SCAN delivery", "SEARCH delivery")
        return {line for line in self.plan if line.startswith(tables) and "PRIMARY KEY (id=?)" not in line}

    @property
    def has_sorted(self) -> bool:
        """Tell whether anything had to be sorted that was not found in its order."""
        return any("ORDER BY" in line or "AUTOMATIC" in line for line in self.plan)


@pytest.fixture
def explaining(rig: Rig, store: Store) -> Iterator[Explaining]:
    """Return a connection to the store's database."""
    with closing(sqlite3.connect(rig.path, factory=Explaining)) as db:
        db.plan = []
        yield db


SENDING = ["SCAN delivery USING INDEX delivery_sending"]  # never much
PENDING_OF_ONE = ["SEARCH delivery USING COVERING INDEX delivery_pending (destination=? AND id<?)"]
PENDING = [  # the first name, the next, and of each the newest
    "SEARCH delivery USING COVERING INDEX delivery_pending",
    "SEARCH delivery USING COVERING INDEX delivery_pending (destination>?)",
    *PENDING_OF_ONE,
]
UNUSUAL = ["SEARCH delivery USING COVERING INDEX delivery_unusual (state=? AND id<?)"]
UNUSUAL_OF_ONE = ["SEARCH delivery USING COVERING INDEX delivery_unusual_of (state=? AND destination=? AND id<?)"]
RETRYING = [
    "SEARCH delivery USING COVERING INDEX delivery_unusual_of (state=?)",
    "SEARCH delivery USING COVERING INDEX delivery_unusual_of (state=? AND destination>?)",
    *UNUSUAL_OF_ONE,
]
UNUSUAL_JOB = ["SEARCH job USING COVERING INDEX job_unusual (state=? AND id<?)"]
UNUSUAL_JOB_OF_ONE = ["SEARCH job USING COVERING INDEX job_unusual_of (state=? AND function=? AND id<?)"]

DELIVERIES: dict[DeliveryState, tuple[list[str], list[str]]] = {
    DeliveryState.PENDING: ([*PENDING, *SENDING], [*PENDING_OF_ONE, *SENDING]),
    DeliveryState.SENDING: (SENDING, SENDING),
    DeliveryState.RETRYING: (RETRYING, UNUSUAL_OF_ONE),
    DeliveryState.HELD: ([*PENDING, *RETRYING, *SENDING], [*PENDING_OF_ONE, *UNUSUAL_OF_ONE, *SENDING]),
    DeliveryState.DELIVERED: (
        ["SEARCH delivery USING PRIMARY KEY (id<?)"],
        ["SEARCH delivery USING INDEX delivery_by_destination (destination=? AND id<?)"],
    ),
    DeliveryState.DEAD: (UNUSUAL, UNUSUAL_OF_ONE),
    DeliveryState.SKIPPED: (UNUSUAL, UNUSUAL_OF_ONE),
    DeliveryState.CANCELLED: (UNUSUAL, UNUSUAL_OF_ONE),
}
"""Of each state how its deliveries are found: those to all destinations, and those to one."""

RUNNING = ["SCAN job USING INDEX job_running"]
JOBS: dict[JobState, tuple[list[str], list[str]]] = {
    JobState.SCHEDULED: (UNUSUAL_JOB, UNUSUAL_JOB_OF_ONE),
    JobState.QUEUED: (
        ["SCAN job USING COVERING INDEX job_queued"],
        ["SEARCH job USING COVERING INDEX job_queued (function=?)"],
    ),
    JobState.RUNNING: (RUNNING, RUNNING),
    JobState.RETRYING: (UNUSUAL_JOB, UNUSUAL_JOB_OF_ONE),
    JobState.SUCCEEDED: (
        ["SEARCH job USING PRIMARY KEY (id<?)"],
        ["SEARCH job USING INDEX job_by_function (function=? AND id<?)"],
    ),
    JobState.FAILED: (UNUSUAL_JOB, UNUSUAL_JOB_OF_ONE),
    JobState.CANCELLED: (UNUSUAL_JOB, UNUSUAL_JOB_OF_ONE),
    JobState.EXPIRED: (UNUSUAL_JOB, UNUSUAL_JOB_OF_ONE),
}


@pytest.mark.parametrize("destination", [None, "archive"])
@pytest.mark.parametrize("state", list(DeliveryState))
def test_deliveries_in_a_state_are_listed_past_none_that_have_ended_otherwise(
    explaining: Explaining, state: DeliveryState, destination: str | None
) -> None:
    holding = Holding(
        configured=frozenset({"archive"}), stopped=frozenset({"archive"}), unbegun=frozenset({samples.new_id()})
    )
    options: dict[str, Any] = {"destination": destination, "state": state, "holding": holding}
    reading_deliveries.list_deliveries(explaining, before=samples.new_id(), most=5, **options)
    of_all, of_one = DELIVERIES[state]
    expected = of_one if destination else of_all
    assert explaining.ways() == set(expected)
    if len(expected) == 1 and expected[0].endswith("id<?)"):
        assert not explaining.has_sorted


@pytest.mark.parametrize("function", [None, "resize-background"])
@pytest.mark.parametrize("state", list(JobState))
def test_jobs_in_a_state_are_listed_past_none_that_have_ended_otherwise(
    explaining: Explaining, state: JobState, function: str | None
) -> None:
    reading.list_jobs(explaining, before=samples.new_id(), most=5, state=state, function=function)
    of_all, of_one = JOBS[state]
    expected = of_one if function else of_all
    assert explaining.ways() == set(expected)
    if len(expected) == 1 and expected[0].endswith("id<?)"):
        assert not explaining.has_sorted


@pytest.mark.parametrize(
    ("narrowed", "step"),
    [
        ({"destination": "archive"}, "delivery_by_destination (destination=? AND id<?)"),
        ({"job_id": samples.new_id()}, "delivery_once (job_id=?)"),
        ({}, "SEARCH delivery USING PRIMARY KEY (id<?)"),
    ],
    ids=["of a destination", "of a job", "all"],
)
def test_deliveries_in_whatever_state_are_listed_by_what_they_belong_to(
    explaining: Explaining, narrowed: dict[str, Any], step: str
) -> None:
    reading_deliveries.list_deliveries(explaining, before=samples.new_id(), most=5, **narrowed)
    assert any(step in line for line in explaining.plan), explaining.plan


@pytest.mark.parametrize("state", list(JobState))
def test_the_jobs_of_a_batch_in_a_state_are_listed_by_what_there_is_least_of(
    explaining: Explaining, state: JobState
) -> None:
    reading.list_jobs(explaining, before=samples.new_id(), most=5, state=state, batch_id=samples.new_id())
    expected = {
        JobState.QUEUED: "SEARCH job USING INDEX job_of_batch (batch_id=?)",
        JobState.SUCCEEDED: "SEARCH job USING INDEX job_of_batch (batch_id=?)",
        JobState.RUNNING: "SCAN job USING INDEX job_running",
    }
    unusual = "SEARCH job USING COVERING INDEX job_unusual_of_batch (state=? AND batch_id=? AND id<?)"
    assert explaining.ways() == {expected.get(state, unusual)}


# Counts: no row is looked at, however many wait, and where some are asked about the others are not counted

PENDING_OF = "SEARCH delivery USING COVERING INDEX delivery_pending (destination=?)"
UNUSUAL_OF = "SEARCH delivery USING COVERING INDEX delivery_unusual_of (state=? AND destination=?)"
ALL_PENDING = "SCAN delivery USING COVERING INDEX delivery_pending"
ALL_UNUSUAL = "SEARCH delivery USING COVERING INDEX delivery_unusual_of (state=?)"
COUNTS: dict[str, tuple[Any, set[str], set[str]]] = {
    "open": (counts.open_deliveries, {ALL_PENDING, ALL_UNUSUAL, *SENDING}, {PENDING_OF, UNUSUAL_OF, *SENDING}),
    "pending": (counts.pending_deliveries, {ALL_PENDING}, {PENDING_OF}),
    "dead": (counts.dead_deliveries, {ALL_UNUSUAL}, {UNUSUAL_OF}),
    "queued": (
        counts.queued_jobs,
        {"SCAN job USING COVERING INDEX job_queued"},
        {"SEARCH job USING COVERING INDEX job_queued (function=?)"},
    ),
}


@pytest.mark.parametrize("names", [None, ["archive"]], ids=["of all", "of one"])
@pytest.mark.parametrize("counted", COUNTS)
def test_what_waits_is_counted_without_a_look_at_its_rows(
    explaining: Explaining, counted: str, names: list[str] | None
) -> None:
    count, of_all, of_one = COUNTS[counted]
    assert count(explaining, names) == {}
    assert explaining.ways() == (of_all if names is None else of_one)


def test_what_is_ahead_of_a_delivery_is_counted_without_a_look_at_its_rows(explaining: Explaining) -> None:
    counts.count_ahead(explaining, destination="archive", ids=[samples.new_id()])
    assert explaining.ways() == {
        "SEARCH delivery USING COVERING INDEX delivery_pending (destination=? AND id>? AND id<?)"
    }


def test_what_was_due_long_ago_is_counted_without_a_look_at_its_rows(explaining: Explaining) -> None:
    redelivery.overdue(explaining, before=samples.NOW)
    assert explaining.ways() == {ALL_PENDING, "SEARCH delivery USING COVERING INDEX delivery_due (due_at<?)"}
