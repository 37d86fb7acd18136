"""What a handler is told of its run, and can say of it."""

from __future__ import annotations

import os
import time
from typing import Any, Callable


class Rejected(Exception):  # noqa: N818 - callers see this name as errorType
    """What `context.reject` raises: the run has failed for good, whatever else happens in it."""

    retryable = False


class Context:
    """The facts of one run, by the names that AWS's Python context gives them, and a few of Sendoff's own."""

    function_version = "$LATEST"
    client_context = None
    identity = None

    def __init__(self, name: str, memory_mb: str, call: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
        self.function_name = name
        self.invoked_function_arn = f"arn:sendoff:function:{name}"
        self.memory_limit_in_mb = memory_mb
        self.log_group_name = f"/sendoff/{name}"
        self.log_stream_name = f"{os.getpid()}"
        self.aws_request_id = self.job_id = call["id"]
        self.attempt = call["attempt"]
        self.max_attempts = call["max_attempts"]
        self.batch_id = call["batch_id"]
        self.parent_id = call["parent_id"]
        self._ends = time.monotonic() + call["timeout_s"]
        self._rejection: Rejected | None = None
        self._tell = tell

    def get_remaining_time_in_millis(self) -> int:
        """Return the time until the run's limit, 0 once it is reached."""
        return max(0, int((self._ends - time.monotonic()) * 1000))

    def progress(self, done: float | None = None, total: float | None = None, note: str | None = None) -> None:
        """Say how far the run is, in units of your own: the job shows it. Call it as often as you like."""
        self._tell({"done": number(done, "done"), "total": number(total, "total"), "note": text(note)})

    def reject(self, message: str) -> None:
        """Fail the run for good: it is not tried again. Raises, and does not return."""
        self._rejection = Rejected(message)
        raise self._rejection

    def raise_rejection(self) -> None:
        """Raise anew what `reject` raised: the handler may have swallowed it."""
        if self._rejection is not None:
            raise self._rejection


def number(value: float | None, name: str) -> float | None:
    """Return a number as it is; TypeError for what is none, ValueError for what JSON cannot hold."""
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if value - value != 0:
        raise ValueError(f"{name} must be a finite number, got {value}")
    return value


def text(note: str | None) -> str | None:
    """Return a note as text, the first 1,000 characters of a long one."""
    return None if note is None else str(note)[:1000]
