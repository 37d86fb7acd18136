"""What must hold after each step between the model and all that the store shows of jobs and batches."""

import asyncio
from collections import Counter
from datetime import date

from pipeline.model import DeliveryState, JobState
from pipeline.store import Store
from tests.property.machine import MOST, OWNERS
from tests.property.model_of_jobs import ModelOfJobs

OPEN = (JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING, JobState.RETRYING)


async def check(store: Store, model: ModelOfJobs) -> None:
    """Compare all; what is asked for each row alone only of the rows that were changed."""
    await asyncio.gather(
        every_job_is_there_with_what_it_owes(store, model),
        nothing_is_left_of_what_is_gone(store, model),
        lists_show_each_under_its_state(store, model),
        each_that_runs_has_one_owner(store, model),
        runs_are_numbered_without_gaps_and_attempts_are_no_more_than_allowed(store, model),
        results_and_events_are_those_of_their_jobs(store, model),
        what_is_open_is_counted(store, model),
        what_expires_is_known(store, model),
        batches_count_how_their_jobs_ended(store, model),
        usage_counts_every_run_that_began(store, model),
    )


async def every_job_is_there_with_what_it_owes(store: Store, model: ModelOfJobs) -> None:
    """In the list, and where it is asked for alone."""
    found = await store.list_jobs(before=None, most=MOST)
    assert [view.job for view in found] == sorted(model.jobs.values(), key=lambda each: each.id, reverse=True)
    for view in found:
        owed = {("archive", state): count for state, count in model.owed.get(view.job.id, Counter()).items() if count}
        assert view.deliveries == owed
        if view.job.id in model.touched:
            alone = await store.get_job(view.job.id)
            assert alone is not None
            assert (alone.job, alone.deliveries) == (view.job, view.deliveries)


async def nothing_is_left_of_what_is_gone(store: Store, model: ModelOfJobs) -> None:
    """Neither it nor its event, runs and deliveries."""
    for job_id in model.gone & model.touched:
        assert await asyncio.gather(
            store.get_job(job_id),
            store.get_event(job_id),
            store.list_runs(job_id, after=0, most=MOST),
            store.list_deliveries(before=None, most=MOST, job_id=job_id),
        ) == [None, None, [], []]


async def lists_show_each_under_its_state(store: Store, model: ModelOfJobs) -> None:
    """Also those of one function."""
    lists = await asyncio.gather(*[store.list_jobs(before=None, most=MOST, state=each) for each in JobState])
    for state, found in zip(JobState, lists, strict=True):
        assert {view.job for view in found} == {each for each in model.jobs.values() if each.state is state}, state
    for function in {each.function for each in model.jobs.values()}:
        found = await store.list_jobs(before=None, most=MOST, function=function)
        assert {view.job for view in found} == {each for each in model.jobs.values() if each.function == function}


async def each_that_runs_has_one_owner(store: Store, model: ModelOfJobs) -> None:
    """And nothing else has any."""
    leased = await asyncio.gather(*[store.leased_jobs(owner) for owner in OWNERS])
    held = [(each, owner, token) for owner, pairs in zip(OWNERS, leased, strict=True) for each, token in pairs]
    assert Counter((each.id, owner, token) for each, owner, token in held) == Counter(
        (job_id, lease.owner, lease.token) for job_id, lease in model.leases.items()
    )
    assert {each for each, *_ in held} == {each for each in model.jobs.values() if each.state is JobState.RUNNING}


async def runs_are_numbered_without_gaps_and_attempts_are_no_more_than_allowed(
    store: Store, model: ModelOfJobs
) -> None:
    """All that have ended, whatever came of them; only the current one has not."""
    changed = [each for each in model.jobs.values() if each.id in model.touched]
    found = await asyncio.gather(*[store.list_runs(each.id, after=0, most=MOST) for each in changed])
    for job, runs in zip(changed, found, strict=True):
        assert runs == model.runs.get(job.id, [])
        assert [each.run for each in runs] == list(range(1, job.run + (job.state is not JobState.RUNNING)))
        assert job.attempt <= job.max_attempts


async def results_and_events_are_those_of_their_jobs(store: Store, model: ModelOfJobs) -> None:
    """Whatever was deleted beside them."""
    for job in [each for each in model.jobs.values() if each.id in model.touched]:
        assert await store.get_event(job.id) == model.events[job.id]
        if job.state in {JobState.SUCCEEDED, JobState.FAILED}:
            assert await store.get_result(job.id) == model.results[job.id]


async def what_is_open_is_counted(store: Store, model: ModelOfJobs) -> None:
    """By function and state; and since when the oldest waits for a slot."""
    there = Counter((each.function, each.state) for each in model.jobs.values() if each.state in OPEN)
    queued, survey = await asyncio.gather(store.queued_jobs(), store.survey())
    assert survey.jobs == there
    assert queued == {function: count for (function, state), count in there.items() if state is JobState.QUEUED}
    assert survey.queued_since == {
        function: min(each.due_at for each in model.queued() if each.function == function) for function in queued
    }
    pending = sum(owed[DeliveryState.PENDING] for owed in model.owed.values())
    assert sum((await store.open_deliveries()).values()) == pending


async def what_expires_is_known(store: Store, model: ModelOfJobs) -> None:
    """The longest overdue first."""
    now = min(model.expiries.values(), default=None)
    if now is not None:
        found, later = await store.overdue_jobs(MOST, now=now)
        assert (set(found), later) == model.overdue(now)


async def batches_count_how_their_jobs_ended(store: Store, model: ModelOfJobs) -> None:
    """Those too that were deleted since."""
    found = await store.batches.list_all(before=None, most=MOST)
    running = Counter(each.batch_id for each in model.jobs.values() if each.state is JobState.RUNNING)
    assert {each.id: (each, count) for each, count in found} == {
        each.id: (each, running[each.id]) for each in model.batches.batches.values()
    }
    assert set(await store.batches.done()) == model.batches.done()
    found = await asyncio.gather(
        *[store.batches.list_lines(each, after=-1, most=MOST) for each in model.batches.batches]
    )
    for batch_id, lines in zip(model.batches.batches, found, strict=True):
        there = [(each.batch_index, each.id, each.state) for each in model.jobs.values() if each.batch_id == batch_id]
        assert [(line.index, line.job_id, line.state) for line in lines] == sorted(there)


async def usage_counts_every_run_that_began(store: Store, model: ModelOfJobs) -> None:
    """Whatever became of its job."""
    found = await store.list_usage(first=date(2026, 1, 1), last=date(2999, 1, 1), most=MOST)
    assert set(found) == model.usage.told()
