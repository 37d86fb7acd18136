"""Messages of every kind, always the same, for what is compared byte for byte; and what is made of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from destinations.base import Sending
from destinations.bodies.base import Body, Form
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
    Result,
    RunError,
)

JOB = "01960000-0000-7000-8000-00000000002a"
BATCH = "01960000-0000-7000-8000-000000000001"
AT = datetime(2026, 3, 1, 12, 0, 0, 123999, tzinfo=UTC)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVENT = b'{"httpMethod":"POST","body":"12 words"}'
LIMIT = 262_144

SUCCEEDED = Message(
    id="msg_01960000-0000-7000-8000-00000000002b",
    type=MessageType.JOB_SUCCEEDED,
    job_id=JOB,
    function="extract-background",
    state=JobState.SUCCEEDED,
    reason=None,
    attempt=2,
    created_at=AT,
    started_at=AT + timedelta(seconds=1),
    ended_at=AT + timedelta(seconds=3),
    tags=("invoices", "März"),
    batch_id=BATCH,
    parent_id=None,
    depth=0,
    error=None,
    result=Result(
        status=200, headers=(("Content-Type", "application/json"),), body=b'{ "words": 12,\n "exact": 1.00 }'
    ),
)
TRACED = replace(SUCCEEDED, traceparent=TRACE)
FAILED = replace(
    SUCCEEDED,
    type=MessageType.JOB_FAILED,
    state=JobState.FAILED,
    reason=JobReason.ERROR,
    result=None,
    error=RunError(type="ValueError", message="no text in “page 3”", stack=('File "extract.py", line 7, in handler',)),
)
BAD_STATUS = replace(
    FAILED,
    reason=JobReason.BAD_STATUS,
    result=Result(status=503, headers=(("content-type", "text/plain"),), body=b"try later"),
    error=RunError(type="BadStatus", message="the function answered 503"),
)
EXPIRED = replace(FAILED, state=JobState.EXPIRED, reason=None, error=None, started_at=None, attempt=0)
LARGE = replace(SUCCEEDED, result=Result(status=200, headers=(), body=b"[" + b"1," * 200_000 + b"1]"))
TEST = replace(SUCCEEDED, type=MessageType.WEBHOOK_TEST, batch_id=None, tags=())
COMPLETED = BatchMessage(
    id="msg_01960000-0000-7000-8000-00000000002d",
    batch=Batch(
        id=BATCH,
        function="extract-background",
        state=BatchState.COMPLETED_WITH_FAILURES,
        round=1,
        owner=None,
        is_cancelled=False,
        total=3,
        succeeded=2,
        failed=1,
        cancelled=0,
        expired=0,
        created_at=AT,
        ended_at=AT + timedelta(minutes=2),
    ),
    ended_at=AT + timedelta(minutes=2),
    failures=(
        BatchLine(
            index=1,
            key="page 3.pdf",
            job_id=JOB,
            state=JobState.FAILED,
            reason=JobReason.ERROR,
            error=FAILED.error,
            result=None,
        ),
    ),
)
ALERT = AlertMessage(
    id="msg_01960000-0000-7000-8000-00000000002e",
    subject_id="01960000-0000-7000-8000-000000000002",
    type=MessageType.BREAKER_OPENED,
    destination="archive",
    kind="webhook",
    because="10 attempts in a row have failed since 2026-01-05T12:00:00.000Z, the last one: timeout",
    delivery_id="01960000-0000-7000-8000-000000000003",
    at=AT,
    ended_at=AT + timedelta(seconds=3),
)

MESSAGES: dict[str, AnyMessage] = {
    "succeeded": SUCCEEDED,
    "traced": TRACED,
    "failed": FAILED,
    "bad-status": BAD_STATUS,
    "expired": EXPIRED,
    "large": LARGE,
    "test": TEST,
    "batch": COMPLETED,
    "alert": ALERT,
}


def with_result(body: bytes, content_type: str | None = None) -> Message:
    """Return the message of a job that returned these bytes."""
    headers = () if content_type is None else (("Content-Type", content_type),)
    return replace(SUCCEEDED, result=Result(status=200, headers=headers, body=body))


def signed(link: str) -> str:
    """Return a link as it looks where keys are asked for."""
    return f"{link}?sig=v1"


def sending_of(message: AnyMessage, link: Callable[[str], str] = str) -> Sending:
    """Return the first attempt to send a message."""
    return Sending(
        delivery_id="01960000-0000-7000-8000-00000000002c",
        destination="archive",
        recipient="",
        attempt=1,
        max_attempts=12,
        message=message,
        base_url="https://sendoff.example",
        started_at=AT,
        link=link,
    )


def body_of(message: AnyMessage, form: Form, inline_limit: int = LIMIT, link: Callable[[str], str] = str) -> Body:
    """Return the body of a message in a form."""
    return form.make(sending_of(message, link), inline_limit, EVENT)
