"""Failures, as the service is told of them."""

from __future__ import annotations

import os
from typing import Any, Iterable

TEXT_LIMIT = 128 * 1024
FRAME_LIMIT = 100
_OWN_FOLDER = os.path.dirname(__file__) + os.sep


class FailedError(Exception):
    """A run's failure that is told to the service as it is."""

    def __init__(self, reason: str, kind: str, message: str, stack: Iterable[str] = (), final: bool = False) -> None:
        super().__init__(message)
        self.head = {"reason": reason, "type": kind, "message": message, "stack": list(stack), "final": final}


def describe(error: BaseException) -> dict[str, Any]:
    """Return the head that tells of an exception, whatever its own methods do."""
    try:
        message = str(error)
    except BaseException:
        message = f"<{type(error).__name__}: its text cannot be had>"
    try:
        is_final = getattr(error, "retryable", True) is False
    except BaseException:
        is_final = False
    reason = "rejected" if is_final else "out_of_memory" if isinstance(error, MemoryError) else "error"
    return FailedError(reason, str(type(error).__name__), message[:TEXT_LIMIT], stack_of(error), is_final).head


def stack_of(error: BaseException) -> list[str]:
    """Return the stack's frames as text, outermost first, without our own; the innermost 100 of a long one."""
    try:
        import traceback  # noqa: PLC0415 - needed by what fails only

        stack = traceback.extract_tb(error.__traceback__, -FRAME_LIMIT)
        users = traceback.StackSummary.from_list(frame for frame in stack if is_users(frame.filename))
        return [text[:1000] for text in users.format()]
    except BaseException:
        return []


def frames_of(error: BaseException) -> list[tuple[str, int]]:
    """Return file and line of each frame, outermost first."""
    found = []
    at = error.__traceback__
    while at is not None:
        found.append((at.tb_frame.f_code.co_filename, at.tb_lineno))
        at = at.tb_next
    return found


def is_users(filename: str) -> bool:
    return not filename.startswith((_OWN_FOLDER, "<frozen importlib"))
