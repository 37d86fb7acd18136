"""A lane: the slots of one function or one destination, and the loop that claims work for the free ones.

Lanes keep functions, and destinations, out of each other's way. A lane's `backlog` counts the rows that wait in the
store, so that nothing is claimed in vain; the store remains what is true, and a claim that finds less sets the count
right.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from pipeline.clock import Clock

T = TypeVar("T")

_MOST_AHEAD = 128
_WEIGHT = 0.1  # of the newest measurement in a moving average


class Lane(Generic[T]):
    """The slots of one function or destination."""

    def __init__(
        self,
        name: str,
        size: int,
        *,
        claim: Callable[[int], Awaitable[Sequence[T]]],
        start: Callable[[T], None],
        clock: Clock,
    ) -> None:
        """`claim` asks the store for up to n rows; `start` begins work on one and has it call `release` at its end."""
        self.name = name
        self.size = size
        self.in_hand = 0
        self.backlog = 0
        self.is_open = True
        self._added = 0
        self._asked = 0
        self._claim = claim
        self._start = start
        self._clock = clock
        self._claim_s = 0.0
        self._work_s = 0.0
        self._wakeup = asyncio.Event()

    @property
    def free(self) -> int:
        """Return how many rows more may be in hand."""
        return self.size + self._ahead - self.in_hand

    @property
    def _ahead(self) -> int:
        """Return how many rows to hold ready beyond the slots: as many as are worked off while one claim is under way.

        A claim takes a commit's time. Where the work takes longer than that, nothing is claimed ahead.
        """
        return min(_MOST_AHEAD, int(self.size * self._claim_s / self._work_s)) if self._work_s else 0

    def offer(self) -> bool:
        """Take a slot for a row about to be inserted, if one is free and nothing waits; `release` gives it back."""
        if not self.is_open or self.backlog or self.free <= 0:
            return False
        self.in_hand += 1
        return True

    def release(self) -> None:
        """Give a slot back."""
        self.in_hand -= 1
        if self.backlog:
            self._wakeup.set()

    def measure(self, work_s: float) -> None:
        """Note how long one row kept a slot busy, where it is of use to hold rows ready."""
        self._work_s += (work_s - self._work_s) * _WEIGHT if self._work_s else work_s

    def add(self, count: int = 1) -> None:
        """Note that so many rows more wait in the store."""
        self.backlog += count
        self._added += count
        if self.free > 0:
            self._wakeup.set()

    @property
    def mark(self) -> int:
        """Return a mark to be taken before the rows in the store are counted for `recount`."""
        return self._added

    def recount(self, count: int, *, since: int | None = None) -> None:
        """Set how many rows wait in the store, as counted there after the mark `since` was taken, or just now.

        What was added meanwhile, or is being claimed, may be in the count or not: it is counted on top, since too high
        a count costs one claim in vain, and too low a one leaves rows waiting.
        """
        self.backlog = self._asked + (0 if since is None else self._added - since)
        self.add(count)

    def close(self) -> None:
        """Claim nothing any more."""
        self.is_open = False

    async def feed(self) -> None:
        """Claim work for free slots for as long as there is any; runs until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self.is_open and self.backlog and (free := self.free) > 0:
                await self._fill(free)

    async def _fill(self, free: int) -> None:
        self.in_hand += free
        self._asked = free
        began = self._clock.monotonic()
        added = self._added
        claimed: Sequence[T] = ()
        try:
            claimed = await self._claim(free)
        finally:
            self.in_hand -= free - len(claimed)
            self._asked = 0
        self._claim_s += (self._clock.monotonic() - began - self._claim_s) * _WEIGHT
        if len(claimed) == free:
            self.backlog = max(0, self.backlog - free)
        else:
            # Nothing is left of what the claim could see; what was noted meanwhile may have come too late for it.
            self.backlog = self._added - added
        for row in claimed:
            self._start(row)
