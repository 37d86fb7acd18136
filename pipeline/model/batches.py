"""Batches: many jobs of one function that were submitted together, and what they owe at their end."""

from datetime import datetime

from pipeline.model.jobs import Result, RunError
from pipeline.model.states import BatchState, JobReason, JobState, MessageType
from pipeline.records import record


@record(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch, with its jobs counted by how they ended."""

    id: str
    function: str
    state: BatchState
    round: int
    owner: str | None
    """The name of the key that made it; None without keys."""
    is_cancelled: bool
    """Whether its cancellation was asked for; its state says so once the last job has ended."""
    total: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    created_at: datetime
    ended_at: datetime | None
    traceparent: str | None = None
    """The W3C trace that its caller belongs to."""
    callback: str | None = None
    """The URL that its caller wants to hear at of how it ended."""
    callback_to: str | None = None
    """The destination that was there for such URLs when the batch was accepted."""
    rejected_total: int = 0
    """Items of its last upload that are not in it."""

    @property
    def ended(self) -> int:
        """Return how many of its jobs have ended."""
        return self.succeeded + self.failed + self.cancelled + self.expired


@record(frozen=True, slots=True, kw_only=True)
class BatchDraft:
    """A batch that is not stored yet, and has no jobs yet."""

    id: str
    function: str
    owner: str | None
    priority: int
    created_at: datetime
    closes_at: datetime
    """An upload that was cut off is closed then, with what has come."""
    traceparent: str | None = None
    callback: str | None = None
    callback_to: str | None = None


@record(frozen=True, slots=True, kw_only=True)
class Reject:
    """One item of an upload that cannot be a job, and why."""

    index: int
    detail: str
    pointer: str | None = None
    """The field at fault; None where it is the item as a whole."""


@record(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """One job of a batch in the list of its results."""

    index: int
    key: str | None
    job_id: str
    state: JobState
    reason: JobReason | None
    error: RunError | None
    result: Result | None


@record(frozen=True, slots=True, kw_only=True)
class BatchMessage:
    """What a batch owes to the outside: one for each of its ends, with its facts as they were then."""

    id: str
    batch: Batch
    ended_at: datetime
    failures: tuple[BatchLine, ...]
    """The first of those jobs that failed or expired, without results."""

    @property
    def type(self) -> MessageType:
        """Return `batch.completed`."""
        return MessageType.BATCH_COMPLETED

    @property
    def subject_id(self) -> str:
        """Return the id of what the message is about: the batch."""
        return self.batch.id

    @property
    def function(self) -> str:
        """Return the function of the batch's jobs."""
        return self.batch.function

    @property
    def traceparent(self) -> str | None:
        """Return the trace of the batch's caller."""
        return self.batch.traceparent
