"""The contract of the store, jobs: insert, claim, finish, promote, leases. Asks nothing but the verbs."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.lifecycle import JobStep, after_loss
from pipeline.model import JobReason, JobState, Progress, RunOutcome, RunState
from pipeline.store import Store
from tests.support import samples
from tests.support.samples import (
    ERROR,
    FAILED,
    NOW,
    RESULT,
    RETURNED,
    SUCCEEDED,
    delivery_draft,
    draft,
    ending,
    failed,
    job_step,
    later,
    lease,
    retrying,
    succeeded,
)
from tests.support.stores import Rig, ended, ids, running, stored


async def queue(store: Store, *priorities: int, **changes: Any) -> list[str]:
    """Queue a job of each priority; return their ids."""
    drafts = [draft(priority=priority, **changes) for priority in priorities]
    for each in drafts:
        await store.insert_job(each, now=NOW, lease=None)
    return [each.id for each in drafts]


# Insert


async def test_an_inserted_job_is_queued_with_all_that_was_given(store: Store) -> None:
    given = draft(priority=3, tags=("a", "b"), parent_id=samples.new_id(), depth=2, max_attempts=4, timeout_s=7.5)
    assert not await store.insert_job(given, now=NOW, lease=None)
    job = await stored(store, given.id)
    assert job == samples.job(
        id=given.id, state=JobState.QUEUED, priority=3, attempt=0, max_attempts=4, run=0, started_at=None,
        timeout_s=7.5, tags=("a", "b"), parent_id=given.parent_id, depth=2,
    )  # fmt: skip


async def test_a_job_is_claimed_on_insert_where_nothing_of_its_function_waits(store: Store) -> None:
    await queue(store, 5, function="other-background")
    first = draft()
    assert await store.insert_job(first, now=NOW, lease=lease(11))
    job = await stored(store, first.id)
    assert (job.state, job.attempt, job.run, job.started_at) == (JobState.RUNNING, 1, 1, NOW)
    assert await store.leased_jobs(samples.OWNER) == [(job, 11)]


async def test_a_job_is_not_claimed_on_insert_where_one_waits_before_it(store: Store) -> None:
    (waiting,) = await queue(store, 9)
    urgent = draft(priority=0)
    assert not await store.insert_job(urgent, now=NOW, lease=lease(11))
    assert (await stored(store, urgent.id)).state is JobState.QUEUED
    assert ids(await store.claim_jobs(urgent.function, 5, now=NOW, lease=lease(12))) == [urgent.id, waiting]
    assert await store.insert_job(draft(), now=NOW, lease=lease(13))


async def test_an_id_is_stored_once(rig: Rig, store: Store) -> None:
    given = draft()
    await store.insert_job(given, now=NOW, lease=None)
    before = rig.dump()
    with pytest.raises(Exception, match="UNIQUE"):
        await store.insert_job(replace(given, event=b"other"), now=NOW, lease=None)
    assert rig.dump() == before


# Claim


async def test_claims_go_by_priority_and_then_by_age(store: Store) -> None:
    first, second, third, fourth, fifth = await queue(store, 5, 9, 0, 5, 0)
    claimed = await store.claim_jobs("extract-background", 4, now=NOW, lease=lease(1))
    assert ids(claimed) == [third, fifth, first, fourth]
    assert ids(await store.claim_jobs("extract-background", 4, now=NOW, lease=lease(2))) == [second]
    assert await store.claim_jobs("extract-background", 4, now=NOW, lease=lease(3)) == []


async def test_a_claim_takes_only_its_own_function_and_no_more_than_it_may(store: Store) -> None:
    await queue(store, 0, 0, function="other-background")
    mine = await queue(store, 5, 5, 5)
    assert ids(await store.claim_jobs("extract-background", 2, now=NOW, lease=lease(1))) == mine[:2]
    assert await store.queued_jobs() == {"other-background": 2, "extract-background": 1}
    assert await store.queued_jobs(["other-background", "nothing"]) == {"other-background": 2}


async def test_a_claimed_job_is_counted_and_comes_with_its_event(store: Store) -> None:
    given = draft(event=b'{"body": "\xc3\xa4"}')
    await store.insert_job(given, now=NOW, lease=None)
    (claimed,) = await store.claim_jobs(given.function, 1, now=later(5), lease=lease(42, at=later(5)))
    assert (claimed.event, claimed.token) == (given.event, 42)
    job = claimed.job
    assert (job.state, job.run, job.attempt, job.started_at) == (JobState.RUNNING, 1, 1, later(5))
    assert job == await stored(store, given.id)


async def test_every_claim_is_a_new_run_and_only_some_spend_an_attempt(store: Store) -> None:
    job = await running(store, token=1)
    for token, step in ((1, RETURNED), (2, RETURNED), (3, after_loss(job, NOW))):
        assert await store.finish_run(job, token, step, RunOutcome(state=step.run_state), now=NOW) == []
        (claimed,) = await store.claim_jobs(job.function, 1, now=NOW, lease=lease(token + 1))
        job = claimed.job
    assert (job.run, job.attempt, job.lost) == (4, 1, 1)
    states = [run.state for run in await store.list_runs(job.id, after=0, most=9)]
    assert states == [RunState.RETURNED, RunState.RETURNED, RunState.LOST]


# Progress


async def test_progress_is_written_under_the_lease_only_and_cleared_by_the_next_claim(store: Store) -> None:
    job, other = await running(store, token=1), await running(store, token=2)
    half, all_of_it = Progress(done=1, total=2.5, note="half"), Progress(done=2)
    await store.note_progress([(job.id, 1, half), (other.id, 1, half)])
    assert (await stored(store, job.id)).progress == half
    assert (await stored(store, other.id)).progress is None
    await store.note_progress([(job.id, 1, all_of_it)])
    await store.finish_run(job, 1, retrying(60), failed(), now=NOW)
    assert (await stored(store, job.id)).progress == all_of_it
    await store.note_progress([(job.id, 1, half)])  # the run has ended
    assert (await stored(store, job.id)).progress == all_of_it
    await store.promote_due_jobs(10, now=later(3600))
    (claimed,) = await store.claim_jobs(job.function, 1, now=later(3600), lease=lease(3))
    assert claimed.job.progress is None


# Finish


async def test_the_end_of_a_job_is_stored_with_result_run_log_message_and_deliveries(rig: Rig, store: Store) -> None:
    job = await running(store, token=5)
    one, other = delivery_draft(destination="archive"), delivery_draft(destination="index", recipient="a@b.example")
    owed = ending(job, one, other)
    outcome = replace(succeeded(RESULT, "hello", "world"), started_at=later(1), ended_at=later(3))
    assert await store.finish_run(job, 5, SUCCEEDED, outcome, now=later(4), ending=owed) == [False, False]
    done = await store.get_job(job.id)
    assert done is not None
    assert (done.job.state, done.job.ended_at, done.job.reason) == (JobState.SUCCEEDED, later(4), None)
    assert done.deliveries == {("archive", "pending"): 1, ("index", "pending"): 1}
    assert await store.get_result(job.id) == RESULT
    (run,) = await store.list_runs(job.id, after=0, most=9)
    assert (run.run, run.attempt, run.round, run.state, run.started_at, run.ended_at) == (
        1, 1, 1, RunState.SUCCEEDED, later(1), later(3),
    )  # fmt: skip
    assert [(line.number, line.run, line.text) for line in await store.list_log(job.id, after=0, most=9)] == [
        (1, 1, "hello"),
        (2, 1, "world"),
    ]
    (claimed,) = await store.claim_deliveries("index", 9, now=NOW, lease=lease(6))
    assert claimed.message == owed.message
    assert (claimed.delivery.id, claimed.delivery.recipient) == (other.id, "a@b.example")
    assert await store.leased_jobs(samples.OWNER) == []
    rows = {"delivery": 2, "job": 1, "log": 1, "message": 1, "payload": 2, "run": 1, "usage": 1}
    assert rig.rows() == rows


async def test_a_failed_job_says_why_and_keeps_a_response_that_failed(store: Store) -> None:
    job = await running(store)
    result = replace(RESULT, status=503)
    outcome = failed(JobReason.BAD_STATUS, result=result)
    step = replace(FAILED, reason=JobReason.BAD_STATUS)
    await store.finish_run(job, 1, step, outcome, now=NOW)
    done = await stored(store, job.id)
    assert (done.state, done.reason, done.error) == (JobState.FAILED, JobReason.BAD_STATUS, ERROR)
    assert await store.get_result(job.id) == result
    (run,) = await store.list_runs(job.id, after=0, most=9)
    assert (run.reason, run.error) == (JobReason.BAD_STATUS, ERROR)


@pytest.mark.parametrize("body", [b"", b"\x00\xff" * 1000, "ä".encode()])
async def test_a_result_comes_back_byte_for_byte(store: Store, body: bytes) -> None:
    headers = (("set-cookie", "a=1"), ("set-cookie", "b=2"), ("X-Odd", "\u00e4"))
    result = replace(RESULT, status=299, headers=headers, body=body)
    job = await ended(store, outcome=succeeded(result))
    assert await store.get_result(job.id) == result


async def test_a_job_without_a_response_has_no_result(store: Store) -> None:
    job = await ended(store, outcome=succeeded(None))
    assert await store.get_result(job.id) is None
    assert await store.get_result(samples.new_id()) is None


async def test_a_run_that_is_tried_again_leaves_no_result(rig: Rig, store: Store) -> None:
    job = await running(store)
    await store.finish_run(job, 1, retrying(60), failed(JobReason.BAD_STATUS, result=RESULT), now=NOW)
    waiting = await stored(store, job.id)
    assert (waiting.state, waiting.due_at, waiting.reason) == (JobState.RETRYING, later(60), JobReason.ERROR)
    assert waiting.ended_at is None
    assert await store.get_result(job.id) is None
    assert rig.rows()["payload"] == 1  # the event's


STALE = [
    pytest.param(0, SUCCEEDED, id="another token"),
    pytest.param(1, SUCCEEDED, id="finished before"),
    pytest.param(1, FAILED, id="finished otherwise"),
    pytest.param(1, RETURNED, id="given back"),
    pytest.param(1, retrying(60), id="tried again"),
]


@pytest.mark.parametrize(("finished", "step"), STALE)
async def test_finish_with_stale_lease_changes_nothing(rig: Rig, store: Store, finished: int, step: JobStep) -> None:
    job = await running(store, token=5)
    await queue(store, 5)
    token = 6
    if finished:
        token = 5
        first = ending(job, delivery_draft())
        await store.finish_run(job, 5, SUCCEEDED, succeeded(RESULT, "hello"), now=NOW, ending=first)
    before = rig.dump()
    owed = ending(job, delivery_draft(destination="other"), leases=(lease(9),))
    assert await store.finish_run(job, token, step, succeeded(RESULT, "late"), now=later(9), ending=owed) is None
    assert rig.dump() == before


async def test_a_token_of_an_earlier_run_is_stale_in_the_next(rig: Rig, store: Store) -> None:
    job = await running(store, token=5)
    await store.finish_run(job, 5, RETURNED, RunOutcome(state=RunState.RETURNED), now=NOW)
    await store.claim_jobs(job.function, 1, now=NOW, lease=lease(6))
    before = rig.dump()
    assert await store.finish_run(job, 5, SUCCEEDED, succeeded(), now=NOW) is None
    assert rig.dump() == before


async def test_an_end_that_cannot_be_written_whole_is_not_written_at_all(rig: Rig, store: Store) -> None:
    job = await running(store, token=5)
    before = rig.dump()
    with pytest.raises(Exception, match="UNIQUE"):
        await store.finish_run(
            job, 5, SUCCEEDED, succeeded(), now=NOW, ending=ending(job, delivery_draft(), delivery_draft())
        )
    assert rig.dump() == before
    assert await store.finish_run(job, 5, SUCCEEDED, succeeded(), now=NOW) == []


# Promote


async def test_what_is_due_is_queued_and_the_next_moment_is_told(store: Store) -> None:
    waits = {60.0: "a-background", 60.5: "b-background", 120.0: "a-background", 180.0: "a-background"}
    for token, (seconds, function) in enumerate(waits.items()):
        job = await running(store, token=token, function=function)
        await store.finish_run(job, token, retrying(seconds), failed(), now=NOW)
    assert await store.promote_due_jobs(9, now=later(59.9)) == ({}, later(60))
    assert await store.promote_due_jobs(9, now=later(60)) == ({"a-background": 1}, later(60.5))
    assert await store.promote_due_jobs(9, now=later(150)) == ({"a-background": 1, "b-background": 1}, later(180))
    assert await store.queued_jobs() == {"a-background": 2, "b-background": 1}
    assert await store.promote_due_jobs(9, now=later(180)) == ({"a-background": 1}, None)


async def test_promotion_stops_at_its_bound_and_takes_the_earliest(store: Store) -> None:
    jobs = []
    for token, seconds in enumerate((30.0, 10.0, 20.0)):
        jobs.append(await running(store, token=token))
        await store.finish_run(jobs[-1], token, retrying(seconds), failed(), now=NOW)
    found, due_at = await store.promote_due_jobs(2, now=later(99))
    assert (found.total(), due_at) == (2, later(30))
    assert [(await stored(store, job.id)).state for job in jobs] == ["retrying", "queued", "queued"]


async def test_a_promoted_job_keeps_its_counters_and_is_claimed_as_the_next_attempt(store: Store) -> None:
    job = await running(store)
    await store.finish_run(job, 1, retrying(60), failed(), now=NOW)
    await store.promote_due_jobs(1, now=later(60))
    (claimed,) = await store.claim_jobs(job.function, 1, now=later(60), lease=lease(2))
    assert (claimed.job.run, claimed.job.attempt, claimed.job.state) == (2, 2, JobState.RUNNING)


# Leases


async def test_leases_are_renewed_for_their_owner_alone(store: Store) -> None:
    mine = await running(store, token=1)
    theirs = draft()
    assert await store.insert_job(theirs, now=NOW, lease=lease(2, owner="another"))
    assert await store.renew_leases(samples.OWNER, expires_at=later(100)) == {(mine.id, 1)}
    assert [(job.id, token) for job, token in await store.expired_jobs(now=later(31))] == [(theirs.id, 2)]
    expired = {(job.id, token) for job, token in await store.expired_jobs(now=later(101))}
    assert expired == {(mine.id, 1), (theirs.id, 2)}


async def test_a_lease_holds_to_its_last_moment(store: Store) -> None:
    await running(store)
    assert await store.expired_jobs(now=later(30)) == []
    assert len(await store.expired_jobs(now=later(30.001))) == 1


async def test_a_finished_run_holds_no_lease(store: Store) -> None:
    job = await running(store)
    await store.finish_run(job, 1, SUCCEEDED, succeeded(), now=NOW)
    assert await store.renew_leases(samples.OWNER, expires_at=later(100)) == set()
    assert await store.expired_jobs(now=later(1000)) == []


async def test_a_lost_run_goes_back_and_at_last_ends_the_job(store: Store) -> None:
    job = await running(store, token=0)
    for number in range(1, 11):
        step = after_loss(job, NOW)
        owed = ending(job, type=step.message, state=step.state) if step.message else None
        lost = RunOutcome(state=RunState.LOST)
        assert await store.finish_run(job, number - 1, step, lost, now=NOW, ending=owed) == []
        if number < 10:
            await store.promote_due_jobs(1, now=later(100))
            (claimed,) = await store.claim_jobs(job.function, 1, now=NOW, lease=lease(number))
            job = claimed.job
            assert (job.run, job.attempt, job.lost) == (number + 1, 1, number)
    done = await stored(store, job.id)
    assert (done.state, done.reason, done.lost, done.attempt, done.run) == (JobState.FAILED, JobReason.LOST, 10, 0, 10)
    assert await store.get_result(job.id) is None
    last = (await store.list_runs(job.id, after=9, most=9))[0]
    assert (last.state, last.reason) == (RunState.LOST, JobReason.LOST)


async def test_a_cancelled_job_ends_without_a_message(rig: Rig, store: Store) -> None:
    job = await running(store)
    step = job_step(JobState.CANCELLED, RunState.CANCELLED)
    assert await store.finish_run(job, 1, step, RunOutcome(state=RunState.CANCELLED), now=NOW) == []
    assert (await stored(store, job.id)).ended_at == NOW
    assert "message" not in rig.rows()
