"""Rehearses templates: fills each in once, before there is any message (reliability, finding 23).

What results look like nobody knows before there are some: in their place stands a value that can be used as anything.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, SupportsIndex

from destinations.base import End, Sending
from destinations.bodies.seen import seen_by_templates
from destinations.templates.rendering import TemplateFaultError
from pipeline.model import (
    AlertMessage,
    AnyMessage,
    Batch,
    BatchLine,
    BatchMessage,
    BatchState,
    JobReason,
    JobState,
    Message,
    MessageType,
    RunError,
)

_AT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
_ID = "019b8e07-4600-7000-8000-000000000001"
_ERROR = RunError(type="ValueError", message="no words", stack=("line 1",))

ENDS: Mapping[End, str] = MappingProxyType(
    {
        JobState.SUCCEEDED: "a job that succeeded",
        JobState.FAILED: "a job that failed",
        JobState.EXPIRED: "a job that expired, which has no error",
        BatchState.COMPLETED: "a batch whose jobs all succeeded",
        BatchState.COMPLETED_WITH_FAILURES: "a batch with failures",
        MessageType.DISABLED: "an alert, which is of no job",
    }
)
"""The ends that messages tell of, in words."""
_WITH_RESULTS = frozenset({JobState.SUCCEEDED, JobState.FAILED})  # what answered with a bad status has a result too


Fill = Callable[[Mapping[str, Any]], object]
"""Fills a template in with what it sees; raises TemplateFaultError where that fails."""


def fault_of(fill: Fill, end: End) -> str | None:
    """Return why a template cannot be filled in for a message of this end, or None."""
    try:
        fill(_seen(end))
    except TemplateFaultError as fault:
        return str(fault)
    return None


def fault_of_all(fill: Fill, fill_certainly: Fill) -> str | None:
    """Return what is wrong with a template that no message could fill in, or None.

    `fill_certainly` fills in only what does not depend on a result, and fails where no result could help.
    """
    faults = [
        # What depends on results may fit those that come.
        (fault_of(fill, end) and fault_of(fill_certainly, end)) if end in _WITH_RESULTS else fault_of(fill, end)
        for end in ENDS
    ]
    if all(faults):
        return f"expected a template that can be filled in, got {_plainest(faults)}"
    return None


def sentences(fill: Fill, ends: frozenset[End]) -> Iterator[str]:
    """Yield for which of `ends` a template cannot be filled in, and why."""
    for end in ENDS:
        if end in ends and (fault := fault_of(fill, end)):
            yield f"cannot be filled in for {ENDS[end]}: {fault}"


def _plainest(faults: Sequence[str | None]) -> str | None:
    # What is None for one kind of message is there for another; the fault that stays is the author's.
    return next((fault for fault in faults if fault and "'None' has" not in fault), faults[0])


def _seen(end: End) -> dict[str, Any]:
    sending = Sending(
        delivery_id=_ID,
        destination="a",
        recipient="a@example.com",
        attempt=1,
        max_attempts=1,
        message=_message(end),
        base_url="http://127.0.0.1",
        started_at=_AT,
    )
    return seen_by_templates(sending) | ({"result": _Anything()} if end is JobState.SUCCEEDED else {})


def _message(end: End) -> AnyMessage:
    match end:
        case BatchState():
            return _of_batch(end)
        case JobState():
            return _of_job(end)
        case MessageType():
            return _alert(end)


def _alert(type_: MessageType) -> AlertMessage:
    return AlertMessage(
        id=f"msg_{_ID}",
        subject_id=_ID,
        type=type_,
        destination="a",
        kind="webhook",
        because="it has failed",
        delivery_id=_ID,
        at=_AT,
        ended_at=_AT,
    )


def _of_job(end: JobState) -> Message:
    return Message(
        id=f"msg_{_ID}",
        type=MessageType.JOB_SUCCEEDED if end is JobState.SUCCEEDED else MessageType.JOB_FAILED,
        job_id=_ID,
        function="a-background",
        state=end,
        reason=JobReason.ERROR if end is JobState.FAILED else None,
        attempt=1,
        created_at=_AT,
        started_at=_AT,
        ended_at=_AT,
        # What is there sometimes is there: a template that needs it is not wrong.
        tags=("a", "b"),
        batch_id=_ID,
        parent_id=_ID,
        depth=1,
        error=_ERROR if end is JobState.FAILED else None,
        result=None,
    )


def _of_batch(end: BatchState) -> BatchMessage:
    failed = BatchLine(
        index=1, key="a.pdf", job_id=_ID, state=JobState.FAILED, reason=JobReason.ERROR, error=_ERROR, result=None
    )
    failures = (failed,) if end is BatchState.COMPLETED_WITH_FAILURES else ()
    batch = Batch(
        id=_ID,
        function="a-background",
        state=end,
        round=1,
        owner=None,
        is_cancelled=False,
        total=2,
        succeeded=2 - len(failures),
        failed=len(failures),
        cancelled=0,
        expired=0,
        created_at=_AT,
        ended_at=_AT,
    )
    return BatchMessage(id=f"msg_{_ID}", batch=batch, ended_at=_AT, failures=failures)


class _Anything(dict[str, Any]):
    """A result of which nothing is known: an empty mapping that has every key, is every number, and lists itself."""

    def __getattr__(self, name: str) -> "_Anything":
        # Python asks for the first to see what kind of value it is, the sandbox for the others.
        if name.startswith("__") or name in ("unsafe_callable", "alters_data"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: object) -> "_Anything":
        return _Pairs() if key == "items" else self

    def get(self, key: object, default: object = None) -> "_Anything":
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter([self])

    def __reversed__(self) -> Iterator[Any]:
        return iter([self])

    def __call__(self, *_: object, **__: object) -> "_Anything":
        return self

    def __str__(self) -> str:
        return ""

    def __len__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        return True

    def __hash__(self) -> int:  # type: ignore[override]  # a key of a mapping, for `groupby` and `unique`
        return 0

    def __int__(self) -> int:
        return 1

    def __float__(self) -> float:
        return 1.0

    def __index__(self) -> SupportsIndex:
        return 1

    def __round__(self, digits: int = 0) -> float:
        return 1.0

    def __lt__(self, other: object) -> bool:
        return False

    def _combined(self, *_: object) -> "_Anything":
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _combined
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _combined
    __neg__ = __pos__ = __abs__ = _combined
    __le__ = __gt__ = __ge__ = __lt__


class _Pairs(_Anything):
    """What is at `items`: a key, or the method, of which two names are wanted."""

    def __call__(self, *_: object, **__: object) -> Any:
        return ()
