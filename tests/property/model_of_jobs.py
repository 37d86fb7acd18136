"""What must be true of jobs, in plain Python: each verb of the store as it would be if there were only dicts."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pipeline.lifecycle import JobStep
from pipeline.model import (
    ClaimedJob,
    DeliveryState,
    Job,
    JobDraft,
    JobState,
    Lease,
    Progress,
    Result,
    Run,
    RunOutcome,
)
from pipeline.store.transactions.deliveries import Ending
from pipeline.store.transactions.idempotency import Earlier, IdempotencyKey
from pipeline.store.transactions.interventions import Deletion
from pipeline.store.transactions.pruning import Cutoffs
from tests.property.model_of_batches import ModelOfBatches
from tests.property.model_of_usage import ModelOfUsage

_S = JobState
WAITING = frozenset({_S.SCHEDULED, _S.QUEUED, _S.RETRYING})
KEPT = timedelta(hours=24)


@dataclass
class ModelOfJobs:
    """The jobs, who runs them, what came of it, and what they owe."""

    batches: ModelOfBatches = field(default_factory=ModelOfBatches)
    usage: ModelOfUsage = field(default_factory=ModelOfUsage)
    jobs: dict[str, Job] = field(default_factory=dict)
    events: dict[str, bytes] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    """Under which each that runs is held."""
    turns: dict[str, int] = field(default_factory=dict)
    """The place of each in the queue of its function and priority."""
    expiries: dict[str, datetime] = field(default_factory=dict)
    """Until when each must have been started; of those that never were, and have such a limit."""
    runs: dict[str, list[Run]] = field(default_factory=dict)
    results: dict[str, Result | None] = field(default_factory=dict)
    """What each ended with last."""
    owed: dict[str, Counter[DeliveryState]] = field(default_factory=dict)
    """How the deliveries of each fare."""
    touched: set[str] = field(default_factory=set)
    """What was changed since somebody looked last."""
    gone: set[str] = field(default_factory=set)
    """The jobs that were deleted."""
    keys: dict[str, tuple[IdempotencyKey, str, datetime]] = field(default_factory=dict)
    """Of each key of a caller what it was sent with, what it has made, and when."""

    # Storing

    def insert(self, draft: JobDraft, now: datetime, lease: Lease | None, turn: int | None = None) -> bool:
        """It is claimed at once where a lease is given and nothing of its function waits before it."""
        is_claimed = lease is not None and not any(each.function == draft.function for each in self.queued())
        due_at = max(now, draft.run_at or now)
        if turn is None:
            turn = 0 if is_claimed else self.next_turn(draft.function, draft.priority)
        self.touched.add(draft.id)
        self.turns[draft.id], self.events[draft.id] = turn, draft.event
        self.jobs[draft.id] = Job(
            id=draft.id,
            function=draft.function,
            state=_S.RUNNING if is_claimed else _S.SCHEDULED if due_at > now else _S.QUEUED,
            reason=None,
            priority=draft.priority,
            attempt=int(is_claimed),
            max_attempts=draft.max_attempts,
            run=int(is_claimed),
            lost=0,
            round=1,
            created_at=now,
            due_at=due_at,
            started_at=now if is_claimed else None,
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
        if is_claimed and lease is not None:
            self.leases[draft.id] = lease
        elif draft.max_age_s is not None:
            self.expiries[draft.id] = due_at + timedelta(seconds=draft.max_age_s)
        return is_claimed

    def next_turn(self, function: str, priority: int) -> int:
        """Return the turn after the one that is served now."""
        queue = [each.id for each in self.queued() if (each.function, each.priority) == (function, priority)]
        return min((self.turns[job_id] for job_id in queue), default=-1) + 1

    def insert_once(self, draft: JobDraft, key: IdempotencyKey, now: datetime) -> Earlier | None:
        """A key makes one job within a day."""
        earlier = self.find_earlier(key, now)
        if earlier is None:
            self.insert(draft, now, None)
            self.keys[key.key] = (key, draft.id, now)
        return earlier

    def find_earlier(self, key: IdempotencyKey, now: datetime) -> Earlier | None:
        """Return what a key has led to within a day."""
        before, made_id, at = self.keys.get(key.key, (key, "", now - KEPT))
        return Earlier(made_id=made_id, is_same=before.fingerprint == key.fingerprint) if now - at < KEPT else None

    def prune_keys(self, now: datetime) -> int:
        """What is older than a day is forgotten."""
        kept = {name: value for name, value in self.keys.items() if now - value[2] < KEPT}
        forgotten, self.keys = len(self.keys) - len(kept), kept
        return forgotten

    # Running

    def claim(self, function: str, most: int, now: datetime, lease: Lease) -> list[ClaimedJob]:
        """The most urgent first, by turns, each to one owner; nothing that has expired, and nothing before its time."""
        found = [each for each in self.queued() if each.function == function]
        found = [each for each in found if each.id not in self.expiries or now < self.expiries[each.id]]
        found.sort(key=lambda each: (each.priority, self.turns[each.id], each.id))
        for each in found[:most]:
            self.change(each.id, state=_S.RUNNING, run=each.run + 1, attempt=each.attempt + 1)
            self.change(each.id, started_at=now, progress=None)
            self.leases[each.id] = lease
            self.expiries.pop(each.id, None)
        return [self.running(each.id) for each in found[:most]]

    def running(self, job_id: str) -> ClaimedJob:
        """Return what whoever runs it has in hand."""
        return ClaimedJob(job=self.jobs[job_id], token=self.leases[job_id].token, event=self.events[job_id])

    def finish(
        self, claimed: ClaimedJob, step: JobStep, outcome: RunOutcome, now: datetime, ending: Ending | None
    ) -> list[bool] | None:
        """A run's end, and with a job's end its result and what it owes: all of it, or nothing without the lease."""
        job = claimed.job
        lease = self.leases.get(job.id)
        if lease is None or lease.token != claimed.token:
            return None
        del self.leases[job.id]
        is_final = step.state.is_final
        self.change(
            job.id,
            state=step.state,
            reason=step.reason,
            attempt=step.attempt,
            lost=step.lost,
            due_at=step.due_at,
            ended_at=now if is_final else None,
            error=step.error,
            max_attempts=job.max_attempts if step.max_attempts is None else step.max_attempts,
        )
        run = Run(
            run=job.run,
            attempt=job.attempt,
            round=job.round,
            state=step.run_state,
            reason=outcome.reason or (step.reason if is_final else None),
            started_at=outcome.started_at or job.started_at or now,
            ended_at=outcome.ended_at or now,
            error=outcome.error or (step.error if is_final else None),
        )
        self.runs.setdefault(job.id, []).append(run)
        self.usage.count(job.function, outcome, now)
        if is_final:
            self.results[job.id] = outcome.result
            self.batches.count(job.batch_id, step.state, 1)
        return self._owe(job.id, ending)

    def _owe(self, job_id: str, ending: Ending | None) -> list[bool]:
        drafts = () if ending is None else ending.deliveries
        self.owed.setdefault(job_id, Counter())[DeliveryState.PENDING] += len(drafts)
        return [False] * len(drafts)

    def note_progress(self, claimed: ClaimedJob, progress: Progress) -> None:
        """Only who runs it can say."""
        lease = self.leases.get(claimed.job.id)
        if lease is not None and lease.token == claimed.token:
            self.change(claimed.job.id, progress=progress)

    # Time

    def promote(self, now: datetime) -> tuple[Counter[str], datetime | None]:
        """All whose moment has come are queued."""
        waiting = [each for each in self.jobs.values() if each.state in {_S.SCHEDULED, _S.RETRYING}]
        due = [each for each in waiting if each.due_at <= now]
        for each in due:
            self.change(each.id, state=_S.QUEUED)
        later = [each.due_at for each in waiting if each.due_at > now]
        return Counter(each.function for each in due), min(later, default=None)

    def overdue(self, now: datetime) -> tuple[set[Job], datetime | None]:
        """What should have been started by now, and when the next one should have been."""
        found = {self.jobs[each] for each, at in self.expiries.items() if at <= now}
        return found, min((at for at in self.expiries.values() if at > now), default=None)

    def expire(self, job_id: str, step: JobStep, now: datetime, ending: Ending) -> list[bool] | None:
        """What was not started in time ends, once."""
        at = self.expiries.get(job_id)
        if at is None or at > now:
            return None
        self._end(job_id, step.state, now)
        return self._owe(job_id, ending)

    def expired(self, now: datetime) -> set[tuple[Job, int]]:
        """What is run by nobody any more."""
        return {(self.jobs[each], lease.token) for each, lease in self.leases.items() if lease.expires_at < now}

    def renew(self, owner: str, expires_at: datetime) -> set[tuple[str, int]]:
        """All that an owner holds still, held for longer."""
        held = {each: lease for each, lease in self.leases.items() if lease.owner == owner}
        self.leases |= {each: replace(lease, expires_at=expires_at) for each, lease in held.items()}
        return {(each, lease.token) for each, lease in held.items()}

    # What is done to them from outside

    def cancel(self, job_id: str, now: datetime) -> tuple[JobState | None, bool]:
        """Only what waits can be cancelled."""
        job = self.jobs.get(job_id)
        if job is None or job.state not in WAITING:
            return (None if job is None else job.state), False
        self._end(job_id, _S.CANCELLED, now, reason=None, error=None)
        return _S.CANCELLED, True

    def _end(self, job_id: str, state: JobState, now: datetime, **changes: Any) -> None:
        self.change(job_id, state=state, ended_at=now, **changes)
        self.expiries.pop(job_id, None)
        self.batches.count(self.jobs[job_id].batch_id, state, 1)

    def reopen(self, job_id: str, tries: int, now: datetime) -> bool:
        """What ended without success is queued again, in its next round, with its history."""
        job = self.jobs.get(job_id)
        if job is None or job.state not in {_S.FAILED, _S.CANCELLED, _S.EXPIRED}:
            return False
        self.turns[job_id] = self.next_turn(job.function, job.priority)
        self.batches.count(job.batch_id, job.state, -1)
        self.change(job_id, state=_S.QUEUED, round=job.round + 1, attempt=0, lost=0, max_attempts=tries, due_at=now)
        self.change(job_id, reason=None, error=None, progress=None, ended_at=None)
        return True

    def delete(self, job_id: str) -> Deletion:
        """A job that has ended goes with all that is its, unless it still owes anything."""
        job = self.jobs.get(job_id)
        if job is None:
            return Deletion.UNKNOWN
        if not job.state.is_final:
            return Deletion.NOT_ENDED
        if any(count and state.is_open for state, count in self.owed.get(job_id, {}).items()):
            return Deletion.OWES
        del self.jobs[job_id]
        self.gone.add(job_id)
        self.touched.add(job_id)
        for held in (self.runs, self.results, self.owed):
            held.pop(job_id, None)
        return Deletion.DONE

    def prune(self, cutoffs: Cutoffs) -> int:
        """Each that owes nothing goes by the retention of its end, with dead deliveries by that of these."""
        outlived = []
        for job in self.jobs.values():
            kept = cutoffs.succeeded if job.state is _S.SUCCEEDED else cutoffs.failed
            kept = cutoffs.dead if self.owed.get(job.id, {}).get(DeliveryState.DEAD) else kept
            outlived += [job.id] if job.ended_at is not None and job.ended_at < kept else []
        return [self.delete(job_id) for job_id in outlived].count(Deletion.DONE)

    # What there is

    def queued(self) -> list[Job]:
        """Return the jobs that wait for a slot."""
        return [each for each in self.jobs.values() if each.state is _S.QUEUED]

    def change(self, job_id: str, **changes: Any) -> None:
        """Change what is told of a job."""
        self.jobs[job_id] = replace(self.jobs[job_id], **changes)
        self.touched.add(job_id)
