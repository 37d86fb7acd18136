"""The next moment at which something is to be done: one service sleeps until then, others bring it forward."""

import asyncio
from datetime import datetime, timedelta

from pipeline.clock import Clock

_LONGEST_S = 60.0


class NextMoment:
    """What a service sleeps until that asks the store for the moments: they are stored, and not kept here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wakeup = asyncio.Event()
        self._next: datetime | None = None

    def expect(self, at: datetime | None) -> None:
        """Note that something will be due at `at`; None: nothing."""
        if at is not None and (self._next is None or at < self._next):
            self._next = at
            self._wakeup.set()

    def forget(self) -> None:
        """Forget what was expected; to be called before the store is asked what is due, and when the next is."""
        self._next = None

    async def wait(self) -> None:
        """Sleep until the next moment that is expected, a minute at the most."""
        self._wakeup.clear()
        await self._clock.sleep(self._wait_s(), self._wakeup)

    def _wait_s(self) -> float:
        if self._next is None:
            return _LONGEST_S
        # A moment later than the stored one, since a timer may fire a little early.
        left = self._next - self._clock.now() + timedelta(milliseconds=1)
        return min(max(left.total_seconds(), 0.0), _LONGEST_S)
