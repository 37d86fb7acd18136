"""Ids: their format, their order whatever the clock does, and the time that they carry."""

import random
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ids import IdSource, first_id_at, is_id, made_at
from tests.support.fake_clock import START, FakeClock

microseconds = st.integers(10**14, 4 * 10**15)  # 1973 to 2096
moments = microseconds.map(lambda since: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since))


def source(start: datetime = START, seed: int = 1) -> tuple[IdSource, FakeClock]:
    clock = FakeClock(start)
    return IdSource(clock, random.Random(seed)), clock


@given(moments, st.integers())
def test_an_id_is_a_canonical_uuid_of_version_7(at: datetime, seed: int) -> None:
    made = source(at, seed)[0].new()
    parsed = uuid.UUID(made)
    assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, made)
    assert is_id(made)


async def test_ids_rise_within_a_millisecond_over_time_and_when_the_clock_runs_backwards() -> None:
    ids, clock = source()
    made = []
    for seconds in (0.0, 0.0, 0.0005, 0.001, -3600.0, 0.0, 1.0, 3599.0, 0.0, 1.0):
        if seconds < 0:
            clock.turn(seconds)
        else:
            await clock.advance(seconds)
        made += [ids.new() for _ in range(100)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_a_counter_that_starts_at_its_top_still_counts_upwards() -> None:
    class Ones(random.Random):
        def getrandbits(self, bits: int, /) -> int:
            return (1 << bits) - 1

    ids = IdSource(FakeClock(), Ones())
    made = [ids.new() for _ in range(3)]
    assert made == sorted(made)
    assert len(set(made)) == 3
    assert all(map(is_id, made))
    assert made_at(made[-1]) == START


def test_two_sources_with_the_same_clock_make_different_ids() -> None:
    assert source(seed=1)[0].new() != source(seed=2)[0].new()


@given(moments)
def test_an_id_carries_the_millisecond_of_its_making(at: datetime) -> None:
    carried = made_at(source(at)[0].new())
    assert timedelta(0) <= at - carried < timedelta(milliseconds=1)


@given(moments, st.integers(1, 10**9))
def test_the_first_id_at_a_moment_lies_between_the_ids_before_and_after_it(at: datetime, apart_ms: int) -> None:
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    bound = first_id_at(at)
    assert is_id(bound)
    assert made_at(bound) == at
    assert source(at - timedelta(milliseconds=apart_ms))[0].new() < bound <= source(at)[0].new()


def test_an_id_that_nobody_can_have_made_carries_the_last_moment_there_is() -> None:
    assert made_at("ffffffff-ffff-7fff-bfff-ffffffffffff").year == 9999


def test_a_message_s_id_is_marked() -> None:
    made = source()[0].message_id()
    assert made.startswith("msg_")
    assert is_id(made.removeprefix("msg_"))


def test_a_token_fits_a_signed_64_bit_column() -> None:
    ids = source()[0]
    tokens = {ids.token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(0 <= token < 2**63 for token in tokens)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "01960000-0000-4000-8000-00000000002a",
        "01960000-0000-7000-c000-00000000002a",
        "01960000-0000-7000-8000-00000000002A",
        "01960000-0000-7000-8000-00000000002a\n",
        "0196000000007000800000000000002a",
        "msg_01960000-0000-7000-8000-00000000002a",
    ],
)
def test_what_is_no_id(text: str) -> None:
    assert not is_id(text)
