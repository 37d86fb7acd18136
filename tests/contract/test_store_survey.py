"""The contract of the store, the survey: every open row is counted once, with how long it has waited."""

from datetime import timedelta

from pipeline.model import BatchDraft, BatchState, DeliveryState, DestinationNote, JobState
from pipeline.store import Store
from pipeline.store.engine.room import Room
from tests.support import samples
from tests.support.fake_clock import FakeClock
from tests.support.samples import (
    FAILED,
    NOW,
    SUCCEEDED,
    UNAVAILABLE,
    attempt,
    delivery_step,
    failed,
    later,
    lease,
    retrying,
    succeeded,
)
from tests.support.stores import Rig, ended, running, sending


async def test_an_empty_store_has_nothing_open(rig: Rig, store: Store) -> None:
    found = await store.survey()
    assert (found.jobs, found.queued_since, found.batches, found.deliveries, found.owed_since) == ({}, {}, {}, {}, {})
    assert found.last_success_at == {}
    assert found.store_bytes == rig.path.stat().st_size
    assert found.space is None


async def test_open_jobs_are_counted_by_function_and_state_and_ended_ones_are_not(store: Store) -> None:
    for function in ("a", "b"):
        for seconds in (3, 1, 2):
            await store.insert_job(samples.draft(function=function), now=later(seconds), lease=None)
    await store.insert_job(samples.draft(function="a", run_at=later(60)), now=NOW, lease=None)
    await store.insert_job(samples.draft(function="c", run_at=later(60)), now=NOW, lease=None)
    await running(store, token=1, function="d")
    tried = await running(store, token=2, function="e")
    await store.finish_run(tried, 2, retrying(60), failed(), now=NOW)
    for number, (step, outcome) in enumerate(((SUCCEEDED, succeeded()), (FAILED, failed()))):
        job = await running(store, token=3 + number, function="f")
        await store.finish_run(job, 3 + number, step, outcome, now=NOW)
    found = await store.survey()
    assert found.jobs == {
        ("a", JobState.QUEUED): 3,
        ("b", JobState.QUEUED): 3,
        ("a", JobState.SCHEDULED): 1,
        ("c", JobState.SCHEDULED): 1,
        ("d", JobState.RUNNING): 1,
        ("e", JobState.RETRYING): 1,
    }
    assert found.queued_since == {"a": later(1), "b": later(1)}


async def test_a_job_waits_since_it_is_due(store: Store) -> None:
    await store.insert_job(samples.draft(function="a", run_at=later(60)), now=NOW, lease=None)
    await store.promote_due_jobs(9, now=later(61))
    assert (await store.survey()).queued_since == {"a": later(60)}


async def test_open_deliveries_are_counted_by_destination_and_state(store: Store) -> None:
    await sending(store, token=1, destination="sends")
    failing = await sending(store, token=2, destination="retries")
    step = delivery_step(DeliveryState.RETRYING, due_at=later(5))
    await store.record_attempt(failing.delivery, 2, step, attempt(outcome=UNAVAILABLE), now=NOW)
    done = await sending(store, token=3, destination="done")
    step = delivery_step(DeliveryState.DELIVERED, delivered_at=later(7))
    await store.record_attempt(
        done.delivery, 3, step, attempt(), now=later(7), noted=DestinationNote(succeeded_at=later(7))
    )
    await ended(
        store, samples.delivery_draft(destination="waits"), samples.delivery_draft(destination="waits", recipient="a")
    )
    found = await store.survey()
    assert found.deliveries == {
        ("sends", DeliveryState.SENDING): 1,
        ("retries", DeliveryState.RETRYING): 1,
        ("waits", DeliveryState.PENDING): 2,
    }
    assert found.owed_since == dict.fromkeys(("sends", "retries", "waits"), NOW)
    assert found.last_success_at == {"done": later(7)}


async def test_open_batches_are_counted(store: Store) -> None:
    for number, function in enumerate(("a", "a", "b")):
        batch_id = samples.new_id()
        draft = BatchDraft(
            id=batch_id, function=function, owner=None, priority=5, created_at=NOW, closes_at=NOW + timedelta(hours=1)
        )
        await store.batches.insert(draft)
        if number:
            await store.batches.close(batch_id)
    found = await store.survey()
    states = BatchState
    assert found.batches == {("a", states.RECEIVING): 1, ("a", states.RUNNING): 1, ("b", states.RUNNING): 1}


async def test_the_files_and_the_disk_are_looked_at(rig: Rig, store: Store) -> None:
    await store.close()
    rig.store = Store(rig.path, rig.fatal.append, Room(rig.path, 1_000_000, FakeClock()))
    await rig.store.insert_job(samples.draft(), now=NOW, lease=lease(1))
    found = await rig.store.survey()
    assert found.wal_bytes > 0
    assert found.space is not None
    assert found.space.free > found.space.needed > 0


async def test_commits_are_told_with_their_size_and_time(rig: Rig, store: Store) -> None:
    await store.close()
    told: list[tuple[int, float]] = []
    rig.store = Store(rig.path, rig.fatal.append, on_commit=lambda writes, seconds: told.append((writes, seconds)))
    for token in range(3):
        await rig.store.insert_job(samples.draft(), now=NOW, lease=lease(token))
    assert [writes for writes, _ in told] == [1, 1, 1]
    assert all(seconds > 0 for _, seconds in told)
