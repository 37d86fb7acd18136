"""Messages and their deliveries: what a job owes to the outside, and how far it got."""

from datetime import datetime
from typing import Protocol

from pipeline.model.alerts import AlertMessage
from pipeline.model.batches import BatchMessage
from pipeline.model.jobs import Job, Result, RunError
from pipeline.model.states import DeliveryReason, DeliveryState, JobReason, JobState, MessageType, Verdict
from pipeline.records import record


@record(frozen=True, slots=True, kw_only=True)
class Message:
    """What a job owes to the outside: one for each of its ends, with the facts of the job as they were then."""

    id: str
    type: MessageType
    job_id: str
    function: str
    state: JobState
    reason: JobReason | None
    attempt: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime
    tags: tuple[str, ...]
    batch_id: str | None
    parent_id: str | None
    depth: int
    error: RunError | None
    result: Result | None
    traceparent: str | None = None

    @property
    def subject_id(self) -> str:
        """Return the id of what the message is about: the job."""
        return self.job_id


class End(Protocol):
    """How a job ended: what ends it says so, and afterwards the job itself."""

    @property
    def state(self) -> JobState: ...

    @property
    def reason(self) -> JobReason | None: ...

    @property
    def attempt(self) -> int: ...

    @property
    def error(self) -> RunError | None: ...


def message_of(
    job: Job,
    end: End,
    *,
    message_id: str,
    message_type: MessageType,
    started_at: datetime | None,
    ended_at: datetime,
    result: Result | None,
) -> Message:
    """Return the message that tells of a job and how it ended; of its own facts those that the end does not change."""
    return Message(
        id=message_id,
        type=message_type,
        job_id=job.id,
        function=job.function,
        state=end.state,
        reason=end.reason,
        attempt=end.attempt,
        created_at=job.created_at,
        started_at=started_at,
        ended_at=ended_at,
        tags=job.tags,
        batch_id=job.batch_id,
        parent_id=job.parent_id,
        depth=job.depth,
        error=end.error,
        result=result,
        traceparent=job.origin.traceparent,
    )


AnyMessage = Message | BatchMessage | AlertMessage
"""What a job or a batch owes to the outside, or what there is to tell of a destination."""


_OF_JOBS = frozenset({MessageType.JOB_SUCCEEDED, MessageType.JOB_FAILED})


@record(frozen=True, slots=True, kw_only=True)
class DeliveryDraft:
    """The duty to bring a message to one destination and recipient, not stored yet."""

    id: str
    destination: str
    kind: str
    max_attempts: int
    recipient: str = ""
    is_filtered: bool = False
    """Its filter did not match: it is stored as skipped, and never sent."""


@record(frozen=True, slots=True, kw_only=True)
class LastError:
    """The last failed attempt in short: its class, a sentence, and the HTTP or SMTP status where there was one."""

    reason: DeliveryReason
    message: str
    status: int | None


@record(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The duty to bring one message to one destination and recipient, and how far it got."""

    id: str
    message_id: str
    type: MessageType
    subject_id: str
    """The job's id, the batch's, or the alert's own."""
    destination: str
    kind: str
    recipient: str
    state: DeliveryState
    reason: DeliveryReason | None
    attempt: int
    max_attempts: int
    lost: int
    created_at: datetime
    due_at: datetime
    delivered_at: datetime | None
    last_error: LastError | None
    spent: int = 0
    """So many attempts were made before its last replay, which opened it with the full schedule again."""
    replayed_at: datetime | None = None
    """When it was last replayed."""
    is_by_hand: bool = False
    """Whether that replay was of it alone, and not one of its destination."""
    new_message_id: str | None = None
    """The message id that a replay gave it, in the place of the message's own."""

    @property
    def trigger(self) -> str:
        """Return who makes its attempts: `auto` the service, `manual` its own replay, `replay` its destination's."""
        if self.replayed_at is None:
            return "auto"
        return "manual" if self.is_by_hand else "replay"

    @property
    def sent_message_id(self) -> str:
        """Return the message id that its receiver sees: the `webhook-id`."""
        return self.new_message_id or self.message_id

    @property
    def job_id(self) -> str | None:
        """Return the id of the job that owes it; None where no job does."""
        return self.subject_id if self.type in _OF_JOBS else None

    @property
    def batch_id(self) -> str | None:
        """Return the id of the batch that owes it; None where no batch does."""
        return self.subject_id if self.type is MessageType.BATCH_COMPLETED else None


def sending_of(draft: DeliveryDraft, message: AnyMessage, now: datetime) -> Delivery:
    """Return the delivery as the store holds it where it was claimed as it was inserted."""
    return Delivery(
        id=draft.id,
        message_id=message.id,
        type=message.type,
        subject_id=message.subject_id,
        destination=draft.destination,
        kind=draft.kind,
        recipient=draft.recipient,
        state=DeliveryState.SENDING,
        reason=None,
        attempt=1,
        max_attempts=draft.max_attempts,
        lost=0,
        created_at=now,
        due_at=now,
        delivered_at=None,
        last_error=None,
    )


@record(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that this service may send now, with its message."""

    delivery: Delivery
    token: int
    message: AnyMessage


@record(frozen=True, slots=True, kw_only=True)
class ChildDraft:
    """The job that a delivery to a function makes: what calls it, not stored yet."""

    function: str
    body: bytes
    content_type: str
    subject_id: str
    """What the message is about: the job, the batch, or the alert."""
    parent_id: str | None
    """The job; None where the message is not a job's."""
    depth: int
    """The child's own: one more than its parent's."""
    traceparent: str | None = None


@record(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a destination says of its one try."""

    verdict: Verdict
    reason: DeliveryReason | None = None
    message: str = ""
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    remote_address: str | None = None
    retry_after_s: float | None = None
    """What the receiver asked for, already bounded; None where it asked for nothing readable."""
    patience_s: float | None = None
    """What it is given at the least, without having asked: it cannot keep up. It is not stored."""
    pause_s: float | None = None
    """For so long the receiver wants nothing at all; None where it said nothing of that."""
    disables: str = ""
    """Why the receiver wants nothing any more, in a sentence; empty where it does."""
    child: ChildDraft | None = None
    """The job that takes the message over; it is stored with the attempt."""

    @property
    def is_well(self) -> bool:
        """Tell whether there is nothing to be said against its receiver."""
        return self.verdict is Verdict.DELIVERED and not self.disables


@record(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One recorded try of a delivery."""

    number: int
    trigger: str
    started_at: datetime
    duration_s: float
    outcome: Outcome
    next_attempt_at: datetime | None
    why: str
