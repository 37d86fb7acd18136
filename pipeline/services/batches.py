"""Batches: taking their items in, and ending them once their last job has ended.

The store counts a batch's ended jobs; what stands here only says when to look.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from pipeline.clock import Clock
from pipeline.errors import QueueFullError
from pipeline.lifecycle import end_of_batch
from pipeline.model import Batch, BatchDraft, BatchState, JobDraft, Reject
from pipeline.services.changes import Changes
from pipeline.services.deliveries.deliverer import Deliverer
from pipeline.services.fanout import FanOut
from pipeline.services.jobs.intake import Intake
from pipeline.services.jobs.worker import Worker
from pipeline.services.moments import NextMoment
from pipeline.services.patience import when_there_is_room
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.store.transactions.batches import Added
from pipeline.store.transactions.idempotency import Earlier, IdempotencyKey
from pipeline.telemetry import Telemetry

RECEIVING_S = 3600.0
"""An upload that was cut off is closed after so long, with what has come."""
FAILURES = 100
"""So many of its failures stand in the message of a batch."""
_CHUNK = 500


class Doorbell:
    """Rung when a job of a batch has ended; says when it is time to look whether that was the last one.

    Of ten thousand ends not every one is looked at: a batch that had n open jobs cannot be done before n more have
    ended. Rings that come too often only have somebody look too early.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._missing: dict[str, int] = {}
        self._due: set[str] = set()
        self._rung = asyncio.Event()

    def ring(self, batch_id: str) -> None:
        """Say that a job of this batch has ended."""
        missing = self._missing[batch_id] = self._missing.get(batch_id, 0) - 1
        if missing <= 0:
            self.call(batch_id)
        self._changes.notify(batch_id)

    def call(self, batch_id: str) -> None:
        """Have somebody look at this batch."""
        self._due.add(batch_id)
        self._rung.set()

    async def due(self) -> set[str]:
        """Return the batches that are to be looked at, once there are any."""
        await self._rung.wait()
        self._rung.clear()
        due, self._due = self._due, set()
        for batch_id in due:
            self._missing[batch_id] = 0  # what ends from here on counts, whether the look sees it or not
        return due

    def expect(self, batch: Batch) -> None:
        """Note what a look saw: nobody need look again before all its open jobs have ended."""
        if batch.state.is_final:
            self._missing.pop(batch.id, None)
        else:
            self._missing[batch.id] = self._missing.get(batch.id, 0) + max(1, batch.total - batch.ended)


