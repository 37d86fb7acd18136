"""A place apart: a thread with an event loop of its own, so that what runs there may block, or never end, alone.

Who asks waits on the loop of the service, for a limited time, and gives up what does not end when it is cancelled.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar, cast

T = TypeVar("T")
P = ParamSpec("P")

GRACE_S = 2.0
"""So long what was cancelled may take to end; less than a drain waits for what it breaks off."""


class TooLongError(Exception):
    """It took longer than it may, and was cancelled."""


class BrokenOffError(Exception):
    """It ended by what ends tasks, threads and programs, though nobody had asked for that."""


class Apart:
    """One thread and its loop. Made, used and ended on one and the same other loop."""

    def __init__(self, name: str) -> None:
        """Start the thread. It is a daemon: where it cannot be ended it does not keep the program from ending."""
        self._here = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_Daemons())
        self._over: asyncio.Future[None] = self._here.create_future()
        self._leave = asyncio.Event()
        self._is_ending = False
        self._calls: set[_Call[Any]] = set()
        self._stuck: set[_Call[Any]] = set()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    @property
    def stuck(self) -> int:
        """Return how many calls were given up, and have not ended yet."""
        return len(self._stuck)

    async def run(self, make: Callable[[], Awaitable[T]], limit_s: float) -> T:
        """Await there what `make` returns there, and return or raise what it does.

        Raises TooLongError after `limit_s`. Cancellation goes there, and passes through when it has ended, or been
        given up. What ends a thread there, or was cancelled there without being asked to, is a BrokenOffError here.
        """
        call = _Call(make, self._here)
        self._calls.add(call)
        call.ended.add_done_callback(lambda _: self._forget(call))
        self._post(partial(self._begin, call))
        try:
            await self._wait(call, limit_s)
        finally:
            if not call.ended.done():
                await self._stop(call)
        if not call.ended.done():
            raise BrokenOffError("its loop has ended") if self._over.done() else TooLongError
        result, error = call.ended.result()
        if error is not None:
            raise TooLongError() if call.is_cancelled else error
        return cast(T, result)

    async def _stop(self, call: "_Call[Any]") -> None:
        """Cancel a call, and wait a while for its end."""
        call.is_cancelled = True
        if self._over.done():
            return
        self._stuck.add(call)
        self._post(call.cancel)
        await self._wait(call, GRACE_S)

    async def _wait(self, call: "_Call[Any]", seconds: float) -> None:
        ends: set[asyncio.Future[Any]] = {call.ended, self._over}
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    def _forget(self, call: "_Call[Any]") -> None:
        self._calls.discard(call)
        self._stuck.discard(call)

    async def end(self) -> bool:
        """End the loop with all its tasks; tell whether the thread has ended in time. If not, it is given up."""
        self._post(self._leave.set)
        await asyncio.wait({self._over}, timeout=GRACE_S)
        if self._over.done():
            self._thread.join()  # to say so was the last thing that it did
        return self._over.done()

    def _post(self, callback: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop there has been closed
            self._loop.call_soon_threadsafe(callback)

    # In the thread

    def _live(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                try:
                    runner.run(self._until_told())
                finally:
                    self._is_ending = True
        except BaseException as error:  # such as SystemExit of a task there: the thread's affair, not the program's
            self._loop.call_exception_handler({"message": "a plug-in ended its own loop", "exception": error})
        finally:
            _tell(self._here, _settle, self._over, None)

    def _begin(self, call: "_Call[Any]") -> None:
        if not self._is_ending:  # what cleans up after the others must not be disturbed
            call.begin()

    async def _until_told(self) -> None:
        await self._leave.wait()


class _Call(Generic[T]):
    """One thing to be awaited there, and its end here."""

    def __init__(self, make: Callable[[], Awaitable[T]], here: asyncio.AbstractEventLoop) -> None:
        self.ended: asyncio.Future[tuple[T | None, Exception | None]] = here.create_future()
        """What it returned, or else what it raised."""
        self.is_cancelled = False
        self._make = make
        self._here = here
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin, there; not what was given up before the loop there came to it."""
        if self.is_cancelled:
            self._end(None, BrokenOffError("it was given up before it began"))
        else:
            self._task = asyncio.ensure_future(self._run())

    def cancel(self) -> None:
        """Cancel it, there."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            result = await self._make()
        except Exception as error:
            self._end(None, error)
        except BaseException as error:  # CancelledError, SystemExit and such: they would end more than this call
            self._end(None, BrokenOffError(f"it ended by {type(error).__name__}"))
        else:
            self._end(result, None)

    def _end(self, result: Any, error: Exception | None) -> None:
        _tell(self._here, _settle, self.ended, (result, error))


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[P, object], *args: P.args, **_: P.kwargs) -> None:
    with suppress(RuntimeError):  # nobody is there any more
        loop.call_soon_threadsafe(callback, *args)


def _settle(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


class _Daemons(ThreadPoolExecutor):
    """Runs each call in a daemon thread of its own. Those of the library are waited for when the program ends, however
    long they hang.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # whoever waits for it gets it
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=work, daemon=True).start()
        return future
