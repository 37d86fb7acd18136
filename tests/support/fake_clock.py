"""A clock that stands still until a test moves it."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)


class FakeClock:
    """A Clock whose hands a test moves. Whoever sleeps wakes once the hands have passed the end of the sleep."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 0.0
        self._sleepers: dict[asyncio.Future[None], float] = {}

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float, wakeup: asyncio.Event | None = None) -> None:
        if seconds <= 0 or (wakeup is not None and wakeup.is_set()):
            await asyncio.sleep(0)
            return
        due: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers[due] = self._monotonic + seconds
        try:
            if wakeup is None:
                await due
            else:
                await _first(due, asyncio.ensure_future(wakeup.wait()))
        finally:
            del self._sleepers[due]
            due.cancel()

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once, and let those run who wake from that; what sleeps anew sleeps from now on."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        for due, at in self._sleepers.items():
            if at <= self._monotonic and not due.done():
                due.set_result(None)
        await settled()

    def turn(self, seconds: float) -> None:
        """Turn the clock on the wall, forwards or back, as an administrator may: nobody wakes, nobody slept."""
        self._now += timedelta(seconds=seconds)

    @property
    def sleepers(self) -> list[float]:
        """Return how many seconds are left to each who sleeps, soonest first."""
        return sorted(at - self._monotonic for at in self._sleepers.values())


async def _first(due: "asyncio.Future[None]", woken: "asyncio.Future[object]") -> None:
    try:
        await asyncio.wait((due, woken), return_when=asyncio.FIRST_COMPLETED)
    finally:
        woken.cancel()


async def settled(turns: int = 20) -> None:
    """Let every task that is ready run, and those that become ready by that."""
    for _ in range(turns):
        await asyncio.sleep(0)
