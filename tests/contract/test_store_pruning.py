"""The contract of the store, retention: what stays, what goes, and that nothing of what goes is left."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from pipeline.lifecycle import DeliveryStep
from pipeline.model import Delivery, DeliveryReason, DeliveryState, JobReason, JobState, RunState
from pipeline.store import Store
from pipeline.store.transactions.invocations import Invocation
from pipeline.store.transactions.pruning import Cutoffs
from tests.support import samples
from tests.support.samples import (
    NOW,
    RESULT,
    SUCCEEDED,
    UNAVAILABLE,
    attempt,
    delivery_draft,
    delivery_step,
    ending,
    failed,
    job_step,
    later,
    lease,
    output,
    retrying,
    succeeded,
)
from tests.support.stores import Rig, ended, running, stored

DAY = timedelta(days=1)
KEEP = {"succeeded": 7 * DAY, "failed": 30 * DAY, "dead": 90 * DAY}


def after(days: float) -> Cutoffs:
    """Return what may go `days` after everything ended."""
    now = NOW + days * DAY
    return Cutoffs(**{state: now - kept for state, kept in KEEP.items()})


async def swept(store: Store, days: float) -> int:
    """Prune everything that may go after so many days; return how many jobs went."""
    return (await store.prune("", 500, after(days)))[1]


async def sent(store: Store, *states: DeliveryState, **changes: object) -> None:
    """Store a succeeded job with a delivery in each of these states."""
    drafts = [delivery_draft(destination=f"{state}-{number}") for number, state in enumerate(states)]
    await ended(store, *drafts, **changes)
    for draft, state in zip(drafts, states, strict=True):
        if state is not DeliveryState.PENDING:
            (claimed,) = await store.claim_deliveries(draft.destination, 1, now=NOW, lease=lease(1))
            if state is not DeliveryState.SENDING:
                await _record(store, claimed.delivery, delivery_step(state, reason=DeliveryReason.HTTP_ERROR))


async def _record(store: Store, delivery: Delivery, step: DeliveryStep) -> None:
    assert await store.record_attempt(delivery, 1, step, attempt(outcome=UNAVAILABLE), now=NOW)


@pytest.mark.parametrize("days", [6.99, 7.01])
async def test_a_succeeded_job_goes_after_seven_days_with_all_that_is_its(rig: Rig, store: Store, days: float) -> None:
    job = await running(store, token=1)
    await store.finish_run(job, 1, retrying(1), failed(output=output("tried")), now=NOW)
    await store.promote_due_jobs(1, now=later(1))
    (claimed,) = await store.claim_jobs(job.function, 1, now=NOW, lease=lease(2))
    owed = ending(job, delivery_draft(), leases=(lease(1),))
    await store.finish_run(claimed.job, 2, SUCCEEDED, succeeded(RESULT, "done"), now=NOW, ending=owed)
    ((delivery, _),) = await store.leased_deliveries(samples.OWNER)
    await _record(store, delivery, delivery_step(DeliveryState.DELIVERED, delivered_at=NOW))
    full = rig.rows()
    theirs = {"attempt": 1, "delivery": 1, "job": 1, "log": 2, "message": 1, "payload": 2, "run": 2}
    assert full == theirs | {"usage": 1}
    assert await swept(store, days) == (days > 7)
    assert rig.rows() == ({"usage": 1} if days > 7 else full)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED])
async def test_other_ends_stay_thirty_days(store: Store, state: JobState) -> None:
    job = await running(store)
    reason = JobReason.ERROR if state is JobState.FAILED else None
    await store.finish_run(job, 1, job_step(state, RunState.FAILED, reason=reason), failed(), now=NOW)
    assert await swept(store, 29.99) == 0
    assert await swept(store, 30.01) == 1
    assert await store.get_job(job.id) is None


@pytest.mark.parametrize("state", [DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING])
async def test_a_job_stays_while_a_delivery_is_open(rig: Rig, store: Store, state: DeliveryState) -> None:
    await sent(store, DeliveryState.DELIVERED, state)
    before = rig.dump()
    assert await swept(store, 10_000) == 0
    assert rig.dump() == before


async def test_a_job_with_a_dead_delivery_stays_ninety_days(rig: Rig, store: Store) -> None:
    await sent(store, DeliveryState.DELIVERED, DeliveryState.DEAD)
    assert await swept(store, 89.99) == 0
    assert await swept(store, 90.01) == 1
    assert rig.rows() == {"usage": 1}


@pytest.mark.parametrize("state", ["queued", "running", "retrying"])
async def test_a_job_that_has_not_ended_stays(rig: Rig, store: Store, state: str) -> None:
    job = await running(store)
    if state == "retrying":
        await store.finish_run(job, 1, retrying(60), failed(), now=NOW)
    elif state == "queued":
        await store.finish_run(job, 1, samples.RETURNED, failed(), now=NOW)
    assert (await stored(store, job.id)).state == state
    assert await swept(store, 10_000) == 0


async def test_a_sweep_goes_on_batch_by_batch_past_what_stays(store: Store) -> None:
    kept = [await ended(store, delivery_draft(destination=f"d{number}")) for number in range(2)]
    for _ in range(3):
        await ended(store)
    kept.append(await ended(store, delivery_draft(destination="d9")))
    assert list(await _batches(store)) == [0, 2, 1]
    assert [view.job.id for view in await store.list_jobs(before=None, most=9)] == [job.id for job in reversed(kept)]


async def _batches(store: Store) -> Iterator[int]:
    counts = []
    position: str | None = ""
    while position is not None:
        position, count = await store.prune(position, 2, after(8))
        counts.append(count)
        assert len(counts) < 9
    return iter(counts[: 3 if counts[3:] == [0] else None])


async def test_other_jobs_keep_what_is_theirs(rig: Rig, store: Store) -> None:
    kept = await ended(store, delivery_draft(), outcome=succeeded(RESULT, "stays"))
    before = rig.dump()
    await ended(store, outcome=succeeded(RESULT, "goes"))
    assert await swept(store, 8) == 1
    left = rig.dump()
    assert left.pop("usage") != before.pop("usage")  # what a job used stays counted
    assert left == before
    assert await store.get_result(kept.id) == RESULT


async def test_notes_of_synchronous_calls_go_by_age_in_batches(rig: Rig, store: Store) -> None:
    notes = [
        Invocation(
            id=samples.new_id(), function="f", state=RunState.SUCCEEDED, reason=None, at=NOW, duration_s=0.1, output=""
        )
        for _ in range(5)
    ]
    for note in notes:
        await store.insert_invocation(note)
    await store.insert_invocation(notes[0])  # noted once
    assert rig.rows() == {"invocation": 5}
    before = notes[3].id
    assert [await store.prune_invocations(before, 2) for _ in range(3)] == [2, 1, 0]
    assert rig.rows() == {"invocation": 2}
