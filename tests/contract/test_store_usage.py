"""The contract of the store, usage: what counts, on which day, and that nothing takes it back."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from pipeline.model import JobState, RunOutcome, RunState, Usage
from pipeline.store import Store
from pipeline.store.transactions.invocations import Invocation
from pipeline.store.transactions.usage import spent
from tests.support import samples
from tests.support.samples import (
    FAILED,
    NOW,
    RETURNED,
    SUCCEEDED,
    failed,
    job_step,
    later,
    lease,
    retrying,
    succeeded,
)
from tests.support.stores import Rig, running

TODAY = NOW.date()
EVER = {"first": date.min, "last": date.max}
FUNCTION = "extract-background"


def used(**changes: Any) -> Usage:
    """Return the usage of the sample's function today, nothing but for what is named."""
    facts: dict[str, Any] = {"day": TODAY, "function": FUNCTION, "calls": 0, "runs": 0, "failed": 0}
    return Usage(**(facts | {"run_s": 0.0, "gb_s": 0.0} | changes))


async def usage(store: Store, **query: Any) -> list[Usage]:
    """Return what was used, on all days but for what the query says."""
    return await store.list_usage(**({**EVER, "most": 100} | query))


def outcome(state: RunState, began: datetime | None, ended: datetime | None) -> RunOutcome:
    """Return the outcome of a run with these times."""
    return RunOutcome(state=state, started_at=began, ended_at=ended)


async def run(store: Store, began: datetime, ended: datetime, *, memory_mb: int = 1024, **changes: Any) -> None:
    """Have a job succeed that ran for so long."""
    job = await running(store, **changes)
    done = outcome(RunState.SUCCEEDED, began, ended)
    assert await store.finish_run(job, 1, SUCCEEDED, done, now=ended, memory_mb=memory_mb) is not None


def call(seconds: float, *, state: RunState = RunState.SUCCEEDED, **changes: Any) -> Invocation:
    """Return the note of a synchronous call that ran for so long."""
    what = outcome(state, NOW, later(seconds))
    counted = spent(what, "now", 2048, NOW, is_call=True)
    facts: dict[str, Any] = {"id": samples.new_id(), "function": "now", "state": state, "reason": None, "at": NOW}
    return Invocation(**(facts | {"duration_s": seconds, "output": "", "spent": counted} | changes))


async def test_every_try_of_a_job_counts_with_its_time_and_memory(store: Store) -> None:
    job = await running(store)
    await store.finish_run(job, 1, retrying(1), failed(), now=NOW, memory_mb=512)
    await store.promote_due_jobs(1, now=later(1))
    (claimed,) = await store.claim_jobs(FUNCTION, 1, now=later(1), lease=lease(2))
    done = outcome(RunState.SUCCEEDED, later(1), later(5))
    await store.finish_run(claimed.job, 2, SUCCEEDED, done, now=later(6), memory_mb=512)
    (found,) = await usage(store)
    assert found == used(runs=2, failed=1, run_s=4.0, gb_s=2.0)
    assert found.invocations == 2


async def test_an_end_that_changes_nothing_counts_nothing(store: Store) -> None:
    job = await running(store)
    assert await store.finish_run(job, 2, SUCCEEDED, succeeded(), now=NOW) is None
    assert await usage(store) == []


@pytest.mark.parametrize("state", [RunState.RETURNED, RunState.LOST])
async def test_a_run_that_spent_no_attempt_counts_nothing(store: Store, state: RunState) -> None:
    job = await running(store)
    assert await store.finish_run(job, 1, RETURNED, outcome(state, NOW, later(5)), now=later(5)) is not None
    assert await usage(store) == []


@pytest.mark.parametrize(("began", "counted"), [(NOW, [used(runs=1, run_s=3.0, gb_s=3.0)]), (None, [])])
async def test_a_cancelled_run_counts_if_it_had_begun(
    store: Store, began: datetime | None, counted: list[Usage]
) -> None:
    job = await running(store)
    step = job_step(JobState.CANCELLED, RunState.CANCELLED)
    cancelled = outcome(RunState.CANCELLED, began, later(3))
    assert await store.finish_run(job, 1, step, cancelled, now=later(3), memory_mb=1024) is not None
    assert await usage(store) == counted


