"""The crew: the services that run for as long as the whole one does. One that ends in error ends it."""

import asyncio
from collections.abc import Awaitable, Callable

from pipeline.errors import StoreError
from pipeline.telemetry import Telemetry


class Crew:
    """Runs services until `stop`; `fail` is told of the error that one of them ended in."""

    def __init__(self, fail: Callable[[StoreError], None], telemetry: Telemetry) -> None:
        self._fail = fail
        self._telemetry = telemetry
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, serve: Callable[[], Awaitable[None]]) -> None:
        """Have a service run until the end."""
        task = asyncio.ensure_future(serve())
        self._tasks.add(task)
        task.add_done_callback(self._on_end)

    def _on_end(self, task: "asyncio.Future[None]") -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        # A service that ended in error cannot be trusted to have left no gap: a restart rescues everything.
        failure = _of_store(error)
        if failure is None:
            self._telemetry.failed("task.failed", error)
        self._fail(failure or StoreError(f"a service ended: {error!r}"))

    async def stop(self) -> None:
        """End all of them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _of_store(error: BaseException) -> StoreError | None:
    """Return the store's error where there is nothing else behind `error`; it is told by the one line at the end."""
    if isinstance(error, BaseExceptionGroup):
        found = [_of_store(each) for each in error.exceptions]
        return None if None in found else found[0]
    return error if isinstance(error, StoreError) else None
