"""The store's verbs: all that the rest of Sendoff can ask of the database.

Each writing verb is one transaction, guarded in SQL, durable when it returns, and returns what it changed; it does
not raise for what can be expected, such as a lease that is no longer held. The database is authoritative for
everything that these verbs write.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, Unpack

from pipeline.errors import StoreError
from pipeline.lifecycle import DeliveryStep, JobStep
from pipeline.model import (
    Attempt,
    ClaimedDelivery,
    ClaimedJob,
    Delivery,
    DeliveryState,
    DestinationNote,
    Job,
    JobDraft,
    JobState,
    Lease,
    LogLine,
    Progress,
    Result,
    Run,
    RunOutcome,
    Usage,
)
from pipeline.store.engine.database import FileLock, check_version
from pipeline.store.engine.reader import Reader
from pipeline.store.engine.room import Room
from pipeline.store.engine.writer import OnCommit, Writer
from pipeline.store.reading import counts
from pipeline.store.reading import deliveries as reading_deliveries
from pipeline.store.reading import jobs as reading
from pipeline.store.reading.deliveries import Narrowed
from pipeline.store.reading.jobs import JobView
from pipeline.store.reading.recent import Recent
from pipeline.store.reading.survey import Survey, survey
from pipeline.store.transactions import (
    deliveries,
    expiry,
    idempotency,
    insertions,
    interventions,
    invocations,
    jobs,
    logs,
    ownership,
    pruning,
    usage,
)
from pipeline.store.transactions.deliveries import Ending, Tried
from pipeline.store.transactions.expiry import Expiry
from pipeline.store.transactions.idempotency import Earlier, IdempotencyKey
from pipeline.store.transactions.insertions import Insertion
from pipeline.store.transactions.interventions import Deletion
from pipeline.store.transactions.invocations import Invocation
from pipeline.store.transactions.jobs import RunEnd
from pipeline.store.transactions.ownership import Ownership, Subject
from pipeline.store.transactions.pruning import Cutoffs
from pipeline.store.verbs.alerts import AlertVerbs
from pipeline.store.verbs.batches import BatchVerbs
from pipeline.store.verbs.deliveries import DeliveryVerbs
from pipeline.store.verbs.destinations import DestinationVerbs
from pipeline.store.verbs.replays import ReplayVerbs

T = TypeVar("T")


class Store:
    """The embedded store: one SQLite file, one writing thread, one service."""

    def __init__(
        self,
        path: Path,
        on_fatal: Callable[[StoreError], None],
        room: Room | None = None,
        on_commit: OnCommit = lambda *_: None,
    ) -> None:
        """Open (and create or migrate) the file; StoreError where it cannot be used.

        `on_fatal` is called on the loop when the database can no longer be trusted (I/O error, corruption). The
        ballast of `room` is thrown off when the disk is full. `on_commit` is called on the loop, too.
        """
        check_version()
        loop = asyncio.get_running_loop()
        self.path = path
        self._room = room
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = FileLock(path)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}") from error
        try:
            self._writer = Writer(path, loop, on_fatal, self._release, self._is_low, on_commit)
            self._reader = Reader(path, loop, on_fatal)
            self._surveyor = Reader(path, loop, on_fatal)
            self._recent = Recent(self._writer, self._reader)
            self.alerts = AlertVerbs(self._alone, self._reader)
            self.batches = BatchVerbs(self._alone, self._reader)
            self.deliveries = DeliveryVerbs(self._alone, self._reader)
            self.destinations = DestinationVerbs(self._alone, self._reader)
            self.replays = ReplayVerbs(self._alone, self._reader)
            if room is not None:
                room.look()
        except BaseException:
            self._lock.release()
            raise

    async def close(self) -> None:
        """Commit what is queued and close the file."""
        await self._writer.close()
        self._reader.close()
        self._surveyor.close()
        self._release()
        self._lock.release()

    def _release(self) -> None:
        if self._room is not None:
            self._room.release()

    def _is_low(self) -> bool:
        return self._room is not None and self._room.is_low

    def _alone(self, verb: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Write with a verb that has nothing in common with others of its kind."""
        return self._writer.write(_one_by_one, verb)

    # Jobs

    def insert_job(self, draft: JobDraft, *, now: datetime, lease: Lease | None) -> asyncio.Future[bool]:
        """Store a job; return whether it was claimed under `lease` at once (nothing of its function waited before
        it).
        """
        return self._writer.write(insertions.insert_jobs, Insertion(draft=draft, now=now, lease=lease))

    async def insert_job_once(self, draft: JobDraft, key: IdempotencyKey, *, now: datetime) -> Earlier | None:
        """Store a job, which then waits, unless its key has made one already: then return that."""

        def verb(db: sqlite3.Connection) -> Earlier | None:
            insertion = Insertion(draft=draft, now=now, lease=None)
            return idempotency.once(db, key, draft.id, lambda: insertions.insert_jobs(db, [insertion]), now=now)

        return await self._alone(verb)

    async def cancel_job(self, job_id: str, *, now: datetime) -> tuple[JobState | None, bool]:
        """Cancel a job that waits; return the state that it is in now, None for one that is not there, and whether it
        was cancelled here. One that runs is its service's to cancel.
        """
        return await self._alone(partial(interventions.cancel_job, job_id=job_id, now=now))

    async def reopen_job(self, job_id: str, max_attempts: int, *, now: datetime) -> bool:
        """Queue a job again that failed, was cancelled or expired, in its next round; False for any other."""
        verb = partial(interventions.reopen_jobs, job_ids=[job_id], max_attempts=max_attempts, now=now)
        return bool(await self._alone(verb))

    async def delete_job(self, job_id: str) -> Deletion:
        """Delete an ended job with all that belongs to it, unless it still owes a delivery."""
        return await self._alone(partial(interventions.delete_job, job_id=job_id))

    async def claim_jobs(self, function: str, most: int, *, now: datetime, lease: Lease) -> list[ClaimedJob]:
        """Claim up to `most` queued jobs of `function` that have not expired, the most urgent and oldest first."""
        return await self._alone(partial(jobs.claim_jobs, function=function, most=most, now=now, lease=lease))

    def finish_run(
        self,
        job: Job,
        token: int,
        step: JobStep,
        outcome: RunOutcome,
        *,
        now: datetime,
        ending: Ending | None = None,
        memory_mb: int = 0,
    ) -> asyncio.Future[list[bool] | None]:
        """Write a run's end; with a job's end its result, message and deliveries, in the same transaction. It counts
        for the usage of its function, as one that was allowed `memory_mb`.

        Returns which of the ending's deliveries were claimed, or None where the lease is no longer held (nothing
        changed).
        """
        end = RunEnd(job=job, token=token, step=step, outcome=outcome, now=now, ending=ending, memory_mb=memory_mb)
        return self._writer.write(jobs.finish_runs, end)

    async def note_progress(self, said: Sequence[tuple[str, int, Progress]]) -> None:
        """Write what running jobs said of their progress: (id, token, progress).

        Where the lease is no longer held nothing changes. A claim clears what an earlier run said.
        """
        await self._alone(partial(jobs.note_progress, said=said))

    async def overdue_jobs(self, most: int, *, now: datetime) -> tuple[list[Job], datetime | None]:
        """Return up to `most` jobs that should have been started by now, and when the next one expires."""
        return await self._alone(partial(expiry.overdue, most=most, now=now))

    async def expire_job(self, job: Job, step: JobStep, *, now: datetime, ending: Ending) -> list[bool] | None:
        """End a job that was not started in time, with its message and deliveries, in one transaction.

        Returns which of the ending's deliveries were claimed, or None where the job does not wait any more (nothing
        changed).
        """
        return await self._writer.write(expiry.expire_jobs, Expiry(job=job, step=step, now=now, ending=ending))

    async def leased_jobs(self, owner: str) -> list[tuple[Job, int]]:
        """Return the running jobs that `owner` holds, with their tokens."""
        return await self._alone(partial(jobs.leased_by, owner=owner))

    async def expired_jobs(self, *, now: datetime) -> list[tuple[Job, int]]:
        """Return the running jobs whose lease has run out, with their tokens."""
        return await self._alone(partial(jobs.with_expired_lease, now=now))

    async def insert_invocation(self, note: Invocation) -> None:
        """Note a synchronous call, and count it for the usage of its function; once, however often it is noted."""
        await self._writer.write(invocations.insert_invocations, note)

    # Deliveries

    async def claim_deliveries(
        self, destination: str, most: int, *, now: datetime, lease: Lease
    ) -> list[ClaimedDelivery]:
        """Claim up to `most` pending deliveries to `destination`, the oldest first."""
        verb = partial(deliveries.claim_deliveries, destination=destination, most=most, now=now, lease=lease)
        return await self._alone(verb)

    def record_attempt(
        self,
        delivery: Delivery,
        token: int,
        step: DeliveryStep,
        attempt: Attempt | None,
        *,
        now: datetime,
        noted: DestinationNote | None = None,
        child: JobDraft | None = None,
    ) -> asyncio.Future[bool]:
        """Write what became of a sending; False where the lease is no longer held (nothing changed).

        What is `noted` of the destination, and `child`, the job that takes the message over, are written in the same
        transaction.
        """
        tried = Tried(delivery=delivery, token=token, step=step, attempt=attempt, now=now, noted=noted, child=child)
        return self._writer.write(deliveries.record_attempts, tried)

    async def leased_deliveries(self, owner: str) -> list[tuple[Delivery, int]]:
        """Return the deliveries that `owner` is sending, with their tokens."""
        return await self._alone(partial(deliveries.leased_by, owner=owner))

    async def expired_deliveries(self, *, now: datetime) -> list[tuple[Delivery, int]]:
        """Return the deliveries in sending whose lease has run out, with their tokens."""
        return await self._alone(partial(deliveries.with_expired_lease, now=now))

    # Leases, moments and retention

    async def renew_leases(self, owner: str, *, expires_at: datetime) -> set[tuple[str, int]]:
        """Renew all leases of `owner`; return the (id, token) of the jobs and deliveries that it still holds."""
        held = await self._alone(partial(jobs.renew_leases, owner=owner, expires_at=expires_at))
        return held | await self._alone(partial(deliveries.renew_leases, owner=owner, expires_at=expires_at))

    async def promote_due_jobs(self, most: int, *, now: datetime) -> tuple[Counter[str], datetime | None]:
        """Queue up to `most` jobs that are due; return how many of which function, and when the next is due."""
        return await self._alone(partial(jobs.promote_due, most=most, now=now))

    async def promote_due_deliveries(self, most: int, *, now: datetime) -> tuple[Counter[str], datetime | None]:
        """Make up to `most` deliveries pending that are due; return how many to which destination, and when the next
        is due.
        """
        return await self._alone(partial(deliveries.promote_due, most=most, now=now))

    async def prune(self, after: str, most: int, cutoffs: Cutoffs) -> tuple[str | None, int]:
        """Delete what has outlived its retention among the next `most` jobs; return where to go on, and how many
        went.
        """
        return await self._alone(partial(pruning.prune, after=after, most=most, cutoffs=cutoffs))

    async def prune_idempotency(self, most: int, *, now: datetime) -> int:
        """Forget up to `most` idempotency keys that are too old; return how many."""
        return await self._alone(partial(idempotency.prune, most=most, now=now))

    async def prune_invocations(self, before: str, most: int) -> int:
        """Delete up to `most` notes of synchronous calls with ids below `before`; return how many."""
        return await self._alone(partial(pruning.prune_invocations, before=before, most=most))

    # Reading

    async def get_job(self, job_id: str) -> JobView | None:
        """Return a job with the count of its deliveries, or None."""
        return self._recent.get(job_id)

    async def find_owner(self, subject: Subject, subject_id: str) -> Ownership | None:
        """Return whose a job, a batch or a delivery is, or None."""
        return self._reader.look_up(partial(ownership.find, subject=subject, subject_id=subject_id))

    async def find_earlier(self, key: IdempotencyKey, *, now: datetime) -> Earlier | None:
        """Return what an idempotency key has led to already, or None."""
        return await self._reader.read(partial(idempotency.find, key=key, now=now))

    async def list_jobs(
        self,
        *,
        before: str | None,
        most: int,
        function: str | None = None,
        state: JobState | None = None,
        parent_id: str | None = None,
        batch_id: str | None = None,
        tag: str | None = None,
        since: str | None = None,
    ) -> list[JobView]:
        """Return up to `most` jobs older than the id `before` and not older than the id `since`, newest first."""
        query = partial(
            reading.list_jobs,
            before=before,
            most=most,
            function=function,
            state=state,
            parent_id=parent_id,
            batch_id=batch_id,
            tag=tag,
            since=since,
        )
        return await self._reader.read(query)

    async def get_event(self, job_id: str) -> bytes | None:
        """Return the event that a job's function is called with, as JSON, or None."""
        return await self._reader.read(partial(reading.get_event, job_id=job_id))

    async def get_result(self, job_id: str) -> Result | None:
        """Return the stored result of a job, or None."""
        return await self._reader.read(partial(reading.get_result, job_id=job_id))

    async def list_runs(self, job_id: str, *, after: int, most: int) -> list[Run]:
        """Return up to `most` ended runs of a job numbered above `after`, oldest first."""
        return await self._reader.read(partial(reading.list_runs, job_id=job_id, after=after, most=most))

    async def list_log(self, job_id: str, *, after: int, most: int) -> list[LogLine]:
        """Return up to `most` log lines of a job numbered above `after`, oldest first."""
        return await self._reader.read(partial(logs.list_log, job_id=job_id, after=after, most=most))

    async def log_end(self, job_id: str) -> tuple[int, int]:
        """Return the number that a job's next log line will have, and the run that the last stored one was of (0:
        none).
        """
        return await self._reader.read(partial(logs.log_end, job_id=job_id))

    async def get_delivery(self, delivery_id: str) -> Delivery | None:
        """Return a delivery, or None."""
        return await self._reader.read(partial(reading.get_delivery, delivery_id=delivery_id))

    async def list_deliveries(self, *, before: str | None, most: int, **narrowed: Unpack[Narrowed]) -> list[Delivery]:
        """Return up to `most` deliveries older than the id `before`, newest first."""
        query = partial(reading_deliveries.list_deliveries, before=before, most=most, **narrowed)
        return await self._reader.read(query)

    async def list_attempts(self, delivery_id: str) -> list[Attempt]:
        """Return all attempts of a delivery, oldest first."""
        return await self._reader.read(partial(reading.list_attempts, delivery_id=delivery_id))

    async def open_deliveries(
        self, destinations: Collection[str] | None = None
    ) -> dict[tuple[str, DeliveryState], int]:
        """Count the open deliveries of these destinations, or of every one, by state."""
        return await self._reader.read(partial(counts.open_deliveries, destinations=destinations))

    async def list_usage(
        self, *, first: date, last: date, most: int, function: str | None = None, after: tuple[date, str] | None = None
    ) -> list[Usage]:
        """Return up to `most` rows of usage of the days from `first` to `last`, the newest day first, functions by
        name, behind the day and function `after`.
        """
        query = partial(usage.list_usage, first=first, last=last, function=function, after=after, most=most)
        return await self._reader.read(query)

    async def survey(self) -> Survey:
        """Count all that is open, and look at the files; no other query waits for this."""
        return await self._surveyor.read(partial(survey, path=self.path, room=self._room))

    async def queued_jobs(self, functions: Collection[str] | None = None) -> dict[str, int]:
        """Count the queued jobs of these functions, or of every one."""
        return await self._reader.read(partial(counts.queued_jobs, functions=functions))


def _one_by_one(db: sqlite3.Connection, verbs: Sequence[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
    return [verb(db) for verb in verbs]
