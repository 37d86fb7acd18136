"""How it is measured, and what a measurement is."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

CALLERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    per_second: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Tells how often a second something can be done."""

    seconds: float
    """How long to go on with each."""

    async def rate(self, once: Callable[[], Awaitable[object]], callers: int) -> float:
        """Return the rate with so many callers, each of whom waits for one before the next."""
        await asyncio.gather(*(once() for _ in range(callers)))  # what is made at the first time is not measured
        done = 0
        began = time.perf_counter()

        async def caller() -> None:
            nonlocal done
            while time.perf_counter() - began < self.seconds:
                await once()
                done += 1

        await asyncio.gather(*(caller() for _ in range(callers)))
        return done / (time.perf_counter() - began)

    def rate_alone(self, once: Callable[[], object]) -> float:
        """Return the rate of what waits for nothing."""
        done = 0
        began = time.perf_counter()
        while (took := time.perf_counter() - began) < self.seconds / 2 or not done:
            for _ in range(100):
                once()
            done += 100
        return done / took
