"""Retry policies: the numbers of the named ones, lists, exponentials, and what moves the next attempt."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.settings import Exponential, FunctionSettings, RetrySpec
from pipeline.retry import Policy, next_attempt, policy
from tests.support.samples import NOW, later

NAMED = {
    "default": "5s 30s 2m 10m 30m 2h 5h 10h 14h 20h 24h",
    "standard": "5s 5m 30m 2h 5h 10h 14h 20h 24h",
    "svix": "5s 5m 30m 2h 5h 10h 10h",
    "fast": "1s 5s 15s 60s 300s 900s 3600s",
}
SECONDS = {"s": 1, "m": 60, "h": 3600}
waits = st.lists(st.floats(0.001, 10**6), max_size=20)


def waits_of(rule: Policy) -> list[float]:
    """Return every wait of a policy, and see that it ends where it says."""
    found = [rule.wait_s(attempt) for attempt in range(1, rule.max_attempts)]
    assert rule.wait_s(rule.max_attempts) is None
    assert rule.wait_s(rule.max_attempts + 5) is None
    assert None not in found
    return [wait for wait in found if wait is not None]


@pytest.mark.parametrize("name", NAMED)
def test_a_named_policy_waits_as_the_reference_says(name: str) -> None:
    expected = [float(text[:-1]) * SECONDS[text[-1]] for text in NAMED[name].split()]
    assert waits_of(policy(RetrySpec(name=name))) == expected


@pytest.mark.parametrize(("name", "attempts"), [("default", 12), ("standard", 10), ("svix", 8), ("fast", 8)])
def test_a_named_policy_makes_so_many_attempts(name: str, attempts: int) -> None:
    assert policy(RetrySpec(name=name)).max_attempts == attempts


def test_the_default_policy_takes_75_hours_42_minutes_and_35_seconds() -> None:
    unnamed = policy(RetrySpec())
    assert waits_of(unnamed) == waits_of(policy(RetrySpec(name="default")))
    assert timedelta(seconds=sum(waits_of(unnamed))) == timedelta(hours=75, minutes=42, seconds=35)


def test_runs_are_tried_again_after_one_and_two_minutes() -> None:
    rule = policy(FunctionSettings().retry)
    assert (rule.max_attempts, waits_of(rule)) == (3, [60.0, 120.0])


@given(waits)
def test_a_list_has_a_wait_after_each_attempt_but_the_last(given_waits: list[float]) -> None:
    rule = policy(RetrySpec(waits=tuple(given_waits)))
    assert rule.max_attempts == len(given_waits) + 1
    assert waits_of(rule) == given_waits


def test_an_empty_list_means_one_attempt() -> None:
    rule = policy(RetrySpec(waits=()))
    assert (rule.max_attempts, rule.wait_s(1)) == (1, None)


@given(
    base=st.floats(0.01, 1000),
    factor=st.floats(1, 10),
    most=st.floats(0.01, 10**6),
    attempts=st.integers(1, 50),
)
def test_an_exponential_grows_by_its_factor_up_to_its_bound(
    base: float, factor: float, most: float, attempts: int
) -> None:
    rule = policy(RetrySpec(exponential=Exponential(base=base, factor=factor, max=most, attempts=attempts)))
    assert rule.max_attempts == attempts
    expected = [min(base * factor**number, most) for number in range(attempts - 1)]
    assert waits_of(rule) == pytest.approx(expected)


def test_an_exponential_that_overflows_stays_at_its_bound() -> None:
    rule = policy(RetrySpec(exponential=Exponential(base=1.0, factor=10.0, max=60.0, attempts=1000)))
    assert rule.wait_s(999) == 60.0


MINUTE = policy(RetrySpec(waits=(60.0, 60.0)))


def test_the_next_attempt_is_due_after_the_policy_s_wait_exactly() -> None:
    due = next_attempt(MINUTE, attempt=1, now=NOW, since=NOW)
    assert due.at == later(60)
    assert due.why == "attempt 1 of 3 failed; the policy waits 60 s"


def test_after_the_last_attempt_there_is_none() -> None:
    due = next_attempt(MINUTE, attempt=3, now=NOW, since=NOW, asked_s=5.0, jitter=0.2)
    assert due == (None, "attempt 3 of 3 was the last")


@given(st.floats(0, 0.2), st.floats(0, 200))
def test_the_later_of_policy_and_receiver_wins_and_jitter_is_only_added(jitter: float, asked_s: float) -> None:
    due = next_attempt(MINUTE, attempt=1, now=NOW, since=NOW, asked_s=asked_s, jitter=jitter)
    promised = max(60.0, asked_s)
    assert due.at is not None
    waited = (due.at - NOW).total_seconds()
    assert promised - 1e-6 <= waited <= promised * 1.2 + 1e-6
    assert waited == pytest.approx(promised * (1 + jitter), abs=1e-5)
    assert ("the receiver asked for" in due.why) == (asked_s > 60)
    assert due.why.endswith(" s, and up to a fifth is added by chance") == (jitter > 0)


@pytest.mark.parametrize(
    ("asked_s", "patience_s", "wait_s", "because"),
    [
        (None, 30.0, 60, "the policy waits 60 s"),
        (None, 90.0, 90, "the policy waits 60 s, and after such a failure it is 90 s at the least"),
        (80.0, 90.0, 90, "the policy waits 60 s, and after such a failure it is 90 s at the least"),
        (100.0, 90.0, 100, "the receiver asked for 100 s"),
    ],
)
def test_a_wait_that_nobody_asked_for_is_not_laid_at_the_receivers_door(
    asked_s: float | None, patience_s: float, wait_s: float, because: str
) -> None:
    due = next_attempt(MINUTE, attempt=1, now=NOW, since=NOW, asked_s=asked_s, patience_s=patience_s)
    assert due == (later(wait_s), f"attempt 1 of 3 failed; {because}")


@given(st.floats(0, 1000), st.floats(0, 0.2), st.floats(1, 1000))
def test_nothing_is_due_after_max_age(age_s: float, jitter: float, max_age: float) -> None:
    rule = policy(RetrySpec(waits=(60.0,), max_age=max_age))
    due = next_attempt(rule, attempt=1, now=later(age_s), since=NOW, jitter=jitter)
    if due.at is None:
        assert age_s + 60 * (1 + jitter) > max_age - 1e-5
        assert due.why == f"the next attempt would come after max_age ({max_age:g} s)"
    else:
        assert (due.at - NOW).total_seconds() <= max_age


def test_max_age_belongs_to_every_way_of_writing_a_policy() -> None:
    specs = (RetrySpec(name="fast", max_age=1.0), RetrySpec(exponential=Exponential(base=5.0), max_age=1.0))
    assert [next_attempt(policy(spec), attempt=2, now=NOW, since=NOW).at for spec in specs] == [None, None]
