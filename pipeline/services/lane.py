"""A lane: the slots of one function or one destination, and the loop that claims work for the free ones.

Lanes keep functions, and destinations, out of each other's way. A lane's `backlog` counts the rows that wait in the
store, so that nothing is claimed in vain; the store remains what is true, and a claim that finds less sets the count
right.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Lane(Generic[T]):
    """The slots of one function or destination."""

    def __init__(
        self, name: str, size: int, claim: Callable[[int], Awaitable[Sequence[T]]], start: Callable[[T], None]
    ) -> None:
        """`claim` asks the store for up to n rows; `start` begins work on one and has it call `release` at its end."""
        self.name = name
        self.size = size
        self.in_hand = 0
        self.backlog = 0
        self.is_open = True
        self._claim = claim
        self._start = start
        self._wakeup = asyncio.Event()

    def offer(self) -> bool:
        """Take a slot for a row that is about to be inserted, if one is free and nothing waits; `release` gives it
        back.
        """
        if not self.is_open or self.backlog or self.in_hand >= self.size:
            return False
        self.in_hand += 1
        return True

    def release(self) -> None:
        """Give a slot back."""
        self.in_hand -= 1
        if self.backlog:
            self._wakeup.set()

    def add(self, count: int = 1) -> None:
        """Note that so many rows more wait in the store."""
        self.backlog += count
        if self.in_hand < self.size:
            self._wakeup.set()

    def recount(self, count: int) -> None:
        """Set how many rows wait in the store, as counted there."""
        self.backlog = 0
        self.add(count)

    def close(self) -> None:
        """Claim nothing any more."""
        self.is_open = False

    async def feed(self) -> None:
        """Claim work for free slots for as long as there is any; runs until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self.is_open and self.backlog and (free := self.size - self.in_hand) > 0:
                await self._fill(free)

    async def _fill(self, free: int) -> None:
        self.in_hand += free
        claimed: Sequence[T] = ()
        try:
            claimed = await self._claim(free)
        finally:
            self.in_hand -= free - len(claimed)
        self.backlog = max(0, self.backlog - len(claimed)) if len(claimed) == free else 0
        for row in claimed:
            self._start(row)
