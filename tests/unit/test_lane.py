"""The lane of the services: nothing is claimed in vain, nothing that waits is forgotten, slots come back."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from pipeline.services.lane import _MOST_AHEAD, Lane, Lanes
from tests.support.fake_clock import FakeClock, settled


class Rows:
    """Rows that wait in a store, and a lane that claims them."""

    def __init__(self, size: int, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.waiting: deque[int] = deque()
        self.claims: list[int] = []
        self.started: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.claim_takes_s = 0.0
        self.lane: Lane[int] = Lane("rows", size, claim=self.claim, start=self.started.append, clock=self.clock)

    async def claim(self, most: int) -> Sequence[int]:
        self.claims.append(most)
        found = [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]
        if self.claim_takes_s:
            await self.clock.advance(self.claim_takes_s)
        await self.gate.wait()
        return found

    def insert(self, *rows: int) -> None:
        self.waiting.extend(rows)
        self.lane.add(len(rows))


@asynccontextmanager
async def feeding(size: int) -> AsyncIterator[Rows]:
    rows = Rows(size)
    feeder = asyncio.ensure_future(rows.lane.feed())
    try:
        yield rows
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)


async def test_nothing_is_claimed_while_nothing_waits() -> None:
    async with feeding(2) as rows:
        assert rows.lane.offer()
        rows.lane.release()
        await settled()
        assert rows.claims == []


async def test_one_claim_takes_as_many_as_there_are_slots() -> None:
    async with feeding(3) as rows:
        rows.insert(1, 2, 3, 4, 5)
        await settled()
        assert (rows.claims, rows.started) == ([3], [1, 2, 3])
        assert (rows.lane.in_hand, rows.lane.backlog, rows.lane.free) == (3, 2, 0)


async def test_a_freed_slot_claims_again_and_the_last_claim_is_not_repeated() -> None:
    async with feeding(1) as rows:
        rows.insert(1, 2)
        await settled()
        rows.lane.release()
        await settled()
        rows.lane.release()
        await settled()
        assert (rows.claims, rows.started, rows.lane.in_hand) == ([1, 1], [1, 2], 0)


async def test_a_claim_that_finds_less_sets_the_count_right() -> None:
    async with feeding(4) as rows:
        rows.lane.recount(10)  # somebody else has taken them
        await settled()
        assert (rows.claims, rows.lane.backlog, rows.lane.in_hand) == ([4], 0, 0)


async def test_a_count_of_the_store_leaves_no_row_waiting() -> None:
    async with feeding(2) as rows:
        rows.gate.clear()
        rows.insert(1, 2, 3, 4)
        await settled()  # two of them are being claimed
        mark = rows.lane.mark
        count = len(rows.waiting)
        rows.insert(5)  # after they were counted
        rows.lane.recount(count, since=mark)
        rows.gate.set()
        await settled()
        for _ in range(5):
            rows.lane.release()
            await settled()
        assert rows.started == [1, 2, 3, 4, 5]


async def test_a_count_of_the_store_makes_room_for_others() -> None:
    async with feeding(1) as rows:
        rows.insert(1, 2, 3)
        await settled()
        assert rows.lane.backlog == 2
        rows.waiting.clear()
        rows.lane.recount(0, since=rows.lane.mark)
        assert rows.lane.backlog == 0


async def test_a_row_that_comes_while_a_claim_is_under_way_is_claimed_too() -> None:
    async with feeding(2) as rows:
        rows.gate.clear()
        rows.insert(1)
        await settled()
        assert rows.claims == [1]
        rows.gate.set()
        await settled()
        rows.insert(2)
        await settled()
        assert (rows.started, rows.lane.backlog) == ([1, 2], 0)


async def test_a_row_that_came_too_late_for_a_claim_under_way_is_not_forgotten() -> None:
    """The store answers in the order of the questions, but does verbs of one kind together: a claim may be done before
    an insert that is answered before it.
    """
    async with feeding(2) as rows:
        rows.gate.clear()
        rows.insert(1)
        await settled()
        rows.insert(2)
        rows.gate.set()
        await settled()
        assert (rows.started, rows.lane.backlog, rows.lane.in_hand) == ([1, 2], 0, 2)


async def test_a_failed_claim_takes_no_slots() -> None:
    async def broken(_: int) -> Sequence[int]:
        raise OSError("no store")

    lane: Lane[int] = Lane("rows", 2, claim=broken, start=lambda _: None, clock=FakeClock())
    lane.add()
    with pytest.raises(OSError, match="no store"):
        await lane.feed()
    assert lane.free == 2


def test_a_slot_is_offered_only_where_one_is_free_and_nothing_waits() -> None:
    lane = Rows(1).lane
    assert lane.offer()
    assert not lane.offer()  # no slot
    lane.release()
    lane.add()
    assert not lane.offer()  # something waits before it
    lane.recount(0)
    assert lane.offer()
    lane.release()
    lane.close()
    assert not lane.offer()  # the service drains
    assert lane.in_hand == 0


async def test_a_closed_lane_claims_nothing() -> None:
    async with feeding(2) as rows:
        rows.lane.close()
        rows.insert(1)
        await settled()
        assert (rows.claims, rows.lane.backlog) == ([], 1)


async def test_while_a_claim_is_under_way_the_slots_that_it_was_not_asked_for_are_offered() -> None:
    async with feeding(2) as rows:
        rows.gate.clear()
        rows.insert(1)
        await settled()
        assert rows.lane.offer()
        assert not rows.lane.offer()  # the claim may still bring one
        rows.gate.set()
        await settled()
        assert (rows.started, rows.lane.in_hand, rows.lane.backlog) == ([1], 2, 0)
        rows.lane.release()
        assert rows.lane.offer()


async def test_nothing_is_offered_while_more_waits_than_a_claim_under_way_was_asked_for() -> None:
    async with feeding(3) as rows:
        rows.gate.clear()
        rows.insert(1)
        await settled()
        rows.insert(2)
        assert not rows.lane.offer()
        rows.gate.set()
        await settled()
        assert (rows.started, rows.claims) == ([1, 2], [1, 1])


async def test_rows_are_held_ready_only_while_work_is_quicker_than_a_claim() -> None:
    rows = Rows(2)
    rows.claim_takes_s = 0.01
    rows.lane.measure(0.001)
    assert rows.lane.free == 2  # nothing is known of a claim's time yet
    feeder = asyncio.ensure_future(rows.lane.feed())
    rows.insert(*range(500))
    await settled(50)
    ahead = rows.lane.free + rows.lane.in_hand - 2
    assert 0 < ahead <= _MOST_AHEAD
    for _ in range(100):
        rows.lane.measure(10.0)
    assert rows.lane.free + rows.lane.in_hand == 2
    feeder.cancel()
    await asyncio.gather(feeder, return_exceptions=True)


async def test_so_many_rows_at_the_most_are_held_ready() -> None:
    rows = Rows(8)
    rows.claim_takes_s = 60.0
    rows.lane.measure(0.0001)
    feeder = asyncio.ensure_future(rows.lane.feed())
    rows.insert(*range(500))
    await settled(50)
    assert rows.lane.free + rows.lane.in_hand == 8 + _MOST_AHEAD
    feeder.cancel()
    await asyncio.gather(feeder, return_exceptions=True)


# All lanes


class Queues:
    """Rows of several names that wait in a store, and the lanes that claim them."""

    def __init__(self) -> None:
        self.waiting: dict[str, deque[str]] = {}
        self.started: list[str] = []
        self.lanes: Lanes[str] = Lanes(self.claim, self.started.append, FakeClock())

    async def claim(self, name: str, most: int) -> Sequence[str]:
        rows = self.waiting.get(name, deque())
        return [rows.popleft() for _ in range(min(most, len(rows)))]

    def insert(self, name: str, *rows: str) -> None:
        self.waiting.setdefault(name, deque()).extend(rows)
        self.lanes.add({name: len(rows)})

    def follow(self, sizes: dict[str, int]) -> list[Lane[str]]:
        new = self.lanes.make(sizes)
        self.lanes.follow(sizes)
        return new


@asynccontextmanager
async def serving(**sizes: int) -> AsyncIterator[Queues]:
    queues = Queues()
    queues.follow(sizes)
    serving = asyncio.ensure_future(queues.lanes.serve())
    try:
        yield queues
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_lane_that_comes_later_is_fed_and_says_that_it_is_new() -> None:
    async with serving(a=1) as queues:
        await settled()
        assert [lane.name for lane in queues.follow({"a": 1, "b": 2})] == ["b"]
        queues.insert("b", "b1")
        await settled()
        assert queues.started == ["b1"]


async def test_what_comes_while_a_name_is_gone_is_claimed_when_it_returns() -> None:
    async with serving(a=5) as queues:
        queues.insert("a", "a1")
        await settled()
        queues.follow({})
        queues.insert("a", "a2", "a3")
        await settled()
        assert queues.started == ["a1"]
        queues.lanes["a"].release()  # the slot of a name that is gone comes back, too
        assert queues.follow({"a": 2}) == []
        await settled()
        assert queues.started == ["a1", "a2", "a3"]
        assert (queues.lanes["a"].in_hand, queues.lanes["a"].backlog) == (2, 0)


async def test_a_lane_with_fewer_slots_than_rows_in_hand_waits_until_there_is_room() -> None:
    async with serving(a=3) as queues:
        queues.insert("a", *"12345")
        await settled()
        queues.follow({"a": 1})
        for _ in range(2):
            queues.lanes["a"].release()
            await settled()
            assert queues.started == list("123")
        queues.lanes["a"].release()
        await settled()
        assert queues.started == list("1234")


async def test_rows_counted_twice_are_set_right_by_a_claim() -> None:
    async with serving() as queues:
        (lane,) = queues.follow({"a": 9})
        queues.insert("a", "1", "2")
        lane.add(2)  # counted in the store after they had been added
        await settled()
        assert (queues.started, lane.backlog, lane.in_hand) == (["1", "2"], 0, 2)


async def test_lanes_that_were_stopped_stay_so() -> None:
    async with serving(a=1) as queues:
        queues.lanes.stop()
        queues.follow({"a": 1, "b": 1})
        queues.insert("a", "a1")
        queues.insert("b", "b1")
        await settled()
        assert queues.started == []
        assert not queues.lanes["b"].offer()
