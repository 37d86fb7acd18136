"""Progress: what running jobs last said of how far they are. In memory at once, in the store once a second at most.

The store is authoritative for a job whose run has ended; until then what stands here is newer.
"""

import asyncio
from dataclasses import replace
from functools import partial

from pipeline.clock import Clock
from pipeline.model import Job, Progress
from pipeline.services.changes import Changes
from pipeline.services.patience import when_there_is_room
from pipeline.store import Store
from pipeline.store.reading.jobs import JobView

PAUSE_S = 1.0

Said = tuple[str, int, Progress]
"""Job id, token, and what its run said."""


class ProgressNotes:
    """The newest word of every running job that said any."""

    def __init__(self, store: Store, changes: Changes, clock: Clock) -> None:
        self._store = store
        self._changes = changes
        self._clock = clock
        self._newest: dict[str, Progress] = {}
        self._unwritten: dict[str, tuple[int, Progress]] = {}
        self._noted = asyncio.Event()

    def note(self, job_id: str, token: int, progress: Progress) -> None:
        """Keep what a run said; `token` is that of its lease."""
        self._newest[job_id] = progress
        self._unwritten[job_id] = (token, progress)
        self._noted.set()
        self._changes.notify(job_id)

    def on(self, job: Job) -> Job:
        """Return the job with what its run last said."""
        newest = self._newest.get(job.id)
        return job if newest is None else replace(job, progress=newest)

    def shown(self, view: JobView) -> JobView:
        """Return a job as it was read with what its run last said."""
        return replace(view, job=self.on(view.job)) if view.job.id in self._newest else view

    def end(self, job_id: str) -> list[Said]:
        """Forget what the job's run said, which has ended; return what of it is still to be written."""
        if self._newest.pop(job_id, None) is None:  # as of most jobs
            return []
        return self._take([job_id])

    async def serve(self) -> None:
        """Write what is new, once a second at most, until cancelled."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            await self.write(self._take(list(self._unwritten)))
            await self._clock.sleep(PAUSE_S)

    async def write(self, said: list[Said]) -> None:
        """Store what runs said, where their leases are still held."""
        if said:
            await when_there_is_room(partial(self._store.note_progress, said), self._clock)

    def _take(self, job_ids: list[str]) -> list[Said]:
        return [(job_id, *self._unwritten.pop(job_id)) for job_id in job_ids if job_id in self._unwritten]
