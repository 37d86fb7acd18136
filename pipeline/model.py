"""The nouns of Sendoff: jobs, runs, messages, deliveries, attempts, with their states and reasons.

Plain frozen values. How states follow each other stands in `lifecycle`, how they are stored in `store`.
Moments (`_at`) are aware datetimes in UTC; spans (`_s`) are seconds as float.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class JobState(StrEnum):
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Tell whether a job in this state has ended."""
        return self in FINAL_JOB_STATES


FINAL_JOB_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


class JobReason(StrEnum):
    """Why a run, and with its last run a job, failed."""

    ERROR = "error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    BAD_RESPONSE = "bad_response"
    BAD_STATUS = "bad_status"
    TOO_LARGE = "too_large"
    REJECTED = "rejected"
    LOST = "lost"


class RunState(StrEnum):
    """How a run ended; `running` is shown for the current one and never stored."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETURNED = "returned"
    LOST = "lost"
    CANCELLED = "cancelled"


class DeliveryState(StrEnum):
    """Where a delivery stands; `held` is shown for an open one whose destination does not take it, never stored."""

    PENDING = "pending"
    SENDING = "sending"
    RETRYING = "retrying"
    HELD = "held"
    DELIVERED = "delivered"
    DEAD = "dead"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Tell whether a delivery in this state is still owed."""
        return self in OPEN_DELIVERY_STATES


OPEN_DELIVERY_STATES = frozenset(
    {DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING, DeliveryState.HELD}
)


class DeliveryReason(StrEnum):
    """Why a delivery stands where it stands: the error classes of an attempt first, then the verdicts on the whole."""

    DNS_ERROR = "dns_error"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_RESET = "connection_reset"
    NETWORK_UNREACHABLE = "network_unreachable"
    TIMEOUT = "timeout"
    TLS_ERROR = "tls_error"
    REDIRECT = "redirect"
    BLOCKED_ADDRESS = "blocked_address"
    TOO_LARGE = "too_large"
    ABORTED = "aborted"
    HTTP_ERROR = "http_error"
    SMTP_ERROR = "smtp_error"
    TEMPLATE_ERROR = "template_error"
    AUTH_ERROR = "auth_error"
    FILTERED = "filtered"
    REJECTED = "rejected"
    GONE = "gone"
    LOST = "lost"
    TOO_DEEP = "too_deep"
    PAUSED = "paused"
    DISABLED = "disabled"
    UNCONFIGURED = "unconfigured"


class MessageType(StrEnum):
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"


class Verdict(StrEnum):
    """What one attempt at a destination means for its delivery."""

    DELIVERED = "delivered"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a function returned, in the form of a response; a plain JSON value is a 200 of type application/json."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def content_type(self) -> str | None:
        """Return the value of the Content-Type header, or None where there is none."""
        return next((value for name, value in self.headers if name.lower() == "content-type"), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """A function's error in AWS's words: type, message, and the frames of the stack, outermost first."""

    type: str
    message: str
    stack: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that a run wrote; `number` counts from 1 within the job, dropped lines included."""

    number: int
    run: int
    at: datetime
    stream: str
    level: str | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a run wrote: the newest lines that fit, and how many older ones were dropped."""

    lines: tuple[tuple[datetime, str, str], ...] = ()
    """(at, stream, text), oldest first; stream is `stdout` or `stderr`."""
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run last said of how far it is, in units of its own."""

    done: float | None = None
    total: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One run as the function process needs to know it; `event` is the event's JSON, passed on byte for byte."""

    id: str
    function: str
    event: bytes
    timeout_s: float
    is_background: bool
    attempt: int = 1
    max_attempts: int = 1
    batch_id: str | None = None
    parent_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """The verdict on one run: succeeded, failed, returned (it never had its chance) or cancelled."""

    state: RunState
    reason: JobReason | None = None
    result: Result | None = None
    error: RunError | None = None
    is_final: bool = False
    """A failure that must not be tried again (`context.reject`, `retryable = False`)."""
    retry_after_s: float | None = None
    """What a response with a status of 500 or more asked for in its Retry-After; the policy may wait longer."""
    output: Output = field(default_factory=Output)
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The durable record of one invocation, without its bodies."""

    id: str
    function: str
    state: JobState
    reason: JobReason | None
    priority: int
    attempt: int
    max_attempts: int
    run: int
    lost: int
    round: int
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    timeout_s: float
    tags: tuple[str, ...]
    batch_id: str | None
    parent_id: str | None
    replay_of: str | None
    depth: int
    error: RunError | None
    progress: Progress | None = None
    """As stored: what its current run last said, or its last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDraft:
    """A job that is not stored yet."""

    id: str
    function: str
    event: bytes
    max_attempts: int
    timeout_s: float
    priority: int = 5
    tags: tuple[str, ...] = ()
    parent_id: str | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on a claimed row: who holds it, by which token, until when."""

    owner: str
    token: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedJob:
    """A job that this service may run now."""

    job: Job
    token: int
    event: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a job."""

    run: int
    attempt: int
    round: int
    state: RunState
    reason: JobReason | None
    started_at: datetime
    ended_at: datetime | None
    error: RunError | None


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryDraft:
    """The duty to bring a message to one destination and recipient, not stored yet."""

    id: str
    destination: str
    kind: str
    max_attempts: int
    recipient: str = ""
    is_filtered: bool = False
    """Its filter did not match: it is stored as skipped, and never sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError:
    """The last failed attempt in short: its class, a sentence, and the HTTP or SMTP status where there was one."""

    reason: DeliveryReason
    message: str
    status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The duty to bring one message to one destination and recipient, and how far it got."""

    id: str
    message_id: str
    type: MessageType
    job_id: str
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that this service may send now, with its message."""

    delivery: Delivery
    token: int
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildDraft:
    """The job that a delivery to a function makes: what calls it, not stored yet."""

    function: str
    body: bytes
    content_type: str
    parent_id: str
    depth: int
    """The child's own: one more than its parent's."""


@dataclass(frozen=True, slots=True, kw_only=True)
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
    child: ChildDraft | None = None
    """The job that takes the message over; it is stored with the attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One recorded try of a delivery."""

    number: int
    trigger: str
    started_at: datetime
    duration_s: float
    outcome: Outcome
    next_attempt_at: datetime | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationStatus:
    """What is stored of a destination between restarts."""

    name: str
    kind: str
    last_success_at: datetime | None
