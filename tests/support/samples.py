"""Jobs, runs, messages and deliveries for tests, all alike but for what a test names."""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pipeline.ids import IdSource
from pipeline.lifecycle import DeliveryStep, JobStep
from pipeline.model import (
    Attempt,
    Batch,
    BatchState,
    Delivery,
    DeliveryDraft,
    DeliveryReason,
    DeliveryState,
    Job,
    JobDraft,
    JobReason,
    JobState,
    Lease,
    Message,
    MessageType,
    Outcome,
    Output,
    Result,
    RunError,
    RunOutcome,
    RunState,
    Verdict,
)
from pipeline.store.transactions.jobs import Ending
from tests.support.fake_clock import START, FakeClock

NOW = START
OWNER = "local"
_clock = FakeClock()
_ids = IdSource(_clock, random.Random(7))

RESULT = Result(status=200, headers=(("content-type", "application/json"),), body=b'{"words": 12}')
ERROR = RunError(type="ValueError", message="no words", stack=("line 1", "line 2"))


def later(seconds: float) -> datetime:
    """Return the moment `seconds` after NOW."""
    return NOW + timedelta(seconds=seconds)


def new_id() -> str:
    """Return a fresh id, greater than all before."""
    return _ids.new()


def job(**changes: Any) -> Job:
    """Return a job in its first run."""
    running = Job(
        id=new_id(),
        function="extract-background",
        state=JobState.RUNNING,
        reason=None,
        priority=5,
        attempt=1,
        max_attempts=3,
        run=1,
        lost=0,
        round=1,
        created_at=NOW,
        due_at=NOW,
        started_at=NOW,
        ended_at=None,
        timeout_s=900.0,
        tags=(),
        batch_id=None,
        parent_id=None,
        batch_index=None,
        depth=0,
        error=None,
    )
    return replace(running, **changes)


def batch(**changes: Any) -> Batch:
    """Return a running batch, all of whose jobs are open."""
    facts: dict[str, Any] = {"id": new_id(), "function": "extract-background", "state": BatchState.RUNNING, "round": 1}
    facts |= {"owner": None, "is_cancelled": False, "total": 3, "created_at": NOW, "ended_at": None}
    return Batch(**(facts | dict.fromkeys(("succeeded", "failed", "cancelled", "expired"), 0) | changes))


def delivery(**changes: Any) -> Delivery:
    """Return a delivery in its first sending."""
    sending = Delivery(
        id=new_id(),
        message_id=f"msg_{new_id()}",
        type=MessageType.JOB_SUCCEEDED,
        subject_id=new_id(),
        destination="archive",
        kind="webhook",
        recipient="",
        state=DeliveryState.SENDING,
        reason=None,
        attempt=1,
        max_attempts=12,
        lost=0,
        created_at=NOW,
        due_at=NOW,
        delivered_at=None,
        last_error=None,
    )
    return replace(sending, **changes)


def draft(**changes: Any) -> JobDraft:
    """Return a job to be stored."""
    facts: dict[str, Any] = {"id": new_id(), "function": "extract-background", "event": b'{"body": "words"}'}
    return JobDraft(**(facts | {"max_attempts": 3, "timeout_s": 900.0} | changes))


def delivery_draft(**changes: Any) -> DeliveryDraft:
    """Return a delivery to be stored."""
    facts: dict[str, Any] = {"id": new_id(), "destination": "archive", "kind": "webhook", "max_attempts": 12}
    return DeliveryDraft(**(facts | changes))


def lease(token: int, *, at: datetime = NOW, owner: str = OWNER, seconds: float = 30.0) -> Lease:
    """Return a lease of `seconds`, taken at `at`."""
    return Lease(owner=owner, token=token, expires_at=at + timedelta(seconds=seconds))


def succeeded(result: Result | None = RESULT, *texts: str, dropped: int = 0) -> RunOutcome:
    """Return the outcome of a run that went well and wrote `texts`."""
    return RunOutcome(
        state=RunState.SUCCEEDED, result=result, output=output(*texts, dropped=dropped), started_at=NOW, ended_at=NOW
    )


def failed(reason: JobReason = JobReason.ERROR, **changes: Any) -> RunOutcome:
    """Return the outcome of a run that failed."""
    return RunOutcome(state=RunState.FAILED, reason=reason, error=ERROR, started_at=NOW, ended_at=NOW, **changes)


def output(*texts: str, dropped: int = 0) -> Output:
    """Return what a run wrote to stdout."""
    return Output(lines=tuple((NOW, "stdout", None, text) for text in texts), dropped=dropped)


def job_step(state: JobState, run_state: RunState, **changes: Any) -> JobStep:
    """Return a step of a job in its first attempt."""
    return JobStep(**({"state": state, "run_state": run_state, "attempt": 1, "lost": 0, "due_at": NOW} | changes))


SUCCEEDED = job_step(JobState.SUCCEEDED, RunState.SUCCEEDED, message=MessageType.JOB_SUCCEEDED)
FAILED = job_step(JobState.FAILED, RunState.FAILED, message=MessageType.JOB_FAILED, reason=JobReason.ERROR, error=ERROR)
RETURNED = job_step(JobState.QUEUED, RunState.RETURNED, attempt=0)


def retrying(seconds: float) -> JobStep:
    """Return the step of a failed run that is tried again in `seconds`."""
    return job_step(JobState.RETRYING, RunState.FAILED, due_at=later(seconds), reason=JobReason.ERROR, error=ERROR)


def ending(of: Job, *drafts: DeliveryDraft, leases: tuple[Lease | None, ...] | None = None, **changes: Any) -> Ending:
    """Return what the end of a job owes: a message, and these deliveries."""
    message = Message(
        id=f"msg_{new_id()}",
        type=MessageType.JOB_SUCCEEDED,
        job_id=of.id,
        function=of.function,
        state=JobState.SUCCEEDED,
        reason=None,
        attempt=of.attempt,
        created_at=of.created_at,
        started_at=of.started_at,
        ended_at=NOW,
        tags=of.tags,
        batch_id=None,
        parent_id=of.parent_id,
        depth=of.depth,
        error=None,
        result=RESULT,
    )
    return Ending(
        message=replace(message, **changes),
        deliveries=drafts,
        leases=(None,) * len(drafts) if leases is None else leases,
    )


def delivery_step(state: DeliveryState, **changes: Any) -> DeliveryStep:
    """Return a step of a delivery in its first attempt."""
    return DeliveryStep(**({"state": state, "attempt": 1, "lost": 0, "due_at": NOW} | changes))


DELIVERED = Outcome(verdict=Verdict.DELIVERED, status=200, headers=(("content-length", "2"),), body=b"ok")
UNAVAILABLE = Outcome(
    verdict=Verdict.TEMPORARY, reason=DeliveryReason.HTTP_ERROR, message="503 Service Unavailable", status=503
)
REFUSED = Outcome(
    verdict=Verdict.PERMANENT, reason=DeliveryReason.REJECTED, message="413 Request Entity Too Large", status=413
)


def attempt(number: int = 1, outcome: Outcome = DELIVERED, next_attempt_at: datetime | None = None) -> Attempt:
    """Return the record of an attempt."""
    return Attempt(
        number=number,
        trigger="auto",
        started_at=NOW,
        duration_s=0.25,
        outcome=outcome,
        next_attempt_at=next_attempt_at,
        why="because",
    )