class Batches:
    """Takes batches in and ends them."""

    def __init__(
        self,
        *,
        doorbell: Doorbell,
        store: Store,
        intake: Intake,
        worker: Worker,
        fan_out: FanOut,
        deliverer: Deliverer,
        next_expiry: NextMoment,
        changes: Changes,
        current: Current,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._doorbell = doorbell
        self._store = store
        self._intake = intake
        self._worker = worker
        self._fan_out = fan_out
        self._deliverer = deliverer
        self._next_expiry = next_expiry
        self._next_cut_off = NextMoment(clock)
        self._changes = changes
        self._current = current
        self._clock = clock
        self._telemetry = telemetry

    # Taking in

    async def begin(
        self,
        batch_id: str,
        function: str,
        *,
        owner: str | None,
        priority: int,
        key: IdempotencyKey | None,
        traceparent: str | None = None,
        callback: str | None = None,
        callback_to: str | None = None,
    ) -> Earlier | None:
        """Store a batch that has no items yet; with a key that has made one already, return which.

        Raises what `Intake.admit` raises.
        """
        self._intake.admit(function)
        now = self._clock.now()
        closes_at = now + timedelta(seconds=RECEIVING_S)
        draft = BatchDraft(
            id=batch_id,
            function=function,
            owner=owner,
            priority=priority,
            created_at=now,
            closes_at=closes_at,
            traceparent=traceparent,
            callback=callback,
            callback_to=callback_to,
        )
        earlier = await asyncio.shield(self._store.batches.insert(draft, key=key))
        if earlier is None:
            self._next_cut_off.expect(closes_at)
        return earlier

    async def add(self, batch_id: str, drafts: Sequence[JobDraft]) -> list[Added] | None:
        """Store items in their function's queue; say what became of each, or None where the queue is full."""
        try:
            lane = self._intake.admit(drafts[0].function)
        except QueueFullError:
            return None
        now = self._clock.now()
        added = await asyncio.shield(self._store.batches.add_items(batch_id, drafts, now=now))
        if new := added.count(Added.NEW):
            self._telemetry.emit("job.accepted", batch_id=batch_id, function=lane.name, jobs=new)
            lane.add(new)
            self._changes.notify(batch_id)
            if (age_s := drafts[0].max_age_s) is not None:
                self._next_expiry.expect(now + timedelta(seconds=age_s))
        return added

    async def close(self, batch_id: str, rejected: Sequence[Reject]) -> None:
        """Note that all of a batch has come, and what of it was rejected."""
        await asyncio.shield(self._store.batches.close(batch_id, rejected))
        self._doorbell.call(batch_id)

    async def cut_off(self, batch_id: str, rejected: Sequence[Reject]) -> None:
        """Note what was rejected of an upload that broke off: no answer tells of it. The batch stays open."""
        await asyncio.shield(self._store.batches.note_rejected(batch_id, rejected))

    # What is asked of one that is there

    async def cancel(self, batch: Batch) -> bool:
        """Cancel what waits and what runs of a batch; False where it has ended."""
        return await asyncio.shield(self._cancel(batch))

    async def _cancel(self, batch: Batch) -> bool:
        if not await self._store.batches.ask_to_cancel(batch.id):
            return False
        while True:
            cancelled, running = await self._store.batches.cancel_jobs(batch.id, _CHUNK, now=self._clock.now())
            if cancelled:
                self._telemetry.emit("job.cancelled", batch_id=batch.id, function=batch.function, jobs=len(cancelled))
            for job_id in (*cancelled, *running):
                self._changes.notify(job_id)
            if len(cancelled) < _CHUNK:
                break
        for job_id in running:
            self._worker.cancel(job_id)
        await self._worker.lanes.recount_those([batch.function], self._store.queued_jobs)
        self._doorbell.call(batch.id)
        return True

    async def retry_failed(self, batch: Batch) -> int:
        """Open the jobs of a batch again that failed or expired; return how many. Raises what `Intake.admit` raises."""
        setup = self._current.setup
        setup.catalog.get(batch.function)
        self._intake.admit(batch.function)
        return await asyncio.shield(self._retry_failed(batch, setup.policy(batch.function).max_attempts))

    async def _retry_failed(self, batch: Batch, max_attempts: int) -> int:
        now, after, total = self._clock.now(), -1, 0
        while True:
            following, count = await self._store.batches.reopen_failed(batch.id, after, _CHUNK, max_attempts, now=now)
            self._worker.lanes.add({batch.function: count})
            total += count
            if following is None:
                break
            after = following
        self._changes.notify(batch.id)
        return total

    # Ending

    async def serve(self) -> None:
        """End batches whose jobs have all ended, and close those that were cut off, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_for_ever())
            group.create_task(self._close_for_ever())

    async def _end_for_ever(self) -> None:
        for batch in await self._store.batches.done():
            await self._end(batch)
        while True:
            for batch_id in await self._doorbell.due():
                if (found := await self._store.batches.get(batch_id)) is not None:
                    await self._end(found[0])

    async def _end(self, batch: Batch) -> None:
        state = end_of_batch(batch)
        if state is None:
            self._doorbell.expect(batch)
            self._changes.notify(batch.id)
            return
        now = self._clock.now()
        failures = await self._store.batches.list_failures(batch.id, FAILURES)
        ended = replace(batch, state=state, ended_at=now)
        setup, offer = self._current.setup, self._deliverer.offer
        ending = self._fan_out.ending_of_batch(setup.goals, ended, failures, offer, callback=setup.callback)
        try:
            verb = partial(self._store.batches.end, batch, state, ending, now=now)
            claimed = await when_there_is_room(verb, self._clock)
        except BaseException:
            self._deliverer.withdraw(ending)
            raise
        if claimed is None:  # a job of it was opened again
            self._deliverer.withdraw(ending)
            self._doorbell.call(batch.id)
            return
        self._doorbell.expect(ended)
        self._report(ended)
        self._deliverer.begin(ending, claimed, now)
        self._changes.notify(batch.id)

    def _report(self, batch: Batch) -> None:
        self._telemetry.emit(
            "batch.ended",
            batch_id=batch.id,
            function=batch.function,
            state=batch.state,
            succeeded=batch.succeeded,
            failed=batch.failed + batch.expired,
            cancelled=batch.cancelled,
        )

    async def _close_for_ever(self) -> None:
        while True:
            self._next_cut_off.forget()
            for batch_id in await self._close_cut_off(self._clock.now()):
                self._doorbell.call(batch_id)
            self._next_cut_off.expect(await self._store.batches.next_cut_off())
            await self._next_cut_off.wait()

    async def _close_cut_off(self, now: datetime) -> list[str]:
        return await when_there_is_room(partial(self._store.batches.close_cut_off, now=now), self._clock)


def progress_of(batch: Batch, running: int, now: datetime) -> tuple[int, float | None]:
    """Return how many jobs of a batch wait, and in how many seconds its last one will have ended at the rate so far."""
    waiting = max(0, batch.total - batch.ended - running)
    if batch.state is not BatchState.RUNNING or not batch.ended:
        return waiting, None
    elapsed_s = (now - batch.created_at).total_seconds()
    return waiting, elapsed_s / batch.ended * (batch.total - batch.ended)
