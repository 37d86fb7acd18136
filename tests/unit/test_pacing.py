"""Pacing: turns are counted out evenly, and none is saved up."""

from pipeline.services.pacing import Pacer
from tests.support.fake_clock import FakeClock


async def test_turns_come_at_the_rate() -> None:
    clock = FakeClock()
    pacer = Pacer(50.0, clock)
    taken = pacer.take(1000)
    for _ in range(100):
        await clock.advance(0.1)
        taken += pacer.take(1000)
    assert taken in (6 + 499, 6 + 500)  # the last one may be due by a hair


async def test_turns_that_nobody_takes_are_not_saved_up() -> None:
    clock = FakeClock()
    pacer = Pacer(50.0, clock)
    await clock.advance(3600)
    assert pacer.take(1000) == 6


async def test_a_slow_rate_lets_one_through_at_a_time() -> None:
    clock = FakeClock()
    pacer = Pacer(0.5, clock)
    assert (pacer.take(10), pacer.take(10)) == (1, 0)
    assert 1.0 < pacer.wait_s() < 2.0
    await clock.advance(pacer.wait_s() - 0.01)
    assert pacer.take(10) == 0
    await clock.advance(0.01)
    assert pacer.take(10) == 1


async def test_what_was_given_back_can_be_taken_again() -> None:
    pacer = Pacer(50.0, FakeClock(), most=5)
    assert pacer.take(4) == 4
    pacer.give_back(3)
    assert (pacer.take(4), pacer.is_over) == (4, True)


async def test_it_is_over_after_as_many_as_it_was_to_count_out() -> None:
    clock = FakeClock()
    pacer = Pacer(50.0, clock, most=7)
    assert (pacer.take(7), pacer.is_over) == (6, False)
    await clock.advance(0.1)
    assert (pacer.take(1), pacer.is_over) == (1, True)
