"""An async handler's runs: a task each, on one event loop that also reads the channel."""

from __future__ import annotations

import asyncio
import json
import os
from functools import partial
from typing import Any, Callable

from .channel import CANCEL
from .worker import Worker, failed, flush


class Tasks:
    """All runs under way in this process."""

    def __init__(self, worker: Worker, handler: Callable[..., Any]) -> None:
        self._worker = worker
        self._handler = handler
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def serve(self) -> None:
        """Run what the service sends until it closes the channel."""
        channel = self._worker.channel
        self._loop.add_reader(channel.fileno(), self._read)
        self._loop.run_forever()
        # The service is gone, and nobody is left to be told anything: what still runs is not waited for.
        flush()
        if self._tasks:
            os._exit(1)

    def _read(self) -> None:
        frames = self._worker.channel.receive_ready()
        if frames is None:
            self._loop.stop()
            return
        for kind, run, call, event in frames:
            if kind != CANCEL:
                task = self._tasks[run] = self._loop.create_task(self._run(run, call, event))
                task.add_done_callback(partial(self._ended, run))
            elif run in self._tasks:
                self._tasks[run].cancel()

    def _ended(self, run: int, task: asyncio.Task[None]) -> None:
        del self._tasks[run]
        if task.cancelled():  # before its first step: nothing of it has run, and nothing has answered
            self._worker.channel.send(*failed(run, asyncio.CancelledError()))

    async def _run(self, run: int, call: dict[str, Any], event: bytes) -> None:
        worker = self._worker
        context, progress = worker.begin(run, call)
        try:
            try:
                value = await self._handler(json.loads(event.decode()), context)
            finally:
                progress.close()
                context.raise_rejection()
            answer = worker.answer(run, call, value)
        except BaseException as error:  # cancellation and SystemExit too: the service must hear of every end
            answer = failed(run, error)
        flush()
        worker.channel.send(*answer)
