"""A lane: the slots of one function or one destination, and the loop that claims work for the free ones.

Lanes keep functions, and destinations, out of each other's way. A lane's `backlog` counts the rows that wait in the
store, so that nothing is claimed in vain; the store remains what is true, and a claim that finds less sets the count
right.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

from pipeline.clock import Clock
from pipeline.services.pacing import Pacer

T = TypeVar("T")
Count = Callable[[Collection[str]], Awaitable[Mapping[str, int]]]
"""Counts what waits in the store, by the names of lanes, of which it is told whose."""

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
        self._pacer: Pacer | None = None
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
        """Take a slot for a row about to be inserted, if one is free and nothing waits; `release` gives it back.

        What a claim under way was asked for does not wait any more: the store takes that claim before the row.
        """
        if not self.is_open or self.backlog > self._asked or self.free <= 0:
            return False
        if self._pacer is not None and not self._paced(1):
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
        """Claim nothing any more, or until it is opened again; what is added is counted all the same."""
        self.is_open = False

    def open(self, size: int) -> None:
        """Claim for so many slots from now on. Where there are fewer than before, those in hand are not given up."""
        self.size = size
        self.is_open = True
        if self.backlog:
            self._wakeup.set()

    async def feed(self) -> None:
        """Claim work for free slots for as long as there is any; runs until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self.is_open and self.backlog and (free := self.free) > 0:
                # For no more than wait: the slots that are left are for what is inserted meanwhile.
                asked = min(free, self.backlog)
                if self._pacer is None or (asked := self._paced(asked)):
                    await self._fill(asked)
                else:
                    self._wakeup.clear()
                    await self._clock.sleep(self._pacer.wait_s(), self._wakeup)

    def pace(self, pacer: Pacer | None) -> None:
        """Take turns of `pacer` from now on, until it is over; None: as many at a time as there are slots."""
        self._pacer = pacer
        if self.backlog:
            self._wakeup.set()

    @property
    def pacer(self) -> Pacer | None:
        """Return who counts out the turns, None where nobody does."""
        return self._pacer

    def _paced(self, wanted: int) -> int:
        pacer = self._pacer
        if pacer is not None and pacer.is_over(self.backlog - self._asked):
            self._pacer = pacer = None
        return wanted if pacer is None else pacer.take(wanted)

    async def _fill(self, asked: int) -> None:
        self.in_hand += asked
        self._asked = asked
        began = self._clock.monotonic()
        added = self._added
        claimed: Sequence[T] = ()
        try:
            claimed = await self._claim(asked)
        finally:
            self.in_hand -= asked - len(claimed)
            self._asked = 0
        self._claim_s += (self._clock.monotonic() - began - self._claim_s) * _WEIGHT
        if len(claimed) == asked:
            self.backlog = max(0, self.backlog - asked)
        else:
            # Nothing is left of what the claim could see; what was noted meanwhile may have come too late for it.
            self.backlog = self._added - added
            if self._pacer is not None:
                self._pacer.give_back(asked - len(claimed))
        for row in claimed:
            self._start(row)


class Lanes(Generic[T]):
    """The lanes of all functions or destinations. A lane stays, closed, when its name goes: its slots still come back,
    what waits for it is counted on, and it is opened again should the name return.
    """

    def __init__(
        self, claim: Callable[[str, int], Awaitable[Sequence[T]]], start: Callable[[T], None], clock: Clock
    ) -> None:
        """`claim` is asked with the name of a lane; `start` as for a lane."""
        self._claim = claim
        self._start = start
        self._clock = clock
        self._lanes: dict[str, Lane[T]] = {}
        self._unfed: list[Lane[T]] = []
        self._wakeup = asyncio.Event()
        self._is_stopped = False

    def __getitem__(self, name: str) -> Lane[T]:
        return self._lanes[name]

    def get(self, name: str) -> Lane[T] | None:
        """Return the lane of this name, if there ever was one."""
        return self._lanes.get(name)

    def make(self, sizes: Mapping[str, int]) -> list[Lane[T]]:
        """Have a lane for each of these names; return the lanes that are new: of their sizes, and closed.

        What waits in the store for a new one has not been counted.
        """
        new = [self._new(name, size) for name, size in sizes.items() if name not in self._lanes]
        self._lanes |= {lane.name: lane for lane in new}
        self._unfed += new
        self._wakeup.set()
        return new

    def _new(self, name: str, size: int) -> Lane[T]:
        lane = Lane(name, size, claim=partial(self._claim, name), start=self._start, clock=self._clock)
        lane.close()
        return lane

    def follow(self, sizes: Mapping[str, int]) -> None:
        """Have the lanes of these names open, each of its size, and no other."""
        for name, lane in self._lanes.items():
            if self._is_stopped or name not in sizes:
                lane.close()
            else:
                lane.open(sizes[name])

    def add(self, counts: Mapping[str, int]) -> None:
        """Note that so many rows more wait in the store, by the names of their lanes."""
        for name, count in counts.items():
            if (lane := self._lanes.get(name)) is not None:
                lane.add(count)

    def recount(self, counts: Mapping[str, int]) -> None:
        """Set how many rows wait in the store, as counted there."""
        for name, count in counts.items():
            if (lane := self._lanes.get(name)) is not None:
                lane.recount(count)

    async def count_new(self, lanes: Sequence[Lane[T]], count: Count) -> None:
        """Count what waits for lanes that are new, as `count` says of their names.

        To be done after they began to count for themselves: what is counted twice a claim sets right; what was never
        counted would wait for ever.
        """
        if lanes:
            waiting = await count([lane.name for lane in lanes])
            for lane in lanes:
                lane.add(waiting.get(lane.name, 0))

    async def recount_those(self, names: Iterable[str], count: Count) -> None:
        """Set how many rows wait for these lanes, as `count` says of their names, where some went that nobody claimed.

        Which of them a lane had still counted nobody can say; too low a count would leave others waiting.
        """
        lanes = [lane for name in names if (lane := self._lanes.get(name)) is not None]
        if lanes:
            marks = [lane.mark for lane in lanes]
            waiting = await count([lane.name for lane in lanes])
            for lane, mark in zip(lanes, marks, strict=True):
                lane.recount(waiting.get(lane.name, 0), since=mark)

    def stop(self) -> None:
        """Claim nothing any more."""
        self._is_stopped = True
        for lane in self._lanes.values():
            lane.close()

    async def serve(self) -> None:
        """Feed all lanes, and those that are still to come, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                while self._unfed:
                    group.create_task(self._unfed.pop().feed())
                self._wakeup.clear()
                await self._wakeup.wait()
