"""Jobs and their runs: what is asked of a function, what it said, and what came of it."""

from dataclasses import field
from datetime import datetime

from pipeline.model.states import JobReason, JobState, RunState
from pipeline.records import record


@record(frozen=True, slots=True, kw_only=True)
class Result:
    """What a function returned, in the form of a response; a plain JSON value is a 200 of type application/json."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def content_type(self) -> str | None:
        """Return the value of the Content-Type header, or None where there is none."""
        return next((value for name, value in self.headers if name.lower() == "content-type"), None)


@record(frozen=True, slots=True, kw_only=True)
class RunError:
    """A function's error in AWS's words: type, message, and the frames of the stack, outermost first."""

    type: str
    message: str
    stack: tuple[str, ...] = ()


LEVELS = ("debug", "info", "warning", "error", "critical")
"""The levels that a log line may have, where its level is known."""


@record(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that a run wrote; `number` counts from 1 within the job, dropped lines included."""

    number: int
    run: int
    at: datetime
    stream: str
    level: str | None
    text: str


@record(frozen=True, slots=True, kw_only=True)
class Output:
    """What a run wrote: the newest lines that fit, and how many older ones were dropped."""

    lines: tuple[tuple[datetime, str, str | None, str], ...] = ()
    """(at, stream, level, text), oldest first; stream is `stdout` or `stderr`, level one of LEVELS or not known."""
    dropped: int = 0


@record(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run last said of how far it is, in units of its own."""

    done: float | None = None
    total: float | None = None
    note: str | None = None


@record(frozen=True, slots=True, kw_only=True)
class Call:
    """One run as the function process needs to know it; `event` is the event's JSON, passed on byte for byte."""

    id: str
    function: str
    event: bytes
    timeout_s: float
    is_background: bool
    run: int = 0
    """The job's run; 0 for a synchronous call, which is no job."""
    attempt: int = 1
    max_attempts: int = 1
    batch_id: str | None = None
    parent_id: str | None = None


@record(frozen=True, slots=True, kw_only=True)
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

    @property
    def duration_s(self) -> float | None:
        """Return how long it ran, or None where it did not begin."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


@record(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a job comes from, as far as only few jobs have anything to say of it."""

    owner: str | None = None
    """The name of the key that made it; None without keys."""
    replay_of: str | None = None
    """The job that it repeats."""
    key: str | None = None
    """Its caller's own name for it, within a batch."""
    digest: str | None = None
    """Of the batch's item that it was made of: the same item, sent again, has the same."""
    traceparent: str | None = None
    """The W3C trace that its caller belongs to, passed on to the function and to webhooks."""
    callback: str | None = None
    """The URL that its caller wants to hear at of how it ended."""
    callback_to: str | None = None
    """The destination that was there for such URLs when the job was accepted."""


@record(frozen=True, slots=True, kw_only=True)
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
    batch_index: int | None
    parent_id: str | None
    depth: int
    error: RunError | None
    origin: Origin = Origin()
    progress: Progress | None = None
    """As stored: what its current run last said, or its last one."""


@record(frozen=True, slots=True, kw_only=True)
class JobDraft:
    """A job that is not stored yet."""

    id: str
    function: str
    event: bytes
    max_attempts: int
    timeout_s: float
    priority: int = 5
    run_at: datetime | None = None
    """Not to be queued before; None: at once."""
    tags: tuple[str, ...] = ()
    batch_id: str | None = None
    batch_index: int | None = None
    parent_id: str | None = None
    depth: int = 0
    origin: Origin = Origin()
    max_age_s: float | None = None
    """Not started so long after it was stored, it expires; None: it waits as long as it takes."""


@record(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on a claimed row: who holds it, by which token, until when."""

    owner: str
    token: int
    expires_at: datetime


@record(frozen=True, slots=True, kw_only=True)
class ClaimedJob:
    """A job that this service may run now."""

    job: Job
    token: int
    event: bytes


@record(frozen=True, slots=True, kw_only=True)
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
