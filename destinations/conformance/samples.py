"""Messages of every form that a destination has to do with, and hostile ones."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from destinations.base import Sending
from pipeline.clock import SystemClock
from pipeline.ids import IdSource
from pipeline.model import (
    ALERTS,
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

HOSTILE = "a\r\nBcc: all@example.com\r\n\r\n.\r\n\0\x1b[31m\"'`<b>&{{ 7*7 }}${HOME}/../../etc/passwd%0d%0a\u2028\u202eü"
"""What breaks out of headers, mails, terminals, markup, templates and paths that were not looked after."""
LARGE = 4 * 1024 * 1024
_JSON = "application/json"


class Samples:
    """Makes messages, each with ids of its own, and sendings of them."""

    def __init__(self, destination: str) -> None:
        clock = SystemClock()
        self._destination = destination
        self._ids = IdSource(clock, random.Random())
        self._now = clock.now()

    def sending(self, message: AnyMessage | None = None, recipient: str = "", **changes: Any) -> Sending:
        """Return the first sending of a message, by default of a job that succeeded."""
        facts: dict[str, Any] = {
            "delivery_id": self._ids.new(),
            "destination": self._destination,
            "recipient": recipient,
            "attempt": 1,
            "max_attempts": 12,
            "message": message or self.message(),
            "base_url": "http://127.0.0.1:8888",
            "started_at": self._now,
        }
        return Sending(**(facts | changes))

    def later(self) -> datetime:
        """Return a moment at which the same may be sent again."""
        return self._now + timedelta(seconds=60)

    def message(self, body: bytes = b'{"words": 12}', content_type: str | None = _JSON, **changes: Any) -> Message:
        """Return the message of a job, by default of one that succeeded and returned this."""
        headers = () if content_type is None else (("content-type", content_type),)
        facts: dict[str, Any] = {
            "id": self._ids.message_id(),
            "type": MessageType.JOB_SUCCEEDED,
            "job_id": self._ids.new(),
            "function": "extract-background",
            "state": JobState.SUCCEEDED,
            "reason": None,
            "attempt": 1,
            "created_at": self._now,
            "started_at": self._now,
            "ended_at": self._now,
            "tags": (),
            "batch_id": None,
            "parent_id": None,
            "depth": 0,
            "error": None,
            "result": Result(status=200, headers=headers, body=body),
        }
        return Message(**(facts | changes))

    def forms(self) -> Mapping[str, AnyMessage]:
        """Return messages of every form, by what they are."""
        text = "text/plain; charset=utf-8"
        failed: dict[str, Any] = {"type": MessageType.JOB_FAILED, "state": JobState.FAILED, "reason": JobReason.ERROR}
        error, hostile = RunError(type="ValueError", message="no words"), RunError(type=HOSTILE, message=HOSTILE)
        refused = Result(status=503, headers=(("content-type", text),), body=b"not now")
        gone = {**failed, "reason": JobReason.CRASHED, "result": None}
        expired = {**failed, "state": JobState.EXPIRED, "reason": None, "result": None, "started_at": None}
        inside: dict[str, Any] = {
            "batch_id": self._ids.new(),
            "parent_id": self._ids.new(),
            "tags": ("invoices", "2026"),
        }
        return {
            "a job with a result in JSON": self.message(),
            "a job with a text as result": self.message("Grüße, 世界".encode(), text),
            "a job with bytes as result": self.message(b"%PDF-1.7 \x00\xff\xfe", "application/pdf"),
            "a job with an empty result without a type": self.message(b"", None),
            "a job with the result null": self.message(b"null"),
            "a job with a large result in JSON": self.message(b'"%b"' % (b"x" * LARGE)),
            "a job with large bytes as result": self.message(b"\xff" * LARGE, "application/octet-stream"),
            "a job with a hostile result": self.message(HOSTILE.encode(), text),
            "a job with a result of a hostile type": self.message(b"words", "text/plain" + HOSTILE),
            "a job with hostile tags": self.message(tags=(HOSTILE, "", "x" * 5000)),
            "a job of a batch, started by another job": self.message(**inside, depth=3, traceparent=_TRACE),
            "a job that failed": self.message(**{**failed, "result": None}, error=error),
            "a job that failed with a hostile error": self.message(**{**failed, "result": None}, error=hostile),
            "a job that failed with a response": self.message(**{**failed, "result": refused}),
            "a job that failed without an error": self.message(**gone),
            "a job that expired": self.message(**expired),
            "a test": self.message(type=MessageType.WEBHOOK_TEST),
            "a batch": self.batch(),
            "a batch with failures": self.batch(error, hostile, None),
            **{f"the alert {of}": self.alert(of) for of in sorted(ALERTS)},
            "a hostile alert": self.alert(MessageType.DEAD_DELIVERY, HOSTILE),
        }

    def alert(self, of: MessageType, because: str = "the last five attempts failed") -> AlertMessage:
        """Return what an operator is told of another destination."""
        return AlertMessage(
            id=self._ids.message_id(),
            subject_id=self._ids.new(),
            type=of,
            destination="archive",
            kind="webhook",
            because=because,
            delivery_id=self._ids.new() if of is MessageType.DEAD_DELIVERY else None,
            at=self._now,
            ended_at=self._now,
        )

    def batch(self, *errors: RunError | None) -> BatchMessage:
        """Return the message of a batch in which these jobs failed."""
        failures = tuple(
            BatchLine(
                index=index,
                key=HOSTILE if index else None,
                job_id=self._ids.new(),
                state=JobState.FAILED if error else JobState.EXPIRED,
                reason=JobReason.ERROR if error else None,
                error=error,
                result=None,
            )
            for index, error in enumerate(errors)
        )
        batch = Batch(
            id=self._ids.new(),
            function="extract-background",
            state=BatchState.COMPLETED_WITH_FAILURES if errors else BatchState.COMPLETED,
            round=1,
            owner=None,
            is_cancelled=False,
            total=5,
            succeeded=5 - len(errors),
            failed=sum(error is not None for error in errors),
            cancelled=0,
            expired=sum(error is None for error in errors),
            created_at=self._now,
            ended_at=self._now,
        )
        return BatchMessage(id=self._ids.message_id(), batch=batch, ended_at=self._now, failures=failures)


_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
