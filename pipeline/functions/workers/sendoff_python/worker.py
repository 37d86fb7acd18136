"""One loaded function's runs: how each begins, is called, and is answered."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any, Callable

from .channel import FAILED, PROGRESS, STARTED, Channel
from .context import Context
from .errors import FailedError, describe
from .progress import Progress
from .results import encode


class Worker:
    """One function, and what its runs have in common."""

    def __init__(self, channel: Channel, name: str, path: str, result_limit: int, memory_mb: str) -> None:
        self.channel = channel
        self.name = name
        self.path = path
        self.result_limit = result_limit
        self.memory_mb = memory_mb
        self.event_loop: Any = None

    def begin(self, run: int, call: dict[str, Any]) -> tuple[Context, Progress]:
        """Tell the service that a run begins, and return its context."""
        progress = Progress(lambda said: self.channel.send(PROGRESS, run, said))
        self.channel.send(STARTED, run)
        return Context(self.name, self.memory_mb, call, progress.tell), progress

    def run(
        self, handler: Callable[..., Any], run: int, call: dict[str, Any], event: bytes
    ) -> tuple[int, int, Any, bytes]:
        """Run one call and return the frame that answers it."""
        arguments = json.loads(event.decode())
        context, progress = self.begin(run, call)
        try:
            try:
                value = handler(arguments, context)
                if hasattr(value, "__await__"):
                    value = self.finish(value)
            finally:
                progress.close()
                context.raise_rejection()
            return self.answer(run, call, value)
        except BaseException as error:  # SystemExit too: in a handler it is an exception like any other
            return failed(run, error)

    def answer(self, run: int, call: dict[str, Any], value: Any) -> tuple[int, int, Any, bytes]:
        """Return the frame that tells what a handler returned; raises FailedError for what cannot be told."""
        kind, head, body = encode(value, call["is_background"])
        if len(body) > self.result_limit:
            message = f"the result has {len(body)} bytes, more than the {self.result_limit} that are allowed"
            raise FailedError("too_large", "Function.ResponseSizeTooLarge", message)
        return kind, run, head, body

    def finish(self, value: Any) -> Any:
        """Run what a plain handler returned to be awaited, on the one event loop that lives as long as the process."""
        if self.event_loop is None:
            import asyncio  # noqa: PLC0415 - asyncio takes 20 ms, which few need

            self.event_loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.event_loop)
        return self.event_loop.run_until_complete(value)


def failed(run: int, error: BaseException) -> tuple[int, int, Any, bytes]:
    """Return the frame that tells of a run's failure."""
    return FAILED, run, error.head if isinstance(error, FailedError) else describe(error), b""


def flush() -> None:
    """Write out what was printed, before the service hears that the run has ended."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # the function may have closed or replaced it
            stream.flush()
