"""Pacing: turns are counted out evenly, and none is saved up."""

from itertools import pairwise

import pytest

from pipeline.services.pacing import BacklogPacer, Pacer
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
    pacer = BacklogPacer(50.0, FakeClock(), 0, to_come=5)
    assert pacer.take(4) == 4
    pacer.give_back(3)
    assert (pacer.take(4), pacer.is_over(0)) == (4, True)


async def test_it_is_over_once_the_backlog_has_gone() -> None:
    clock = FakeClock()
    pacer = BacklogPacer(50.0, clock, 7)
    assert (pacer.take(7), pacer.is_over(1)) == (6, False)
    await clock.advance(0.1)
    assert (pacer.take(1), pacer.is_over(0)) == (1, True)


async def test_it_waits_for_what_of_the_backlog_is_about_to_come() -> None:
    clock = FakeClock()
    pacer = BacklogPacer(50.0, clock, 3, to_come=7)
    assert (pacer.take(6), pacer.is_over(0)) == (6, False)
    await clock.advance(0.1)
    assert (pacer.take(1), pacer.is_over(0)) == (1, True)


async def test_it_is_over_once_nothing_is_left_of_a_backlog_that_did_not_go() -> None:
    pacer = BacklogPacer(50.0, FakeClock(), 1000)
    taken = pacer.take(1000)
    assert not pacer.is_over(1000)
    pacer.give_back(taken)  # all of it was cancelled
    assert pacer.is_over(0)


async def test_what_has_not_come_within_a_minute_is_not_waited_for() -> None:
    clock = FakeClock()
    pacer = BacklogPacer(50.0, clock, 0, to_come=1000)
    await clock.advance(59)
    assert not pacer.is_over(0)
    await clock.advance(1)
    assert (pacer.is_over(1), pacer.is_over(0)) == (False, True)


async def test_what_came_meanwhile_goes_at_the_same_rate() -> None:
    clock = FakeClock()
    pacer = BacklogPacer(50.0, clock, 60)
    waiting, steps = 60, 0
    while not pacer.is_over(waiting):
        waiting -= pacer.take(waiting)
        waiting += 40 if steps == 0 else 0
        await clock.advance(0.02)
        steps += 1
    assert (waiting, pacer.rate) == (0, 50.0)
    assert steps in range(94, 97)


async def test_where_more_come_than_go_the_pace_is_raised_step_by_step() -> None:
    clock = FakeClock()
    pacer = BacklogPacer(50.0, clock, 10_000)
    waiting, sent = 10_000, []
    while True:
        sent.append(pacer.take(waiting))
        waiting -= sent[-1]
        if pacer.is_over(waiting):
            break
        waiting += 100
        await clock.advance(0.1)
    assert 1000 < pacer.rate < 2000
    assert len(sent) < 2000
    for before, after in pairwise(sent[1:]):
        assert after <= before * 1.25 + 2


async def test_where_the_pace_holds_nothing_up_it_stays() -> None:
    clock = FakeClock()
    pacer = BacklogPacer(50.0, clock, 1000)
    waiting = 1000
    for _ in range(1000):
        waiting -= pacer.take(2)  # there are no more slots
        waiting += 20
        await clock.advance(0.1)
        assert not pacer.is_over(waiting)
    assert pacer.rate == 50.0


async def test_a_long_backlog_goes_at_one_rate_and_what_is_still_to_become_due_is_no_news() -> None:
    clock = FakeClock()
    pacer = BacklogPacer(50.0, clock, 0, to_come=1000)
    waiting = 500
    while not pacer.is_over(waiting):
        waiting -= pacer.take(waiting)
        waiting += 500 if clock.monotonic() == 0 else 0
        await clock.advance(0.02)
    assert pacer.rate == 50.0


async def test_it_tells_when_a_turn_comes() -> None:
    clock = FakeClock()
    pacer = Pacer(2.0, clock)
    assert [pacer.comes_in_s(number) for number in (1, 2, 6)] == pytest.approx([0.0, 0.4, 2.4])  # 1.2 are there
    pacer.take(1)
    until = pacer.comes_in_s(4)
    for left_s in (until - 0.9, 0.5, 0.39):
        await clock.advance(left_s)
        pacer.take(1)
    assert pacer.comes_in_s(1) == pytest.approx(0.01)
    assert pacer.take(1) == 0
    await clock.advance(0.02)
    assert pacer.take(1) == 1
