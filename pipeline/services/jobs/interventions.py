"""Interventions: what callers and operators ask of jobs that are there: cancel, try again, replay, delete."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pipeline.clock import Clock
from pipeline.ids import IdSource
from pipeline.model import Job, JobDraft, JobState, Origin
from pipeline.services.changes import Changes
from pipeline.services.jobs.intake import Intake
from pipeline.services.jobs.worker import Worker
from pipeline.services.patience import when_there_is_room
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.store.transactions.interventions import Deletion
from pipeline.telemetry import Telemetry

_LOOKS = 3


class Interventions:
    """Does what is asked of jobs."""

    def __init__(
        self,
        *,
        store: Store,
        worker: Worker,
        intake: Intake,
        changes: Changes,
        batch_ended: Callable[[str], None],
        current: Current,
        ids: IdSource,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._worker = worker
        self._intake = intake
        self._changes = changes
        self._batch_ended = batch_ended
        self._current = current
        self._ids = ids
        self._clock = clock
        self._telemetry = telemetry

    async def cancel(self, job: Job) -> bool:
        """Cancel a job: at once where it waits; where it runs, its run is ended as at its time limit.

        False where it has ended, or its result has come first.
        """
        return await asyncio.shield(self._cancel(job))

    async def _cancel(self, job: Job) -> bool:
        for _ in range(_LOOKS):
            verb = partial(self._store.cancel_job, job.id, now=self._clock.now())
            state, is_cancelled = await when_there_is_room(verb, self._clock)
            if is_cancelled:
                self._telemetry.emit("job.cancelled", job_id=job.id, function=job.function, jobs=1)
                self._changes.notify(job.id)
                if job.batch_id is not None:
                    self._batch_ended(job.batch_id)
                return True
            if state is not JobState.RUNNING:
                return False
            if self._worker.cancel(job.id):
                return True
            await self._clock.sleep(0.0)  # claimed, and about to begin; or its end is being written
        return False

    async def retry(self, job: Job) -> bool:
        """Open a job again that failed, was cancelled or expired; False for any other.

        Raises UnknownFunctionError where its function has gone, and what `Intake.admit` raises.
        """
        setup = self._current.setup
        setup.catalog.get(job.function)
        lane = self._intake.admit(job.function)
        verb = partial(self._store.reopen_job, job.id, setup.policy(job.function).max_attempts)
        if not await asyncio.shield(verb(now=self._clock.now())):
            return False
        lane.add()
        self._changes.notify(job.id)
        if job.batch_id is not None:
            self._changes.notify(job.batch_id)
        return True

    async def replay(self, job: Job, owner: str | None) -> JobDraft:
        """Store a new job with the event of this one; raises as `retry` does. Returns what was stored."""
        event = await self._store.get_event(job.id)
        draft = self._worker.draft(self._ids.new(), job.function, event or b"null")
        was = job.origin
        origin = Origin(
            owner=owner,
            replay_of=job.id,
            traceparent=was.traceparent,
            callback=was.callback,
            callback_to=was.callback_to,
        )
        draft = replace(draft, tags=job.tags, priority=job.priority, origin=origin)
        await self._intake.accept(draft)
        return draft

    async def delete(self, job_id: str) -> Deletion:
        """Delete an ended job with all that belongs to it, unless it still owes a delivery."""
        done = await asyncio.shield(self._store.delete_job(job_id))
        self._changes.notify(job_id)
        return done
