"""The contract of the store, what callers and operators do: keys, schedules, cancel, retry, delete, and fair turns."""

from datetime import timedelta

import pytest

from pipeline.lifecycle import after_expiry
from pipeline.model import JobState, Origin
from pipeline.store import Store
from pipeline.store.transactions.idempotency import Earlier, IdempotencyKey
from pipeline.store.transactions.interventions import Deletion
from tests.support import samples
from tests.support.samples import (
    FAILED,
    NOW,
    SUCCEEDED,
    delivery_draft,
    draft,
    ending,
    failed,
    later,
    lease,
    retrying,
    succeeded,
)
from tests.support.stores import Rig, ended, running, stored

KEY = IdempotencyKey(owner="", scope="job:extract-background", key="order-7", fingerprint=b"1")


# Idempotency keys


async def test_a_key_makes_one_job_and_tells_another_request_from_the_same(store: Store) -> None:
    first, second = draft(), draft()
    assert await store.insert_job_once(first, KEY, now=NOW) is None
    assert await store.insert_job_once(second, KEY, now=NOW) == Earlier(made_id=first.id, is_same=True)
    other = IdempotencyKey(owner=KEY.owner, scope=KEY.scope, key=KEY.key, fingerprint=b"2")
    assert await store.insert_job_once(second, other, now=NOW) == Earlier(made_id=first.id, is_same=False)
    assert await store.get_job(second.id) is None
    assert (await stored(store, first.id)).state is JobState.QUEUED


@pytest.mark.parametrize("change", [{"owner": "alice"}, {"scope": "job:other"}, {"key": "order-8"}])
async def test_keys_of_other_owners_and_scopes_are_other_keys(store: Store, change: dict[str, str]) -> None:
    facts = {"owner": KEY.owner, "scope": KEY.scope, "key": KEY.key} | change
    assert await store.insert_job_once(draft(), KEY, now=NOW) is None
    assert await store.insert_job_once(draft(), IdempotencyKey(**facts, fingerprint=b"1"), now=NOW) is None


async def test_a_key_is_good_for_a_day(store: Store, rig: Rig) -> None:
    first, second = draft(), draft()
    day = timedelta(days=1).total_seconds()
    await store.insert_job_once(first, KEY, now=NOW)
    assert await store.insert_job_once(second, KEY, now=later(day - 1)) == Earlier(made_id=first.id, is_same=True)
    assert await store.prune_idempotency(10, now=later(day - 1)) == 0
    assert await store.insert_job_once(second, KEY, now=later(day)) is None
    assert await store.prune_idempotency(10, now=later(2 * day)) == 1
    assert "idempotency" not in rig.rows()


# Schedules, tags, origins


async def test_a_scheduled_job_waits_for_its_moment_and_nobody_waits_for_it(store: Store) -> None:
    given = draft(run_at=later(60))
    await store.insert_job(given, now=NOW, lease=None)
    job = await stored(store, given.id)
    assert (job.state, job.due_at, job.created_at) == (JobState.SCHEDULED, later(60), NOW)
    assert await store.claim_jobs(given.function, 10, now=later(59), lease=lease(1)) == []
    other = draft()
    assert await store.insert_job(other, now=NOW, lease=lease(2))
    promoted, _ = await store.promote_due_jobs(10, now=later(60))
    assert promoted == {given.function: 1}
    (claimed,) = await store.claim_jobs(given.function, 10, now=later(60), lease=lease(3))
    assert claimed.job.id == given.id


async def test_a_scheduled_job_may_wait_as_long_after_its_moment_as_any(store: Store) -> None:
    given = draft(run_at=later(60), max_age_s=10.0)
    await store.insert_job(given, now=NOW, lease=None)
    assert (await store.overdue_jobs(10, now=later(69)))[0] == []
    overdue, _ = await store.overdue_jobs(10, now=later(70))
    assert [job.id for job in overdue] == [given.id]


async def test_origin_and_tags_come_back_and_tags_and_time_are_searched(store: Store, rig: Rig) -> None:
    origin = Origin(owner="alice", replay_of=samples.new_id(), key="file.pdf", traceparent="00-1-2-01")
    tagged, plain = draft(tags=("a", "b", "a"), origin=origin), draft()
    for each in (tagged, plain):
        await store.insert_job(each, now=NOW, lease=None)
    assert (await stored(store, tagged.id)).origin == origin
    assert [view.job.id for view in await store.list_jobs(before=None, most=9, tag="a")] == [tagged.id]
    assert await store.list_jobs(before=None, most=9, tag="c") == []
    assert [view.job.id for view in await store.list_jobs(before=None, most=9, since=plain.id)] == [plain.id]
    await store.cancel_job(tagged.id, now=NOW)
    await store.delete_job(tagged.id)
    assert "job_tag" not in rig.rows()


# Turns


async def order_of(store: Store, count: int) -> list[str]:
    claimed = [await store.claim_jobs("extract-background", 1, now=NOW, lease=lease(99)) for _ in range(count)]
    return [job.job.id for jobs in claimed for job in jobs]


