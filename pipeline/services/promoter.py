"""The promoter: queues what has become due. It sleeps until the next stored moment; no job or delivery sleeps by
itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from pipeline.clock import Clock
from pipeline.services.moments import NextMoment
from pipeline.services.patience import when_there_is_room
from pipeline.store import Store

_MOST = 500

Added = Callable[[Mapping[str, int]], None]


class Promoter:
    """Promotes scheduled and retrying rows when their moment has come."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._next = NextMoment(clock)

    def expect(self, at: datetime) -> None:
        """Note that something will be due at `at`."""
        self._next.expect(at)

    async def serve(self, add_jobs: Added, add_deliveries: Added) -> None:
        """Promote for ever; tell `add_jobs` and `add_deliveries` what became ready."""
        while True:
            self._next.forget()
            self._next.expect(await self._promote(self._store.promote_due_jobs, add_jobs))
            self._next.expect(await self._promote(self._store.promote_due_deliveries, add_deliveries))
            await self._next.wait()

    async def _promote(
        self, verb: Callable[..., Awaitable[tuple[Mapping[str, int], datetime | None]]], add: Added
    ) -> datetime | None:
        while True:
            found, due_at = await when_there_is_room(lambda: verb(_MOST, now=self._clock.now()), self._clock)
            add(found)
            if sum(found.values()) < _MOST:
                return due_at
