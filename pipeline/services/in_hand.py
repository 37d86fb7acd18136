"""What a service has in hand: the rows that it has claimed, each with the task that sees it through.

A row is in hand from its claim until its end is written: for as long its lease is renewed. Only while it is worked on
can that be broken off.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from pipeline.errors import StoreError
from pipeline.telemetry import Telemetry

T = TypeVar("T")
Claim = tuple[str, int]
"""The id of a row, and the token of its lease."""
Work = Coroutine[Any, Any, None]


class InHand(Generic[T]):
    """The rows of one kind that a service has in hand."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._worked_on: dict[Claim, tuple[asyncio.Task[None], T]] = {}
        self._written: set[Claim] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, claim: Claim, what: T, work: Work, *, untouched: Callable[[], object]) -> None:
        """Have `work` see a row through; it says when it is `over`. `untouched` is called where it is broken off before
        its first step, so that none of it was done.
        """
        task = self.see_through(work)
        self._worked_on[claim] = task, what
        task.add_done_callback(partial(self._left, claim, untouched))

    def _left(self, claim: Claim, untouched: Callable[[], object], task: asyncio.Task[None]) -> None:
        found = self._worked_on.get(claim)
        if found is not None and found[0] is task:
            del self._worked_on[claim]
            untouched()

    def see_through(self, work: Work) -> asyncio.Task[None]:
        """Begin what is to be waited for before the service ends; a fault in it is told."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, StoreError):  # of that the store tells by itself, once
            self._telemetry.failed("task.failed", error)

    def over(self, claim: Claim) -> None:
        """Note that a row is not worked on any more."""
        self._worked_on.pop(claim, None)

    @contextmanager
    def writing(self, claim: Claim) -> Iterator[None]:
        """Have a row in hand while its end is written."""
        self._written.add(claim)
        try:
            yield
        finally:
            self._written.discard(claim)

    def all(self) -> frozenset[Claim]:
        """Return all that is in hand."""
        return frozenset(self._worked_on) | self._written

    def break_off(self, claims: Iterable[Claim] | None = None) -> list[T]:
        """Break off the work on these rows, or on all; return what was worked on."""
        named = self._worked_on if claims is None else claims
        found = [self._worked_on[each] for each in named if each in self._worked_on]
        for task, _ in found:
            task.cancel()
        return [what for _, what in found]

    async def passed(self) -> None:
        """Return when all that is seen through now has ended."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def drained(self) -> None:
        """Return when nothing is in hand."""
        while self._tasks:
            await asyncio.wait(self._tasks)