async def test_single_jobs_are_served_in_order(store: Store) -> None:
    drafts = [draft() for _ in range(4)]
    for each in drafts[:3]:
        await store.insert_job(each, now=NOW, lease=None)
    assert await order_of(store, 1) == [drafts[0].id]
    await store.insert_job(drafts[3], now=NOW, lease=None)
    assert await order_of(store, 4) == [each.id for each in drafts[1:]]


async def test_priority_comes_before_any_turn(store: Store) -> None:
    normal, urgent = draft(), draft(priority=0)
    for each in (normal, urgent):
        await store.insert_job(each, now=NOW, lease=None)
    assert await order_of(store, 2) == [urgent.id, normal.id]


# Cancel


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.SCHEDULED, JobState.RETRYING])
async def test_a_waiting_job_is_cancelled_at_once_and_never_claimed(store: Store, state: JobState) -> None:
    given = draft(run_at=later(60)) if state is JobState.SCHEDULED else draft()
    if state is JobState.RETRYING:
        job = await running(store, draft=given)
        await store.finish_run(job, 1, retrying(60), failed(), now=NOW)
    else:
        await store.insert_job(given, now=NOW, lease=None)
    assert (await stored(store, given.id)).state is state
    assert await store.cancel_job(given.id, now=later(5)) == (JobState.CANCELLED, True)
    job = await stored(store, given.id)
    assert (job.state, job.ended_at, job.reason, job.error) == (JobState.CANCELLED, later(5), None, None)
    await store.promote_due_jobs(10, now=later(3600))
    assert await store.claim_jobs(given.function, 10, now=later(3600), lease=lease(5)) == []
    assert await store.cancel_job(given.id, now=later(9)) == (JobState.CANCELLED, False)


async def test_running_ended_and_unknown_jobs_are_told_and_left_alone(store: Store) -> None:
    job = await running(store)
    assert await store.cancel_job(job.id, now=NOW) == (JobState.RUNNING, False)
    done = await ended(store)
    assert await store.cancel_job(done.id, now=NOW) == (JobState.SUCCEEDED, False)
    assert await store.cancel_job(samples.new_id(), now=NOW) == (None, False)
    assert (await stored(store, done.id)).state is JobState.SUCCEEDED


# Retry


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED])
async def test_an_ended_job_is_opened_again_in_its_next_round_with_its_history(store: Store, state: JobState) -> None:
    given = draft(max_age_s=1.0) if state is JobState.EXPIRED else draft()
    if state is JobState.FAILED:
        job = await running(store, draft=given)
        await store.finish_run(job, 1, FAILED, failed(), now=NOW, ending=ending(job, delivery_draft()))
    else:
        await store.insert_job(given, now=NOW, lease=None)
    if state is JobState.CANCELLED:
        await store.cancel_job(given.id, now=NOW)
    if state is JobState.EXPIRED:
        job = await stored(store, given.id)
        await store.expire_job(job, after_expiry(job), now=later(2), ending=ending(job))
    assert (await stored(store, given.id)).state is state
    assert await store.reopen_job(given.id, 7, now=later(10))
    job = await stored(store, given.id)
    assert (job.state, job.round, job.attempt, job.lost, job.max_attempts) == (JobState.QUEUED, 2, 0, 0, 7)
    assert (job.reason, job.error, job.ended_at, job.due_at) == (None, None, None, later(10))
    (claimed,) = await store.claim_jobs(given.function, 1, now=later(10), lease=lease(8))
    assert (claimed.job.run, claimed.job.attempt) == (2 if state is JobState.FAILED else 1, 1)
    assert claimed.event == given.event
    await store.finish_run(claimed.job, 8, SUCCEEDED, succeeded(), now=later(11), ending=ending(claimed.job))
    assert (await stored(store, given.id)).state is JobState.SUCCEEDED


async def test_what_is_open_or_succeeded_is_not_opened_again(store: Store) -> None:
    job, done = await running(store), await ended(store)
    assert not await store.reopen_job(job.id, 3, now=NOW)
    assert not await store.reopen_job(done.id, 3, now=NOW)
    assert not await store.reopen_job(samples.new_id(), 3, now=NOW)
    assert (await stored(store, job.id)).round == (await stored(store, done.id)).round == 1


# Delete


async def test_only_an_ended_job_that_owes_nothing_is_deleted_with_all_of_it(store: Store, rig: Rig) -> None:
    open_job = await running(store)
    assert await store.delete_job(open_job.id) is Deletion.NOT_ENDED
    owing = ending(open_job, delivery_draft())
    await store.finish_run(open_job, 1, SUCCEEDED, succeeded(), now=NOW, ending=owing)
    assert await store.delete_job(open_job.id) is Deletion.OWES
    assert await store.delete_job(samples.new_id()) is Deletion.UNKNOWN
    done = await ended(store)
    assert await store.delete_job(done.id) is Deletion.DONE
    assert await store.get_job(done.id) is None
    assert rig.rows()["job"] == 1
