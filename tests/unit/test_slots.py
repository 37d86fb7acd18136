"""Slots over all destinations: each has its own, the rest goes to whoever needs it, and none is ever lost."""

import asyncio
from collections import Counter
from random import Random

import pytest

from pipeline.services.deliveries.slots import IN_FLIGHT, OWN, Slots, in_flight_at_most


class Crowd:
    """Attempts that hold slots until they are let go."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.held: Counter[str] = Counter()
        self.tasks: dict[asyncio.Task[None], str] = {}
        self._leave: dict[asyncio.Task[None], asyncio.Event] = {}

    async def come(self, name: str, count: int) -> None:
        for _ in range(count):
            leave = asyncio.Event()
            task = asyncio.ensure_future(self._hold(name, leave))
            self.tasks[task], self._leave[task] = name, leave
        await self.settled()

    async def _hold(self, name: str, leave: asyncio.Event) -> None:
        async with self.slots.of(name):
            self.held[name] += 1
            try:
                await leave.wait()
            finally:
                self.held[name] -= 1

    async def go(self, name: str, count: int) -> None:
        for task in [task for task, of in self.tasks.items() if of == name][:count]:
            self._leave[task].set()
            del self.tasks[task]
        await self.settled()

    @staticmethod
    async def settled() -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.mark.parametrize("hanging", [1, 5, 19])
async def test_what_hangs_takes_nothing_from_another(hanging: int) -> None:
    slots = Slots()
    slots.share_out({**{f"h{number}": 1000 for number in range(hanging)}, "well": 10})
    crowd = Crowd(slots)
    for number in range(hanging):
        await crowd.come(f"h{number}", 300)
    await crowd.come("well", 10)
    assert crowd.held["well"] == 10
    assert sum(crowd.held.values()) == IN_FLIGHT


async def test_one_alone_has_them_all() -> None:
    slots = Slots()
    slots.share_out({"only": 1000})
    crowd = Crowd(slots)
    await crowd.come("only", 300)
    assert crowd.held["only"] == IN_FLIGHT
    await crowd.go("only", 150)
    assert crowd.held["only"] == 150


async def test_many_have_an_even_share() -> None:
    slots = Slots()
    slots.share_out({f"d{number}": 10 for number in range(50)})
    crowd = Crowd(slots)
    for number in range(49):
        await crowd.come(f"d{number}", 10)
    await crowd.come("d49", 10)
    assert set(crowd.held.values()) == {IN_FLIGHT // 50}


async def test_the_rest_goes_to_each_that_waits_in_turn() -> None:
    slots = Slots()
    slots.share_out({"a": 1000, "b": 1000})
    crowd = Crowd(slots)
    await crowd.come("a", 400)
    await crowd.come("b", 400)
    assert crowd.held == {"a": IN_FLIGHT - OWN, "b": OWN}
    await crowd.go("a", 40 + OWN)
    assert crowd.held["b"] == OWN + 20


async def test_a_change_of_the_destinations_shares_them_out_anew() -> None:
    slots = Slots()
    slots.share_out({"a": 1000})
    crowd = Crowd(slots)
    await crowd.come("a", 300)
    slots.share_out({"a": 1000, "b": 5})
    await crowd.come("b", 5)
    assert crowd.held["b"] == 5
    slots.share_out({"a": 1000})
    await crowd.go("b", 5)
    await crowd.go("a", 100)
    assert crowd.held["a"] == IN_FLIGHT
    slots.share_out({})
    await crowd.go("a", 300)
    assert crowd.held["a"] == 0
    await crowd.come("b", 1)  # gone, and still being ended: of the rest
    assert crowd.held["b"] == 1
    await crowd.go("b", 1)


@pytest.mark.parametrize("seed", range(5))
async def test_none_is_lost_whoever_comes_goes_and_gives_up(seed: int) -> None:
    random, slots = Random(seed), Slots()
    sizes = {"a": 30, "b": 300, "c": 3}
    slots.share_out(sizes)
    crowd = Crowd(slots)
    for _ in range(200):
        name = random.choice("abc")
        match random.randrange(4):
            case 0 | 1:
                await crowd.come(name, random.randrange(40))
            case 2:
                await crowd.go(name, random.randrange(60))
            case _:
                given_up = [task for task, of in crowd.tasks.items() if of == name][: random.randrange(60)]
                for task in given_up:
                    task.cancel()
                    del crowd.tasks[task]
                if random.random() < 0.3:
                    slots.share_out({of: size for of, size in sizes.items() if random.random() < 0.7})
                await crowd.settled()
    slots.share_out(sizes)
    await crowd.settled()
    wanted = Counter(crowd.tasks.values())
    # While destinations go and come, what they held comes on top of the rest.
    assert sum(crowd.held.values()) >= min(IN_FLIGHT, sum(wanted.values()))
    assert all(crowd.held[name] >= min(wanted[name], OWN, sizes[name]) for name in sizes)
    for name in sizes:
        await crowd.go(name, 10_000)
    await crowd.come("b", 300)
    assert crowd.held["b"] == IN_FLIGHT - OWN - 3  # the others' own are theirs


@pytest.mark.parametrize(("sizes", "most"), [([10, 10], 20), ([1000], 200), ([10] * 50, 200), ([10] * 300, 300)])
def test_how_many_there_can_be_at_once(sizes: list[int], most: int) -> None:
    assert in_flight_at_most({str(number): size for number, size in enumerate(sizes)}) == most


async def test_it_tells_whether_one_is_free() -> None:
    slots = Slots()
    slots.share_out({"hangs": 1000, "well": 10})
    crowd = Crowd(slots)
    assert slots.all == IN_FLIGHT
    await crowd.come("hangs", IN_FLIGHT - OWN - 1)
    assert slots.is_free("hangs")
    await crowd.come("hangs", 1)
    assert (slots.is_free("hangs"), slots.is_free("well")) == (False, True)
    await crowd.go("hangs", IN_FLIGHT - OWN)
    assert slots.is_free("hangs")
