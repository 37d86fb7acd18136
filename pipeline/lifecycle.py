"""How jobs and deliveries move from state to state: the tables, and pure functions that decide each step.

The database is authoritative for where a row stands; these functions only say where it goes next. They do no I/O and
have no clock: `now` comes in, a step comes out, and a store verb writes it under the row's lease.

    job                                              delivery

    scheduled ──due──> queued <──due── retrying      pending <──due── retrying
                       │    ^             ^          │    ^              ^
                     claim  └─returned────┤        claim  └─returned─────┤
                       v      or lost     │          v      or lost      │
                     running ───failed, tries left   sending ───failed, tries left
                       ├──> succeeded                ├──> delivered
                       ├──> failed                   └──> dead
                       └──> cancelled                skipped and cancelled: never sent
                     (expired: not started in time)  (dead, too: what an open breaker kept pending beyond max_age)

    batch

    receiving ──all has come──> running ──its last job has ended──> completed | completed_with_failures | cancelled
                                   ^──────────a job is tried again────────────────────┘
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from pipeline.model import (
    Batch,
    BatchState,
    Delivery,
    DeliveryReason,
    DeliveryState,
    Job,
    JobReason,
    JobState,
    LastError,
    MessageType,
    Outcome,
    RunError,
    RunOutcome,
    RunState,
    Verdict,
)
from pipeline.records import record
from pipeline.retry import Policy, next_attempt

_J, _D = JobState, DeliveryState

JOB_MOVES: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        _J.SCHEDULED: frozenset({_J.QUEUED, _J.CANCELLED, _J.EXPIRED}),
        _J.QUEUED: frozenset({_J.RUNNING, _J.CANCELLED, _J.EXPIRED}),
        _J.RUNNING: frozenset({_J.SUCCEEDED, _J.FAILED, _J.CANCELLED, _J.RETRYING, _J.QUEUED}),
        _J.RETRYING: frozenset({_J.QUEUED, _J.CANCELLED}),
        # Only an operator's retry opens an ended job again, in a new round.
        _J.SUCCEEDED: frozenset(),
        _J.FAILED: frozenset({_J.QUEUED}),
        _J.CANCELLED: frozenset({_J.QUEUED}),
        _J.EXPIRED: frozenset({_J.QUEUED}),
    }
)
"""Every move a job may make."""

DELIVERY_MOVES: Mapping[DeliveryState, frozenset[DeliveryState]] = MappingProxyType(
    {
        # Dead without an attempt: what a breaker has kept waiting for longer than the policy allows.
        _D.PENDING: frozenset({_D.SENDING, _D.CANCELLED, _D.DEAD}),
        # Cancelled only before its attempt has begun: where it still waits for a slot.
        _D.SENDING: frozenset({_D.DELIVERED, _D.DEAD, _D.RETRYING, _D.PENDING, _D.CANCELLED}),
        _D.RETRYING: frozenset({_D.PENDING, _D.CANCELLED}),
        # A replay opens an ended delivery again with the full schedule, and has a retrying one sent now.
        _D.DELIVERED: frozenset({_D.PENDING}),
        _D.DEAD: frozenset({_D.PENDING}),
        _D.SKIPPED: frozenset(),
        _D.CANCELLED: frozenset({_D.PENDING}),
        _D.HELD: frozenset(),
    }
)
"""Every move a delivery may make; `held` is shown, never stored, so nothing moves from or to it."""

BATCH_MOVES: Mapping[BatchState, frozenset[BatchState]] = MappingProxyType(
    {
        BatchState.RECEIVING: frozenset({BatchState.RUNNING}),
        BatchState.RUNNING: frozenset({BatchState.COMPLETED, BatchState.COMPLETED_WITH_FAILURES, BatchState.CANCELLED}),
        # A retry of any of its jobs opens an ended batch again, in a new round.
        BatchState.COMPLETED: frozenset(),
        BatchState.COMPLETED_WITH_FAILURES: frozenset({BatchState.RUNNING}),
        BatchState.CANCELLED: frozenset({BatchState.RUNNING}),
    }
)
"""Every move a batch may make."""

LOST_CAP = 10
"""So many runs (or sendings) of one row may be lost with their service before the row is given up."""
_FREE_LOSSES = 3
_LOST_WAITS_S = (1.0, 10.0, 60.0)


@record(frozen=True, slots=True, kw_only=True)
class JobStep:
    """What a run's end, or the time, means for a job: the columns to write, and the message that is owed, if any."""

    state: JobState
    run_state: RunState | None
    """How the run ended; None where the job ends without one."""
    attempt: int
    lost: int
    due_at: datetime
    reason: JobReason | None = None
    error: RunError | None = None
    message: MessageType | None = None
    max_attempts: int | None = None
    """What the policy allows now, where it was asked; else what it was stays."""
    why: str = ""


