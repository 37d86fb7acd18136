"""A loop of its own in a thread of its own for one trial: one that is blocked is told from one that waits."""

import asyncio
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from destinations.conformance.leftovers import names_of, threads_and_files, unseen

_LOOK_S = 0.05


class Living:
    """Runs one coroutine to its end; what it leaves behind is in `left` afterwards."""

    def __init__(self, patience_s: float) -> None:
        self.left: list[str] = []
        self._patience_s = patience_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._is_over = False
        self._has_ended = threading.Event()

    def run(self, main: Callable[[], Awaitable[None]], let_go: Callable[[], None]) -> None:
        """Run it, and raise what it raised; AssertionError where it blocks its loop, once `let_go` was called."""
        with threads_and_files(self.left, self._patience_s):
            thread = _Thread(target=self._live, args=(main,), name="conformance", daemon=True)
            thread.start()
            looks_left = int(3 * self._patience_s / _LOOK_S)  # what is left has its own patience first
            while not self._has_ended.wait(_LOOK_S) and looks_left:
                if not self._answers():
                    where = _where(thread)
                    let_go()
                    raise AssertionError(f"it blocks the event loop, at {where}")
                looks_left -= self._is_over
            if looks_left:
                thread.join()
            else:
                self.left.append("a task that ignores that it is cancelled")
            error, self._error = self._error, None
            main = _nothing  # what belongs to the destination must be free to go
        if error is not None:
            raise error

    def _answers(self) -> bool:
        """Tell whether the loop comes around, or has ended."""
        if self._loop is None:  # it is about to be made
            return True
        beat = threading.Event()
        try:
            self._loop.call_soon_threadsafe(beat.set)
        except RuntimeError:  # it is closed, and the thread about to end
            return self._has_ended.wait(self._patience_s)
        looks = range(int(self._patience_s / _LOOK_S) + 1)
        return any(beat.wait(_LOOK_S) or self._has_ended.is_set() for _ in looks)

    def _live(self, main: Callable[[], Awaitable[None]]) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                self._loop.set_exception_handler(unseen(self.left))
                runner.run(self._settled(main))
        finally:
            self._has_ended.set()

    async def _settled(self, main: Callable[[], Awaitable[None]]) -> None:
        try:
            await main()
        except BaseException as error:  # raised where the check was asked for
            self._error = error
            return
        finally:
            self._is_over = True
        others = asyncio.all_tasks() - {asyncio.current_task()}
        pending: set[Any] = set()
        if others:
            _, pending = await asyncio.wait(others, timeout=self._patience_s)
        self.left += names_of(pending)


class _Thread(threading.Thread):
    """A daemon, as one that is blocked must not keep the program from ending; threads that are started in it are none,
    as they would not be in a service.
    """

    _is_running = False

    @property
    def daemon(self) -> bool:  # type: ignore[override]  # it is set by the constructor alone
        return not self._is_running

    def run(self) -> None:
        self._is_running = True
        super().run()


async def _nothing() -> None:
    pass


def _where(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    stack = traceback.extract_stack(frame)[-3:] if frame else []
    return " > ".join(f"{each.filename}:{each.lineno} {each.name}" for each in stack)
