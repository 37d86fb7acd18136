"""The worker: claims queued jobs for free slots, has the pool run them, and writes what became of each run.

The store is authoritative for every job; what stands here is only which runs this service has in hand, each under its
lease.
"""

from collections.abc import Callable
from functools import partial

from pipeline.clock import Clock
from pipeline.errors import UnknownFunctionError
from pipeline.functions.pool import Pool
from pipeline.lifecycle import after_run
from pipeline.model import Call, ClaimedJob, Job, JobDraft, JobState, Origin, RunOutcome, RunState
from pipeline.services.changes import Changes
from pipeline.services.deliveries.deliverer import Deliverer
from pipeline.services.fanout import FanOut
from pipeline.services.in_hand import Claim, InHand
from pipeline.services.jobs.progress import ProgressNotes
from pipeline.services.lane import Lane, Lanes
from pipeline.services.leases import Leases
from pipeline.services.patience import when_there_is_room
from pipeline.services.promoter import Promoter
from pipeline.services.setup import Current, Setup
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
        current: Current,
        fan_out: FanOut,
        deliverer: Deliverer,
        promoter: Promoter,
        changes: Changes,
        progress: ProgressNotes,
        batch_ended: Callable[[str], None],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._leases = leases
        self._store = store
        self._pool = pool
        self._current = current
        self._fan_out = fan_out
        self._deliverer = deliverer
        self._promoter = promoter
        self._changes = changes
        self._progress = progress
        self._batch_ended = batch_ended
        self._clock = clock
        self._telemetry = telemetry
        self._in_hand: InHand[Job] = InHand(telemetry)
        self.lanes: Lanes[ClaimedJob] = Lanes(self._claim, self.start, clock)
        self.follow()

    def follow(self) -> list[Lane[ClaimedJob]]:
        """Run the functions of the current setup, as the pool does, from now on; return the lanes that are new."""
        sizes = {name: self._pool.size(name) for name in self._current.setup.catalog.functions}
        new = self.lanes.make(sizes)
        self.lanes.follow(sizes)
        return new

    # Claims

    async def _claim(self, function: str, most: int) -> list[ClaimedJob]:
        return await when_there_is_room(
            lambda: self._store.claim_jobs(function, most, now=self._clock.now(), lease=self._leases.new()), self._clock
        )

    def start(self, claimed: ClaimedJob) -> None:
        """Begin a run; the slot in its lane is taken already, and given back when the run has ended."""
        job, lane = claimed.job, self.lanes[claimed.job.function]
        self._in_hand.begin((job.id, claimed.token), job, self._run(claimed), untouched=lane.release)
        self._changes.notify(job.id)

    def held(self) -> frozenset[Claim]:
        """Return (job id, token) of every run in hand, and of those whose end is being written."""
        return self._in_hand.all()

    def drop(self, gone: frozenset[Claim]) -> None:
        """Kill runs whose lease is gone; their results are not written."""
        for job in self._in_hand.break_off(gone):
            self._telemetry.emit("run.dropped", job_id=job.id, run=job.run, function=job.function)

    # One run

    async def _run(self, claimed: ClaimedJob) -> None:
        job, lane = claimed.job, self.lanes[claimed.job.function]
        claim = (job.id, claimed.token)
        setup = self._current.setup
        try:
            on_progress = partial(self._progress.note, job.id, claimed.token)
            outcome = await self._pool.run(self._call(claimed, setup), on_progress=on_progress)
        except UnknownFunctionError:  # it has gone since the claim: the job waits until it returns
            outcome = RunOutcome(state=RunState.RETURNED)
        except Exception as error:  # no worker can be had, or a bug: left alone the row would be renewed for ever
            self._telemetry.failed("task.failed", error, job_id=job.id, run=job.run)
            outcome = RunOutcome(state=RunState.LOST)
        finally:
            self._in_hand.over(claim)
            lane.release()
            said = self._progress.end(job.id)
        if (work_s := outcome.duration_s) is not None:
            lane.measure(work_s)
        with self._in_hand.writing(claim):
            await self._progress.write(said)
            await self.finish(job, claimed.token, outcome, setup)

    def _call(self, claimed: ClaimedJob, setup: Setup) -> Call:
        job = claimed.job
        return Call(
            id=job.id,
            run=job.run,
            function=job.function,
            event=claimed.event,
            timeout_s=job.timeout_s,
            is_background=True,
            attempt=job.attempt,
            max_attempts=setup.policy(job.function).max_attempts,
            batch_id=job.batch_id,
            parent_id=job.parent_id,
        )

    async def finish(self, job: Job, token: int, outcome: RunOutcome, began_under: Setup | None = None) -> None:
        """Write the end of a run, and begin the deliveries that it owes.

        What follows is what the current setup says. Only where it knows nothing of the function any more, it is what
        the setup said that the run `began_under`.
        """
        now, setup = self._clock.now(), self._current.setup
        callback = setup.callback  # of the current setup always: a caller's URL goes where the list of them is now
        memory_mb = (began_under or setup).memory_mb(job.function)
        if began_under is not None and not setup.knows(job.function):
            setup = began_under
        step = after_run(job, outcome, setup.policy(job.function), now)
        offer = self._deliverer.offer
        ending = self._fan_out.ending(setup.goals, job, step, outcome, now, offer, callback=callback)
        try:
            verb = partial(
                self._store.finish_run, job, token, step, outcome, now=now, ending=ending, memory_mb=memory_mb
            )
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
            reason=outcome.reason or (step.reason if step.state.is_final else None),
            next=step.state,
            duration_s=outcome.duration_s,
            waited_s=None if outcome.started_at is None else (outcome.started_at - job.due_at).total_seconds(),
        )
        if ending is not None:
            self._deliverer.begin(ending, claimed, now)
        self._after(job, step.state)
        if step.state is JobState.RETRYING:
            self._promoter.expect(step.due_at)

    def _after(self, job: Job, state: JobState) -> None:
        if state is JobState.QUEUED:
            self.lanes.add({job.function: 1})
        self._changes.notify(job.id)
        if job.batch_id is not None and state.is_final:
            self._batch_ended(job.batch_id)

    def cancel(self, job_id: str) -> bool:
        """Have a run in hand end as cancelled; False where it is not, or has ended already."""
        return self._pool.cancel(job_id)

    # New jobs

    def draft(
        self,
        job_id: str,
        function: str,
        event: bytes,
        *,
        parent_id: str | None = None,
        depth: int = 0,
        origin: Origin | None = None,
    ) -> JobDraft:
        """Return a job of `function` as its settings want it, not stored yet; UnknownFunctionError for none."""
        setup = self._current.setup
        is_background = setup.catalog.get(function).is_background
        settings = setup.config.functions.of(function)
        return JobDraft(
            id=job_id,
            function=function,
            event=event,
            max_attempts=setup.policy(function).max_attempts,
            timeout_s=settings.limit_s(is_background=is_background),
            max_age_s=settings.max_age,
            parent_id=parent_id,
            depth=depth,
            origin=origin or Origin(),
        )

    # The service's life

    async def drained(self) -> None:
        """Return when no run is in hand and every end is written."""
        await self._in_hand.drained()