@record(frozen=True, slots=True, kw_only=True)
class DeliveryStep:
    """What an attempt's end means for its delivery: the columns to write."""

    state: DeliveryState
    attempt: int
    lost: int
    due_at: datetime
    reason: DeliveryReason | None = None
    last_error: LastError | None = None
    delivered_at: datetime | None = None
    max_attempts: int | None = None
    """As of a job's step."""
    why: str = ""


def lost_wait_s(lost: int) -> float:
    """Return how long a row waits after its `lost`-th loss: nothing three times, then 1 s, 10 s, and 60 s."""
    if lost <= _FREE_LOSSES:
        return 0.0
    return _LOST_WAITS_S[min(lost - _FREE_LOSSES, len(_LOST_WAITS_S)) - 1]


def after_run(job: Job, outcome: RunOutcome, rule: Policy, now: datetime) -> JobStep:
    """Decide what follows a run that ended by itself, was returned, or was cancelled."""
    match outcome.state:
        case RunState.SUCCEEDED:
            return JobStep(
                state=JobState.SUCCEEDED,
                run_state=RunState.SUCCEEDED,
                attempt=job.attempt,
                lost=job.lost,
                due_at=job.due_at,
                message=MessageType.JOB_SUCCEEDED,
            )
        case RunState.FAILED:
            return _after_failure(job, outcome, rule, now)
        case RunState.CANCELLED:
            return JobStep(
                state=JobState.CANCELLED,
                run_state=RunState.CANCELLED,
                attempt=job.attempt,
                lost=job.lost,
                due_at=job.due_at,
            )
        case RunState.RETURNED:
            return JobStep(
                state=JobState.QUEUED,
                run_state=RunState.RETURNED,
                attempt=job.attempt - 1,
                lost=job.lost,
                due_at=now,
                reason=job.reason,
                error=job.error,
                why="the run was returned; it spent no attempt",
            )
        case RunState.LOST:
            return after_loss(job, now)
        case RunState.RUNNING:
            raise ValueError("a run that still runs decides nothing")


def _after_failure(job: Job, outcome: RunOutcome, rule: Policy, now: datetime) -> JobStep:
    later = next_attempt(rule, attempt=job.attempt, now=now, since=job.created_at, asked_s=outcome.retry_after_s)
    if outcome.is_final or later.at is None:
        why = "rejected" if outcome.is_final else later.why
        step = _failed(job, outcome.reason, outcome.error, RunState.FAILED, why)
        return replace(step, max_attempts=max(job.attempt, rule.max_attempts))
    return JobStep(
        state=JobState.RETRYING,
        run_state=RunState.FAILED,
        attempt=job.attempt,
        lost=job.lost,
        due_at=later.at,
        reason=outcome.reason,
        error=outcome.error,
        max_attempts=rule.max_attempts,
        why=later.why,
    )


def _failed(job: Job, reason: JobReason | None, error: RunError | None, run_state: RunState, why: str) -> JobStep:
    return JobStep(
        state=JobState.FAILED,
        run_state=run_state,
        attempt=job.attempt,
        lost=job.lost,
        due_at=job.due_at,
        reason=reason,
        error=error,
        message=MessageType.JOB_FAILED,
        why=why,
    )


def after_loss(job: Job, now: datetime) -> JobStep:
    """Decide what follows a run whose service died: back it goes, unspent, until so many were lost that it must be
    the job.
    """
    lost = job.lost + 1
    if lost >= LOST_CAP:
        error = RunError(type="Lost", message=f"{lost} runs of this job were lost because the service died under them")
        step = _failed(job, JobReason.LOST, error, RunState.LOST, f"{lost} runs were lost")
        return replace(step, attempt=job.attempt - 1, lost=lost)
    wait_s = lost_wait_s(lost)
    return JobStep(
        state=JobState.RETRYING if wait_s else JobState.QUEUED,
        run_state=RunState.LOST,
        attempt=job.attempt - 1,
        lost=lost,
        due_at=now + timedelta(seconds=wait_s),
        reason=job.reason,
        error=job.error,
        why=f"run {job.run} was lost with its service; it spent no attempt",
    )


