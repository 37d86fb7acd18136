"""The contract of the store, expiry: a job that was not started in time is claimed by nobody, and ends once."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from pipeline.lifecycle import after_expiry
from pipeline.model import Delivery, DeliveryState, Job, JobState, MessageType
from pipeline.store import Store
from pipeline.store.transactions.deliveries import Ending
from tests.support import samples
from tests.support.samples import FAILED, NOW, RETURNED, delivery_draft, draft, failed, later, lease, retrying
from tests.support.stores import Rig, all_of, ids, stored


async def waiting(store: Store, max_age_s: float | None = 60.0, **changes: object) -> Job:
    """Store a job that nobody claims, and return it."""
    given = draft(max_age_s=max_age_s, **changes)
    assert not await store.insert_job(given, now=NOW, lease=None)
    return await stored(store, given.id)


def owed(job: Job, *destinations: str) -> Ending:
    """Return what an expired job owes."""
    drafts = [delivery_draft(destination=name) for name in destinations]
    facts = {
        "type": MessageType.JOB_FAILED,
        "state": JobState.EXPIRED,
        "attempt": 0,
        "started_at": None,
        "result": None,
    }
    return samples.ending(job, *drafts, **facts)


async def expire(store: Store, job: Job, at: datetime, *destinations: str) -> list[bool] | None:
    """Expire a job as the service does."""
    return await store.expire_job(job, after_expiry(job), now=at, ending=owed(job, *destinations))


async def deliveries_of(store: Store, job: Job) -> Sequence[Delivery]:
    return await store.list_deliveries(before=None, most=10, job_id=job.id)


async def test_a_job_is_claimed_before_its_age_and_not_after(store: Store) -> None:
    late = await waiting(store)
    for function in ("in-time-background", "extract-background"):
        await waiting(store, max_age_s=None, function=function)
    await waiting(store, function="in-time-background")
    at = later(59.999_999)
    assert len(await store.claim_jobs("in-time-background", 9, now=at, lease=lease(1))) == 2
    claimed = await store.claim_jobs("extract-background", 9, now=later(60), lease=lease(2))
    assert late.id not in ids(claimed)
    assert len(claimed) == 1
    assert (await stored(store, late.id)).state is JobState.QUEUED


async def test_overdue_jobs_are_found_the_longest_overdue_first_and_the_next_moment(store: Store) -> None:
    slow, quick, never = await waiting(store, 90), await waiting(store, 30), await waiting(store, None)
    assert await store.overdue_jobs(9, now=later(29)) == ([], later(30))
    assert await store.overdue_jobs(9, now=later(30)) == ([quick], later(90))
    assert await store.overdue_jobs(1, now=later(90)) == ([quick], None)
    assert await store.overdue_jobs(9, now=later(90)) == ([quick, slow], None)
    assert never.id in ids(await store.claim_jobs("extract-background", 9, now=later(10**6), lease=lease(1)))


async def test_an_expired_job_has_ended_with_its_message_and_deliveries(store: Store) -> None:
    job = await waiting(store)
    assert await expire(store, job, later(61), "archive", "oncall") == [False, False]
    ended = await stored(store, job.id)
    assert (ended.state, ended.reason, ended.error, ended.ended_at) == (JobState.EXPIRED, None, None, later(61))
    assert (ended.attempt, ended.run, ended.started_at) == (0, 0, None)
    found = await deliveries_of(store, job)
    assert {(each.destination, each.type, each.state) for each in found} == {
        (name, MessageType.JOB_FAILED, DeliveryState.PENDING) for name in ("archive", "oncall")
    }
    (claimed,) = await store.claim_deliveries("archive", 9, now=later(61), lease=lease(1))
    assert (claimed.message.state, claimed.message.reason, claimed.message.result) == (JobState.EXPIRED, None, None)
    assert await store.overdue_jobs(9, now=later(10**6)) == ([], None)
    assert await store.list_runs(job.id, after=0, most=9) == []


async def test_a_job_expires_once(store: Store, rig: Rig) -> None:
    job = await waiting(store)
    assert await all_of(*(expire(store, job, later(61), "archive") for _ in range(2))) == [[False], None]
    before = rig.dump()
    assert await expire(store, job, later(62), "archive") is None
    assert rig.dump() == before
    assert len(await deliveries_of(store, job)) == 1


@pytest.mark.parametrize("seconds", [0, 59.999_999])
async def test_a_job_that_is_not_overdue_does_not_expire(store: Store, rig: Rig, seconds: float) -> None:
    job = await waiting(store)
    before = rig.dump()
    assert await expire(store, job, later(seconds), "archive") is None
    assert rig.dump() == before


@pytest.mark.parametrize("how", ["claimed on insert", "claimed", "returned", "retrying", "retried", "failed"])
async def test_a_job_that_was_started_once_never_expires(store: Store, how: str) -> None:
    given = draft(max_age_s=60.0)
    await store.insert_job(given, now=NOW, lease=lease(1) if how == "claimed on insert" else None)
    if how != "claimed on insert":
        await store.claim_jobs(given.function, 1, now=later(1), lease=lease(1))
    job = await stored(store, given.id)
    if how == "returned":
        await store.finish_run(job, 1, RETURNED, failed(), now=later(2))
    elif how in ("retrying", "retried"):
        await store.finish_run(job, 1, retrying(60), failed(), now=later(2))
    elif how == "failed":
        await store.finish_run(job, 1, FAILED, failed(), now=later(2), ending=owed(job))
    if how == "retried":
        await store.promote_due_jobs(9, now=later(61))
    before = await stored(store, given.id)
    assert await store.overdue_jobs(9, now=later(10**6)) == ([], None)
    assert await expire(store, job, later(10**6)) is None
    assert await stored(store, given.id) == before
    if before.state is JobState.QUEUED:
        assert ids(await store.claim_jobs(given.function, 1, now=later(10**6), lease=lease(2))) == [given.id]


async def test_many_jobs_expire_at_once(store: Store) -> None:
    jobs = [await waiting(store) for _ in range(70)]
    assert await all_of(*(expire(store, job, later(61), "archive") for job in jobs)) == [[False]] * 70
    assert {(await stored(store, job.id)).state for job in jobs} == {JobState.EXPIRED}
    assert (await store.queued_jobs()) == {}