async def test_a_run_that_failed_before_it_began_counts_without_time(store: Store) -> None:
    job = await running(store)
    await store.finish_run(job, 1, FAILED, outcome(RunState.FAILED, None, later(9)), now=later(9), memory_mb=1024)
    assert await usage(store) == [used(runs=1, failed=1)]


async def test_a_clock_that_was_turned_back_takes_nothing_off(store: Store) -> None:
    await run(store, later(60), NOW)
    assert await usage(store) == [used(runs=1)]


async def test_the_day_is_that_of_the_end_in_utc(store: Store) -> None:
    midnight = datetime(2026, 1, 6, tzinfo=UTC)
    moment = timedelta(microseconds=1)
    await run(store, midnight - timedelta(minutes=1), midnight - moment)
    await run(store, midnight - timedelta(minutes=2), midnight)
    assert [(each.day.isoformat(), each.runs, each.run_s) for each in await usage(store)] == [
        ("2026-01-06", 1, 120.0),
        ("2026-01-05", 1, 59.999999),
    ]


async def test_synchronous_calls_are_counted_once_each(store: Store) -> None:
    first, second = call(0.5), call(0.25, state=RunState.FAILED)
    await asyncio.gather(*map(store.insert_invocation, (first, second, first)))
    await store.insert_invocation(second)
    returned = outcome(RunState.RETURNED, NOW, later(1))
    assert spent(returned, "now", 2048, NOW, is_call=True) is None
    await store.insert_invocation(call(1.0, state=RunState.RETURNED))
    assert await usage(store) == [used(function="now", calls=2, failed=1, run_s=0.75, gb_s=1.5)]


async def test_many_ends_at_once_are_all_counted(store: Store) -> None:
    jobs = [await running(store, token=number, function=f"f{number % 3}-background") for number in range(150)]
    done = outcome(RunState.SUCCEEDED, NOW, later(0.1))
    ends = (store.finish_run(job, number, SUCCEEDED, done, now=NOW, memory_mb=1024) for number, job in enumerate(jobs))
    await asyncio.gather(*ends)
    assert await usage(store) == [used(function=f"f{n}-background", runs=50, run_s=5.0, gb_s=5.0) for n in range(3)]


async def test_what_was_used_stays_when_its_job_is_deleted_and_the_store_is_opened_again(
    rig: Rig, store: Store
) -> None:
    job = await running(store)
    await store.finish_run(job, 1, SUCCEEDED, outcome(RunState.SUCCEEDED, NOW, later(2)), now=NOW, memory_mb=1024)
    await store.insert_invocation(call(1.0))
    await store.delete_job(job.id)
    await store.prune_invocations(samples.new_id(), 10)
    await rig.reopen()
    assert rig.rows() == {"usage": 2}
    assert [each.function for each in await usage(rig.store)] == [FUNCTION, "now"]


async def test_usage_is_listed_by_pages_of_days_and_functions(store: Store) -> None:
    days = [NOW + timedelta(days=number) for number in range(3)]
    for ended in days:
        for name in ("b", "a", "c"):
            await run(store, ended, ended, function=name)
    every = await usage(store)
    assert [(each.day.day, each.function) for each in every] == [
        (day, name) for day in (7, 6, 5) for name in ("a", "b", "c")
    ]
    paged: list[Usage] = []
    while len(page := await usage(store, most=2, after=(paged[-1].day, paged[-1].function) if paged else None)):
        paged += page
    assert paged == every
    of_b = await usage(store, function="b", first=days[1].date(), last=days[2].date())
    assert of_b == [every[1], every[4]]
    assert await usage(store, function="d") == []
    assert await usage(store, last=date(2026, 1, 4)) == []