def after_expiry(job: Job) -> JobStep:
    """Decide what follows for a job that was not started in time: it ends, and `on_failure` hears of it."""
    return JobStep(
        state=JobState.EXPIRED,
        run_state=None,
        attempt=job.attempt,
        lost=job.lost,
        due_at=job.due_at,
        message=MessageType.JOB_FAILED,
        why="it was not started within max_age",
    )


def end_of_batch(batch: Batch) -> BatchState | None:
    """Decide how a batch ends, None where it does not: it is still received, or has jobs that have not ended."""
    if batch.state is not BatchState.RUNNING or batch.ended < batch.total:
        return None
    if batch.is_cancelled and batch.cancelled:
        return BatchState.CANCELLED
    return BatchState.COMPLETED if batch.succeeded == batch.total else BatchState.COMPLETED_WITH_FAILURES


def after_attempt(delivery: Delivery, outcome: Outcome, rule: Policy, now: datetime, jitter: float) -> DeliveryStep:
    """Decide what follows an attempt of a delivery; `jitter` is the fraction of the wait to add, 0 to 0.2."""
    if outcome.verdict is Verdict.DELIVERED:
        return DeliveryStep(
            state=DeliveryState.DELIVERED,
            attempt=delivery.attempt,
            lost=delivery.lost,
            due_at=delivery.due_at,
            delivered_at=now,
            why="delivered",
        )
    reason = outcome.reason or DeliveryReason.HTTP_ERROR
    last_error = LastError(reason=reason, message=outcome.message, status=outcome.status)
    later = next_attempt(
        rule,
        attempt=delivery.attempt - delivery.spent,
        spent=delivery.spent,
        now=now,
        since=delivery.replayed_at or delivery.created_at,
        asked_s=outcome.retry_after_s,
        patience_s=outcome.patience_s,
        jitter=jitter,
    )
    max_attempts = max(delivery.attempt, delivery.spent + rule.max_attempts)
    if outcome.verdict is Verdict.PERMANENT or later.at is None:
        return DeliveryStep(
            state=DeliveryState.DEAD,
            attempt=delivery.attempt,
            lost=delivery.lost,
            due_at=delivery.due_at,
            reason=reason,
            last_error=last_error,
            max_attempts=max_attempts,
            why=later.why
            if outcome.verdict is Verdict.TEMPORARY
            else "the answer is final: another attempt would not change it",
        )
    return DeliveryStep(
        state=DeliveryState.RETRYING,
        attempt=delivery.attempt,
        lost=delivery.lost,
        due_at=later.at,
        reason=reason,
        last_error=last_error,
        max_attempts=max_attempts,
        why=later.why,
    )


def after_sending_returned(delivery: Delivery, now: datetime) -> DeliveryStep:
    """Decide what follows a sending that was given back before it had an outcome: pending again, nothing spent."""
    return DeliveryStep(
        state=DeliveryState.PENDING,
        attempt=delivery.attempt - 1,
        lost=delivery.lost,
        due_at=now,
        reason=delivery.reason,
        last_error=delivery.last_error,
    )


def after_sending_cancelled(delivery: Delivery) -> DeliveryStep:
    """Decide what follows a sending that an operator cancelled before its attempt had begun: it spent none."""
    return DeliveryStep(
        state=DeliveryState.CANCELLED,
        attempt=delivery.attempt - 1,
        lost=delivery.lost,
        due_at=delivery.due_at,
        last_error=delivery.last_error,
    )


def after_sending_lost(delivery: Delivery, now: datetime) -> DeliveryStep:
    """Decide what follows a sending whose service died: back it goes, unspent, until so many were lost that it is
    dead.
    """
    lost = delivery.lost + 1
    if lost >= LOST_CAP:
        return DeliveryStep(
            state=DeliveryState.DEAD,
            attempt=delivery.attempt - 1,
            lost=lost,
            due_at=delivery.due_at,
            reason=DeliveryReason.LOST,
            last_error=delivery.last_error,
            why=f"{lost} sendings were lost because the service died under them",
        )
    wait_s = lost_wait_s(lost)
    return DeliveryStep(
        state=DeliveryState.RETRYING if wait_s else DeliveryState.PENDING,
        attempt=delivery.attempt - 1,
        lost=lost,
        due_at=now + timedelta(seconds=wait_s),
        reason=delivery.reason,
        last_error=delivery.last_error,
    )
