"""The contract of the store, batches: items, turns, counters, ends, cancelling, retrying, results, retention."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pipeline.ids import first_id_at
from pipeline.model import (
    Batch,
    BatchDraft,
    BatchMessage,
    BatchState,
    Job,
    JobDraft,
    JobReason,
    JobState,
    MessageType,
    Origin,
)
from pipeline.store import Store
from pipeline.store.transactions.batches import Added
from pipeline.store.transactions.deliveries import Ending
from pipeline.store.transactions.idempotency import Earlier, IdempotencyKey
from tests.support import samples
from tests.support.samples import (
    ERROR,
    FAILED,
    NOW,
    RESULT,
    SUCCEEDED,
    delivery_draft,
    draft,
    failed,
    later,
    lease,
    retrying,
    succeeded,
)
from tests.support.stores import Rig, stored

FUNCTION = "extract-background"


def batch_draft(**changes: Any) -> BatchDraft:
    facts: dict[str, Any] = {"id": samples.new_id(), "function": FUNCTION, "owner": None, "priority": 5}
    return BatchDraft(**(facts | {"created_at": NOW, "closes_at": later(3600)} | changes))


def items(batch: BatchDraft, *indexes: int, digest: str = "d") -> list[JobDraft]:
    return [
        draft(batch_id=batch.id, batch_index=index, origin=Origin(key=f"file-{index}", digest=f"{digest}{index}"))
        for index in indexes
    ]


async def batch_of(store: Store, count: int, *, is_closed: bool = True) -> tuple[BatchDraft, list[JobDraft]]:
    batch = batch_draft()
    await store.batches.insert(batch)
    drafts = items(batch, *range(count))
    assert await store.batches.add_items(batch.id, drafts, now=NOW) == [Added.NEW] * count
    if is_closed:
        await store.batches.close(batch.id)
    return batch, drafts


async def got(store: Store, batch: BatchDraft) -> Batch:
    found = await store.batches.get(batch.id)
    assert found is not None
    return found[0]


async def claim(store: Store, count: int) -> list[Job]:
    return [claimed.job for claimed in await store.claim_jobs(FUNCTION, count, now=NOW, lease=lease(1))]


async def finish(store: Store, job: Job, *, fails: bool = False) -> None:
    step, outcome = (FAILED, failed()) if fails else (SUCCEEDED, succeeded())
    assert await store.finish_run(job, 1, step, outcome, now=NOW) is not None


def message_of(batch: Batch, **changes: Any) -> BatchMessage:
    ended = replace(batch, state=BatchState.COMPLETED, ended_at=NOW)
    return BatchMessage(id=f"msg_{samples.new_id()}", batch=ended, ended_at=NOW, failures=(), **changes)


# Items


async def test_a_batch_holds_its_items_as_jobs_and_takes_more_until_it_is_closed(store: Store) -> None:
    batch, drafts = await batch_of(store, 3, is_closed=False)
    assert await got(store, batch) == Batch(
        id=batch.id, function=FUNCTION, state=BatchState.RECEIVING, round=1, owner=None, is_cancelled=False, total=3,
        succeeded=0, failed=0, cancelled=0, expired=0, created_at=NOW, ended_at=None,
    )  # fmt: skip
    job = await stored(store, drafts[2].id)
    assert (job.batch_id, job.batch_index, job.origin.key) == (batch.id, 2, "file-2")
    await store.batches.close(batch.id)
    assert (await got(store, batch)).state is BatchState.RUNNING
    found = await store.list_jobs(before=None, most=10, batch_id=batch.id)
    assert {view.job.id for view in found} == {each.id for each in drafts}


async def test_items_that_are_sent_again_are_known_by_their_index_and_told_from_others(store: Store) -> None:
    batch, _ = await batch_of(store, 3, is_closed=False)
    again = [*items(batch, 1), *items(batch, 2, digest="other"), *items(batch, 3)]
    added = await store.batches.add_items(batch.id, again, now=NOW)
    assert added == [Added.SAME, Added.DIFFERENT, Added.NEW]
    assert (await got(store, batch)).total == 4


async def test_a_key_names_the_batch(store: Store) -> None:
    key = IdempotencyKey(owner="", scope=f"batch:{FUNCTION}", key="nightly", fingerprint=b"")
    first = batch_draft()
    assert await store.batches.insert(first, key=key) is None
    second = batch_draft()
    assert await store.batches.insert(second, key=key) == Earlier(made_id=first.id, is_same=True)
    assert await store.batches.get(second.id) is None


async def test_a_batch_that_was_cut_off_is_closed_with_what_came(store: Store) -> None:
    batch, _ = await batch_of(store, 2, is_closed=False)
    assert await store.batches.next_cut_off() == later(3600)
    assert await store.batches.close_cut_off(now=later(3599)) == []
    assert await store.batches.close_cut_off(now=later(3600)) == [batch.id]
    assert (await got(store, batch)).state is BatchState.RUNNING
    assert await store.batches.next_cut_off() is None


# Turns


async def test_a_single_job_waits_for_one_item_of_a_batch_and_not_for_all(store: Store) -> None:
    _, drafts = await batch_of(store, 100)
    assert [job.batch_index for job in await claim(store, 10)] == list(range(10))
    single, urgent = draft(), draft(priority=0)
    for each in (single, urgent):
        await store.insert_job(each, now=NOW, lease=None)
    claimed = [job.id for job in await claim(store, 4)]
    assert claimed == [urgent.id, drafts[10].id, drafts[11].id, single.id]


async def test_two_batches_advance_side_by_side(store: Store) -> None:
    first, _ = await batch_of(store, 50)
    assert len(await claim(store, 20)) == 20
    second, _ = await batch_of(store, 50)
    claimed = [job.batch_id for job in await claim(store, 20)]
    # The one that is served now, and then one of each.
    assert claimed == [first.id] + [first.id, second.id] * 9 + [first.id]


async def test_a_batch_gets_on_however_many_single_jobs_come(store: Store) -> None:
    batch, _ = await batch_of(store, 10)
    served = []
    for _ in range(40):  # each time two single jobs come, and two jobs are served
        for each in (draft(), draft()):
            await store.insert_job(each, now=NOW, lease=None)
        served += [job.batch_id for job in await claim(store, 2)]
    assert served.count(batch.id) == 10


# Counters and ends


async def test_counters_count_each_end_once(store: Store) -> None:
    batch, drafts = await batch_of(store, 5)
    jobs = await claim(store, 3)
    assert (await store.batches.get(batch.id) or (None, 0))[1] == 3
    await finish(store, jobs[0])
    await finish(store, jobs[1], fails=True)
    await store.finish_run(jobs[2], 1, retrying(60), failed(), now=NOW)
    assert await store.finish_run(jobs[0], 1, SUCCEEDED, succeeded(), now=NOW) is None  # its lease is gone
    await store.cancel_job(drafts[4].id, now=NOW)
    found = await got(store, batch)
    assert (found.succeeded, found.failed, found.cancelled, found.expired, found.ended) == (1, 1, 1, 0, 3)
    assert (await store.batches.get(batch.id) or (None, 9))[1] == 0


async def test_the_counters_are_those_that_counting_gives_whatever_happens(store: Store, rig: Rig) -> None:
    chance = random.Random(7)
    batches = [await batch_of(store, 12) for _ in range(2)]
    for _ in range(150):
        batch, drafts = chance.choice(batches)
        one = chance.choice(drafts).id
        match chance.randrange(6):
            case 0:
                await store.cancel_job(one, now=NOW)
            case 1:
                await store.reopen_job(one, 3, now=NOW)
            case 2:
                await store.batches.cancel_jobs(batch.id, 1, now=NOW)
            case 3:
                await store.batches.reopen_failed(batch.id, -1, 3, 3, now=later(1))
            case _:
                for job in await claim(store, 2):
                    await finish(store, job, fails=chance.random() < 0.5)
    for batch, drafts in batches:
        states = [(await stored(store, each.id)).state for each in drafts]
        found = await got(store, batch)
        assert (found.succeeded, found.failed, found.cancelled) == tuple(
            states.count(state) for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
        )
    assert rig.fatal == []


async def test_a_batch_ends_once_its_last_job_has_with_its_message_and_deliveries(store: Store) -> None:
    batch, _ = await batch_of(store, 2)
    for job in await claim(store, 1):
        await finish(store, job)
    running = await got(store, batch)
    owed = delivery_draft(destination="summary", recipient="ops@example.com")

    def ending(of: Batch) -> Ending:
        return Ending(message=message_of(of), deliveries=(owed,), leases=(None,))

    assert await store.batches.done() == []
    assert await store.batches.end(running, BatchState.COMPLETED, ending(running), now=NOW) is None
    for job in await claim(store, 1):
        await finish(store, job)
    (done,) = await store.batches.done()
    assert done.id == batch.id
    made = ending(done)
    assert await store.batches.end(done, BatchState.COMPLETED, made, now=later(1)) == [False]
    assert await store.batches.end(done, BatchState.COMPLETED, ending(done), now=later(1)) is None
    found = await got(store, batch)
    assert (found.state, found.ended_at) == (BatchState.COMPLETED, later(1))
    (claimed,) = await store.claim_deliveries("summary", 5, now=NOW, lease=lease(2))
    assert claimed.message == made.message
    delivery = claimed.delivery
    assert (delivery.type, delivery.batch_id, delivery.job_id) == (MessageType.BATCH_COMPLETED, batch.id, None)
    (listed,) = await store.list_deliveries(before=None, most=5, job_id=batch.id)
    assert listed.id == owed.id


async def test_the_message_of_a_batch_keeps_its_first_failures(store: Store) -> None:
    batch, drafts = await batch_of(store, 3)
    for job in await claim(store, 3):
        await finish(store, job, fails=job.batch_index != 1)
    (done,) = await store.batches.done()
    failures = await store.batches.list_failures(batch.id, 1)
    assert [(line.index, line.key, line.job_id, line.state, line.reason, line.error) for line in failures] == [
        (0, "file-0", drafts[0].id, JobState.FAILED, JobReason.ERROR, ERROR)
    ]
    message = replace(message_of(done), failures=tuple(failures))
    owed = Ending(message=message, deliveries=(delivery_draft(destination="summary"),), leases=(None,))
    await store.batches.end(done, BatchState.COMPLETED_WITH_FAILURES, owed, now=NOW)
    (claimed,) = await store.claim_deliveries("summary", 5, now=NOW, lease=lease(2))
    assert claimed.message == message


# Cancelling and retrying


async def test_cancelling_takes_what_waits_tells_what_runs_and_refuses_what_comes(store: Store) -> None:
    batch, drafts = await batch_of(store, 10, is_closed=False)
    (job,) = await claim(store, 1)
    assert await store.batches.ask_to_cancel(batch.id)
    assert await store.batches.add_items(batch.id, items(batch, 0, 10), now=NOW) == [Added.SAME, Added.CLOSED]
    cancelled, running = await store.batches.cancel_jobs(batch.id, 6, now=NOW)
    assert (len(cancelled), running) == (6, [job.id])
    cancelled, _ = await store.batches.cancel_jobs(batch.id, 6, now=NOW)
    assert len(cancelled) == 3
    found = await got(store, batch)
    assert (found.state, found.is_cancelled, found.cancelled) == (BatchState.RUNNING, True, 9)
    await finish(store, job)
    (done,) = await store.batches.done()
    await store.batches.end(done, BatchState.CANCELLED, None, now=NOW)
    assert not await store.batches.ask_to_cancel(batch.id)
    assert {(await stored(store, each.id)).state for each in drafts[1:]} == {JobState.CANCELLED}


async def test_what_failed_runs_again_and_the_batch_with_it(store: Store) -> None:
    batch, _ = await batch_of(store, 5)
    for job in await claim(store, 5):
        await finish(store, job, fails=job.batch_index != 2)
    (done,) = await store.batches.done()
    await store.batches.end(done, BatchState.COMPLETED_WITH_FAILURES, None, now=NOW)
    assert await store.batches.reopen_failed(batch.id, -1, 3, 5, now=later(1)) == (3, 3)
    assert await store.batches.reopen_failed(batch.id, 3, 3, 5, now=later(1)) == (None, 1)
    found = await got(store, batch)
    assert (found.state, found.round, found.failed, found.succeeded, found.ended_at) == (
        BatchState.RUNNING, 2, 0, 1, None
    )  # fmt: skip
    for job in await claim(store, 5):
        assert (job.round, job.max_attempts) == (2, 5)
        await finish(store, job)
    (again,) = await store.batches.done()
    assert again.succeeded == 5
    assert await store.batches.end(replace(again, round=1), BatchState.COMPLETED, None, now=NOW) is None
    assert await store.batches.end(again, BatchState.COMPLETED, None, now=NOW) == []


async def test_one_job_of_an_ended_batch_that_is_tried_again_opens_the_batch(store: Store) -> None:
    batch, drafts = await batch_of(store, 1)
    for job in await claim(store, 1):
        await finish(store, job, fails=True)
    (done,) = await store.batches.done()
    await store.batches.end(done, BatchState.COMPLETED_WITH_FAILURES, None, now=NOW)
    assert await store.reopen_job(drafts[0].id, 3, now=NOW)
    found = await got(store, batch)
    assert (found.state, found.round, found.failed) == (BatchState.RUNNING, 2, 0)


# Reading and retention


async def test_lines_come_by_index_with_results_and_errors(store: Store) -> None:
    batch, drafts = await batch_of(store, 4)
    jobs = {job.batch_index: job for job in await claim(store, 3)}
    await finish(store, jobs[0])
    await finish(store, jobs[1], fails=True)
    lines = await store.batches.list_lines(batch.id, after=-1, most=10)
    assert [(line.index, line.key, line.job_id, line.state) for line in lines] == [
        (0, "file-0", drafts[0].id, JobState.SUCCEEDED),
        (1, "file-1", drafts[1].id, JobState.FAILED),
        (2, "file-2", drafts[2].id, JobState.RUNNING),
        (3, "file-3", drafts[3].id, JobState.QUEUED),
    ]
    assert [(line.result, line.error) for line in lines] == [(RESULT, None), (None, ERROR), (None, None), (None, None)]
    assert [line.index for line in await store.batches.list_lines(batch.id, after=1, most=1)] == [2]


async def test_batches_are_listed_newest_first(store: Store) -> None:
    first, _ = await batch_of(store, 1)
    second, _ = await batch_of(store, 1, is_closed=False)
    listed = [batch.id for batch, _ in await store.batches.list_all(before=None, most=10)]
    assert listed == [second.id, first.id]
    assert [batch.id for batch, _ in await store.batches.list_all(before=second.id, most=10)] == [first.id]
    found = await store.batches.list_all(before=None, most=10, function=FUNCTION, state=BatchState.RECEIVING)
    assert [batch.id for batch, _ in found] == [second.id]
    assert await store.batches.list_all(before=None, most=10, function="other") == []


async def test_a_batch_goes_after_its_jobs_and_not_while_it_owes_anything(store: Store, rig: Rig) -> None:
    batch, drafts = await batch_of(store, 1)
    for job in await claim(store, 1):
        await finish(store, job)
    (done,) = await store.batches.done()
    owed = Ending(message=message_of(done), deliveries=(delivery_draft(destination="s"),), leases=(None,))
    await store.batches.end(done, BatchState.COMPLETED, owed, now=NOW)
    newest = first_id_at(NOW + timedelta(days=400))

    async def prune() -> int:
        return await store.batches.prune(newest, 10, ended_before=later(1))

    assert await prune() == 0
    await store.delete_job(drafts[0].id)
    assert await prune() == 0
    (claimed,) = await store.claim_deliveries("s", 5, now=NOW, lease=lease(2))
    step = samples.delivery_step(samples.DeliveryState.DELIVERED)
    await store.record_attempt(claimed.delivery, 2, step, samples.attempt(), now=NOW)
    assert await store.batches.prune(newest, 10, ended_before=NOW) == 0
    assert await prune() == 1
    assert rig.rows() == {"usage": 1}
    assert await store.batches.get(batch.id) is None
