"""Slots: how many attempts are in flight at once over all destinations, so that none of these takes what another needs.

Every destination has slots of its own, and the rest is for whoever needs more: what hangs holds its own and some of the
rest, and delays no other.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

IN_FLIGHT = 200
"""Attempts in flight at once, over all destinations."""
OWN = 10
"""So many of them each destination has for itself, or an even share of all where that is less."""


def in_flight_at_most(concurrencies: Mapping[str, int]) -> int:
    """Return how many attempts can be in flight at once where destinations have these concurrencies."""
    return min(max(IN_FLIGHT, len(concurrencies)), sum(concurrencies.values()))


class Slots:
    """Hands out slots. Those that a change of the destinations takes away are taken when they come back."""

    def __init__(self) -> None:
        self._own: Mapping[str, int] = {}
        self._rest = 0
        self._held: Counter[str] = Counter()
        self._held_of_rest = 0
        self._waiting: OrderedDict[str, deque[asyncio.Future[bool]]] = OrderedDict()

    @property
    def all(self) -> int:
        """Return how many there are."""
        return self._rest + sum(self._own.values())

    def is_free(self, name: str) -> bool:
        """Tell whether an attempt at a destination would have one at once."""
        return self._held[name] < self._own.get(name, 0) or self._held_of_rest < self._rest

    def share_out(self, concurrencies: Mapping[str, int]) -> None:
        """Share the slots out among destinations, by the concurrency of each."""
        share = max(1, min(OWN, IN_FLIGHT // max(1, len(concurrencies))))
        self._own = {name: min(share, size) for name, size in concurrencies.items()}
        self._rest = max(0, IN_FLIGHT - sum(self._own.values()))
        for name in list(self._waiting):
            while self._held[name] < self._own.get(name, 0) and self._hand_over(name, is_own=True):
                self._held[name] += 1
        while self._held_of_rest < self._rest and self._hand_over_rest():
            self._held_of_rest += 1

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Hold a slot for an attempt at a destination, as soon as there is one."""
        is_own = await self._take(name)
        try:
            yield
        finally:
            self._give_back(name, is_own=is_own)

    async def _take(self, name: str) -> bool:
        if self._held[name] < self._own.get(name, 0):
            self._held[name] += 1
            return True
        if self._held_of_rest < self._rest:
            self._held_of_rest += 1
            return False
        coming: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(coming)
        try:
            return await coming
        except asyncio.CancelledError:
            if coming.done() and not coming.cancelled():
                self._give_back(name, is_own=coming.result())
            raise

    def _give_back(self, name: str, *, is_own: bool) -> None:
        if is_own:
            if self._held[name] > self._own.get(name, 0) or not self._hand_over(name, is_own=True):
                self._held[name] -= 1
        elif self._held_of_rest > self._rest or not self._hand_over_rest():
            self._held_of_rest -= 1

    def _hand_over(self, name: str, *, is_own: bool) -> bool:
        """Give a slot to the next that waits for this destination, if there is one."""
        waiting = self._waiting.get(name, deque[asyncio.Future[bool]]())
        while waiting:
            coming = waiting.popleft()
            if not waiting:
                del self._waiting[name]
            if not coming.done():
                coming.set_result(is_own)
                return True
        return False

    def _hand_over_rest(self) -> bool:
        """Give a slot of the rest away, to each destination in turn."""
        for name in list(self._waiting):
            if self._hand_over(name, is_own=False):
                if name in self._waiting:
                    self._waiting.move_to_end(name)
                return True
        return False
