"""The promoter: queues what has become due. It sleeps until the next stored moment; no job or delivery sleeps by
itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from pipeline.clock import Clock
from pipeline.services.patience import when_there_is_room
from pipeline.store import Store

_MOST = 500
_LONGEST_S = 60.0

Added = Callable[[Mapping[str, int]], None]


class Promoter:
    """Promotes scheduled and retrying rows when their moment has come."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._wakeup = asyncio.Event()
        self._next: datetime | None = None

    def expect(self, at: datetime) -> None:
        """Note that something will be due at `at`."""
        if self._next is None or at < self._next:
            self._next = at
            self._wakeup.set()

    async def serve(self, add_jobs: Added, add_deliveries: Added) -> None:
        """Promote for ever; tell `add_jobs` and `add_deliveries` what became ready."""
        while True:
            self._wakeup.clear()
            self._next = None
            jobs = await self._promote(self._store.promote_due_jobs, add_jobs)
            deliveries = await self._promote(self._store.promote_due_deliveries, add_deliveries)
            for due_at in (jobs, deliveries):
                if due_at is not None:
                    self.expect(due_at)
            self._wakeup.clear()
            await self._clock.sleep(self._wait_s(), self._wakeup)

    async def _promote(
        self, verb: Callable[..., Awaitable[tuple[Mapping[str, int], datetime | None]]], add: Added
    ) -> datetime | None:
        while True:
            found, due_at = await when_there_is_room(lambda: verb(_MOST, now=self._clock.now()), self._clock)
            add(found)
            if sum(found.values()) < _MOST:
                return due_at

    def _wait_s(self) -> float:
        if self._next is None:
            return _LONGEST_S
        # A moment later than the stored one, since a timer may fire a little early.
        left = self._next - self._clock.now() + timedelta(milliseconds=1)
        return min(max(left.total_seconds(), 0.0), _LONGEST_S)
