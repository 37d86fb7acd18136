"""The worker itself: loads one function and runs what the service sends, one call at a time if its handler is plain."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any, Callable

from .channel import CANCEL, FAILED, PROGRESS, READY, STARTED, UNLOADED, Channel
from .context import Context
from .errors import FailedError, describe
from .levels import watch
from .loading import is_async, load
from .progress import Progress
from .results import encode


class Worker:
    """One function, loaded, and the loop that calls its handler."""

    def __init__(self, channel: Channel, name: str, path: str, result_limit: int, memory_mb: str) -> None:
        self.channel = channel
        self.name = name
        self.path = path
        self.result_limit = result_limit
        self.memory_mb = memory_mb
        self.event_loop: Any = None

    def serve(self) -> None:
        """Load the function and run calls until the service closes the channel, or the function cannot be loaded."""
        try:
            handler = load(self.path)
        except FailedError as failed:
            flush()
            self.channel.send(UNLOADED, head=failed.head)
            return
        if is_async(handler):
            from .tasks import Tasks  # noqa: PLC0415 - asyncio takes 20 ms, which plain functions need not wait for

            tasks = Tasks(self, handler)
            self.channel.send(READY, head={"is_async": True})
            tasks.serve()
            return
        self.channel.send(READY)
        while True:
            frame = self.channel.receive()
            if frame is None:
                return
            kind, run, call, event = frame
            if kind != CANCEL:
                answer = self.run(handler, run, call, event)
                flush()
                self.channel.send(*answer)

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
            import asyncio  # noqa: PLC0415 - as above

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


def main() -> None:
    """Serve until the service closes the channel."""
    name, path, result_limit, memory_mb = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        # By line, so that a killed run's output is there up to its last whole line.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    watch()
    sys.path[0] = os.path.dirname(path)  # in the place of this file's own folder
    sys.argv = [path]
    Worker(Channel(), name, path, int(result_limit), memory_mb).serve()
