"""Serves the service: loads one function, and runs what comes, one call at a time if its handler is plain."""

from __future__ import annotations

import os
import sys

from .channel import CANCEL, READY, UNLOADED, Channel
from .errors import FailedError
from .levels import watch
from .loading import is_async, load
from .worker import Worker, flush


def serve(worker: Worker) -> None:
    """Load the function and run calls until the service closes the channel, or the function cannot be loaded."""
    channel = worker.channel
    try:
        handler = load(worker.path)
    except FailedError as failed:
        flush()
        channel.send(UNLOADED, head=failed.head)
        return
    if is_async(handler):
        from .tasks import Tasks  # noqa: PLC0415 - asyncio takes 20 ms, which plain functions need not wait for

        tasks = Tasks(worker, handler)
        channel.send(READY, head={"is_async": True})
        tasks.serve()
        return
    channel.send(READY)
    while True:
        frame = channel.receive()
        if frame is None:
            return
        kind, run, call, event = frame
        if kind != CANCEL:
            answer = worker.run(handler, run, call, event)
            flush()
            channel.send(*answer)


def main() -> None:
    """Serve until the service closes the channel."""
    name, path, result_limit, memory_mb = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        # By line, so that a killed run's output is there up to its last whole line.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    watch()
    sys.path[0] = os.path.dirname(path)  # in the place of this file's own folder
    sys.argv = [path]
    serve(Worker(Channel(), name, path, int(result_limit), memory_mb))
