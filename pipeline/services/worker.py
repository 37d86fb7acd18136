"""The worker: claims queued jobs for free slots, has the pool run them, and writes what became of each run.

The store is authoritative for every job; what stands here is only which runs this service has in hand, each under its
lease.
"""

import asyncio
from collections.abc import Mapping
from functools import partial

from pipeline.clock import Clock
from pipeline.config.settings import FunctionsSettings
from pipeline.errors import StoreError
from pipeline.functions.catalog import Catalog
from pipeline.functions.pool import Pool
from pipeline.lifecycle import after_run
from pipeline.model import Call, ClaimedJob, Job, JobDraft, JobState, RunOutcome, RunState
from pipeline.retry import Policy, policy
from pipeline.services.changes import Changes
from pipeline.services.deliverer import Deliverer
from pipeline.services.fanout import FanOut
from pipeline.services.lane import Lane
from pipeline.services.leases import Leases
from pipeline.services.patience import when_there_is_room
from pipeline.services.progress import ProgressNotes
from pipeline.services.promoter import Promoter
from pipeline.store import Store
from pipeline.telemetry import Telemetry


class Worker:
    """Runs the jobs of all background functions."""

    def __init__(
        self,
        *,
        leases: Leases,
        store: Store,
        pool: Pool,
        catalog: Catalog,
        functions: FunctionsSettings,
        fan_out: FanOut,
        deliverer: Deliverer,
        promoter: Promoter,
        changes: Changes,
        progress: ProgressNotes,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._leases = leases
        self._store = store
        self._pool = pool
        self._catalog = catalog
        self._functions = functions
        self._fan_out = fan_out
        self._deliverer = deliverer
        self._promoter = promoter
        self._changes = changes
        self._progress = progress
        self._clock = clock
        self._telemetry = telemetry
        self._policies: dict[str, Policy] = {}
        self._running: dict[tuple[str, int], tuple[asyncio.Task[None], Job]] = {}
        self._writing: set[tuple[str, int]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self.lanes: Mapping[str, Lane[ClaimedJob]] = {
            function.name: Lane(
                function.name,
                pool.size(function.name),
                claim=partial(self._claim, function.name),
                start=self.start,
                clock=clock,
            )
            for function in catalog
        }

    # Claims

    async def _claim(self, function: str, most: int) -> list[ClaimedJob]:
        return await when_there_is_room(
            lambda: self._store.claim_jobs(function, most, now=self._clock.now(), lease=self._leases.new()), self._clock
        )

    def add(self, functions: Mapping[str, int]) -> None:
        """Note that so many jobs more wait for these functions."""
        for name, count in functions.items():
            if (lane := self.lanes.get(name)) is not None:
                lane.add(count)

    def start(self, claimed: ClaimedJob) -> None:
        """Begin a run; the slot in its lane is taken already, and given back when the run has ended."""
        task = asyncio.create_task(self._run(claimed))
        self._running[claimed.job.id, claimed.token] = task, claimed.job
        self._ending.add(task)
        task.add_done_callback(self._ended)
        self._changes.notify(claimed.job.id)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, StoreError):  # of that the store tells by itself, once
            self._telemetry.failed("task.failed", error)

    def held(self) -> frozenset[tuple[str, int]]:
        """Return (job id, token) of every run in hand, and of those whose end is being written."""
        return frozenset(self._running) | self._writing

    def drop(self, gone: frozenset[tuple[str, int]]) -> None:
        """Kill runs whose lease is gone; their results are not written."""
        for key in gone:
            if (found := self._running.get(key)) is not None:
                task, job = found
                self._telemetry.emit("run.dropped", job_id=job.id, run=job.run, function=job.function)
                task.cancel()

    # One run

    async def _run(self, claimed: ClaimedJob) -> None:
        job, lane = claimed.job, self.lanes[claimed.job.function]
        key = (job.id, claimed.token)
        try:
            on_progress = partial(self._progress.note, job.id, claimed.token)
            outcome = await self._pool.run(self._call(claimed), on_progress=on_progress)
        except Exception as error:  # no worker can be had, or a bug: left alone the row would be renewed for ever
            self._telemetry.failed("task.failed", error, job_id=job.id, run=job.run)
            outcome = RunOutcome(state=RunState.LOST)
        finally:
            self._running.pop(key, None)
            lane.release()
            said = self._progress.end(job.id)
        if outcome.started_at is not None and outcome.ended_at is not None:
            lane.measure((outcome.ended_at - outcome.started_at).total_seconds())
        self._writing.add(key)
        try:
            await self._progress.write(said)
            await self.finish(job, claimed.token, outcome)
        finally:
            self._writing.discard(key)

    def _call(self, claimed: ClaimedJob) -> Call:
        job = claimed.job
        return Call(
            id=job.id,
            run=job.run,
            function=job.function,
            event=claimed.event,
            timeout_s=job.timeout_s,
            is_background=True,
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            batch_id=job.batch_id,
            parent_id=job.parent_id,
        )

    async def finish(self, job: Job, token: int, outcome: RunOutcome) -> None:
        """Write the end of a run, and begin the deliveries that it owes."""
        now = self._clock.now()
        step = after_run(job, outcome, self.policy(job.function), now)
        ending = self._fan_out.ending(job, step, outcome, now, self._deliverer.offer)
        try:
            verb = partial(self._store.finish_run, job, token, step, outcome, now=now, ending=ending)
            claimed = await when_there_is_room(verb, self._clock)
        except BaseException:
            self._deliverer.withdraw(ending)
            raise
        if claimed is None:
            self._deliverer.withdraw(ending)
            self._telemetry.emit("run.stale", job_id=job.id, run=job.run, function=job.function)
            return
        self._telemetry.emit(
            f"run.{step.run_state}",
            job_id=job.id,
            run=job.run,
            function=job.function,
            reason=outcome.reason,
            next=step.state,
        )
        if ending is not None:
            self._deliverer.begin(ending, claimed, now)
        self._after(job, step.state)
        if step.state is JobState.RETRYING:
            self._promoter.expect(step.due_at)

    def _after(self, job: Job, state: JobState) -> None:
        if state is JobState.QUEUED:
            self.add({job.function: 1})
        self._changes.notify(job.id)

    def policy(self, function: str) -> Policy:
        """Return the retry policy of a function."""
        if (rule := self._policies.get(function)) is None:
            rule = self._policies[function] = policy(self._functions.of(function).retry)
        return rule

    # New jobs

    def draft(
        self, job_id: str, function: str, event: bytes, *, parent_id: str | None = None, depth: int = 0
    ) -> JobDraft:
        """Return a job of `function` as its settings want it, not stored yet."""
        settings = self._functions.of(function)
        return JobDraft(
            id=job_id,
            function=function,
            event=event,
            max_attempts=self.policy(function).max_attempts,
            timeout_s=settings.limit_s(is_background=self._catalog.get(function).is_background),
            max_age_s=settings.max_age,
            parent_id=parent_id,
            depth=depth,
        )

    def backlog(self, function: str) -> int:
        """Return how many jobs wait for a function."""
        return self.lanes[function].backlog

    # The service's life

    async def serve(self) -> None:
        """Feed all lanes until cancelled."""
        async with asyncio.TaskGroup() as group:
            for lane in self.lanes.values():
                group.create_task(lane.feed())

    def stop(self) -> None:
        """Claim nothing any more."""
        for lane in self.lanes.values():
            lane.close()

    async def drained(self) -> None:
        """Return when no run is in hand and every end is written."""
        while self._ending:
            await asyncio.wait(self._ending)
