"""The intake: what a caller's invocation becomes. A background one is a job, stored before it is answered; a
synchronous one is run while its caller waits, and only noted afterwards.
"""

import asyncio
from datetime import datetime, timedelta
from functools import partial

from pipeline.clock import Clock
from pipeline.counts import count
from pipeline.errors import DrainingError, QueueFullError
from pipeline.functions.pool import Pool
from pipeline.model import Call, ClaimedJob, Job, JobDraft, JobState, Lease, RunOutcome
from pipeline.services.jobs.worker import Worker
from pipeline.services.lane import Lane
from pipeline.services.leases import Leases
from pipeline.services.moments import NextMoment
from pipeline.services.promoter import Promoter
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.store.engine.room import Room
from pipeline.store.transactions.idempotency import Earlier, IdempotencyKey
from pipeline.store.transactions.invocations import Invocation
from pipeline.store.transactions.usage import spent
from pipeline.telemetry import Telemetry

_OUTPUT_KEPT = 4096


class Intake:
    """Takes invocations in, for as long as the service does not drain."""

    def __init__(
        self,
        *,
        store: Store,
        room: Room,
        pool: Pool,
        worker: Worker,
        leases: Leases,
        promoter: Promoter,
        next_expiry: NextMoment,
        clock: Clock,
        current: Current,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._room = room
        self._pool = pool
        self._worker = worker
        self._leases = leases
        self._promoter = promoter
        self._next_expiry = next_expiry
        self._clock = clock
        self._current = current
        self._telemetry = telemetry
        self._notes: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Future[RunOutcome]] = set()
        self.is_draining = False

    async def accept(self, draft: JobDraft) -> datetime:
        """Store a job; when this returns it is durable. Returns the moment of its creation.

        Raises DrainingError, QueueFullError, StoreFullError: then nothing is stored.
        """
        lane, now = self.admit(draft.function), self._clock.now()
        lease = self._leases.for_new_row() if draft.run_at is None and lane.offer() else None
        stored = self._store.insert_job(draft, now=now, lease=lease)
        # Not after the wait: a caller that goes away must not leave behind a claimed row that nobody runs.
        stored.add_done_callback(partial(self._inserted, draft, lane, lease, now))
        await asyncio.shield(stored)
        return now

    async def accept_once(self, draft: JobDraft, key: IdempotencyKey) -> tuple[datetime, Earlier | None]:
        """Store a job as `accept` does, unless its key has made one already: then say which, and store nothing."""
        lane = self.admit(draft.function)
        return await asyncio.shield(self._insert_once(draft, key, lane))

    def admit(self, function: str) -> Lane[ClaimedJob]:
        """Return the lane of a function that takes another job; DrainingError, QueueFullError, StoreFullError else."""
        if self.is_draining:
            raise DrainingError("the service is shutting down")
        lane = self._worker.lanes[function]
        if lane.backlog >= self._current.setup.config.service.queue_limit:
            raise QueueFullError(f"the queue of {function} holds {count(lane.backlog, 'job')}, as many as it may")
        self._room.check()
        return lane

    async def _insert_once(
        self, draft: JobDraft, key: IdempotencyKey, lane: Lane[ClaimedJob]
    ) -> tuple[datetime, Earlier | None]:
        now = self._clock.now()
        earlier = await self._store.insert_job_once(draft, key, now=now)
        if earlier is None:
            self._accepted(draft)
            self._note_waiting(draft, lane, now)
        return now, earlier

    def _inserted(
        self, draft: JobDraft, lane: Lane[ClaimedJob], lease: Lease | None, now: datetime, stored: asyncio.Future[bool]
    ) -> None:
        is_stored = stored.exception() is None
        if is_stored:
            self._accepted(draft)
            if lease is not None and stored.result():
                self._worker.start(_claimed(draft, lease, now))
                return
        if lease is not None:
            lane.release()
        if is_stored:
            self._note_waiting(draft, lane, now)

    def _accepted(self, draft: JobDraft) -> None:
        self._telemetry.emit("job.accepted", job_id=draft.id, function=draft.function, jobs=1)

    def _note_waiting(self, draft: JobDraft, lane: Lane[ClaimedJob], now: datetime) -> None:
        due_at = max(draft.run_at or now, now)
        if due_at > now:
            self._promoter.expect(due_at)
        else:
            lane.add()
        if draft.max_age_s is not None:
            self._next_expiry.expect(due_at + timedelta(seconds=draft.max_age_s))

    async def call(self, call: Call) -> RunOutcome:
        """Run a synchronous function and return what it came to; DrainingError or BusyError where it cannot be run."""
        if self.is_draining:
            raise DrainingError("the service is shutting down")
        memory_mb = self._current.setup.memory_mb(call.function)
        at, began = self._clock.now(), self._clock.monotonic()
        running = asyncio.ensure_future(self._pool.run(call, slot_wait_s=call.timeout_s))
        self._calls.add(running)
        running.add_done_callback(self._calls.discard)
        outcome = await running
        duration_s = self._clock.monotonic() - began
        self._telemetry.emit(
            "call.ended",
            id=call.id,
            function=call.function,
            state=outcome.state,
            reason=outcome.reason,
            duration_s=duration_s,
        )
        note = Invocation(
            id=call.id,
            function=call.function,
            state=outcome.state,
            reason=outcome.reason,
            at=at,
            duration_s=duration_s,
            output="\n".join(text for _, _, _, text in outcome.output.lines)[-_OUTPUT_KEPT:],
            spent=spent(outcome, call.function, memory_mb, self._clock.now(), is_call=True),
        )
        task = asyncio.ensure_future(self._store.insert_invocation(note))
        self._notes.add(task)
        task.add_done_callback(self._noted)
        return outcome

    def _noted(self, task: asyncio.Task[None]) -> None:
        # A note may be lost: the caller has the answer already. Its error is taken so that nobody hears of it.
        self._notes.discard(task)
        if not task.cancelled():
            task.exception()

    async def drained(self) -> None:
        """Return when no synchronous call is under way."""
        while self._calls:
            await asyncio.wait(self._calls)

    async def close(self) -> None:
        """Return when every note is written."""
        if self._notes:
            await asyncio.wait(self._notes)


def _claimed(draft: JobDraft, lease: Lease, now: datetime) -> ClaimedJob:
    """Return the job as the store holds it where it was claimed as it was inserted."""
    job = Job(
        id=draft.id,
        function=draft.function,
        state=JobState.RUNNING,
        reason=None,
        priority=draft.priority,
        attempt=1,
        max_attempts=draft.max_attempts,
        run=1,
        lost=0,
        round=1,
        created_at=now,
        due_at=now,
        started_at=now,
        ended_at=None,
        timeout_s=draft.timeout_s,
        tags=draft.tags,
        batch_id=draft.batch_id,
        batch_index=draft.batch_index,
        parent_id=draft.parent_id,
        depth=draft.depth,
        error=None,
        origin=draft.origin,
    )
    return ClaimedJob(job=job, token=lease.token, event=draft.event)
