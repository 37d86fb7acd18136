"""How destinations fare: when breakers open and close, and when a destination is disabled."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.settings import BreakerSpec
from pipeline.health import after_outcome, as_of, breaker_of
from pipeline.model import HEALTHY, DeliveryReason, DestinationStatus, Health, Outcome, Verdict
from tests.support.samples import NOW

DELIVERED = Outcome(verdict=Verdict.DELIVERED)
FAILED = Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.TIMEOUT)
BREAKER = BreakerSpec()
DAY_S = 86_400.0
FIVE_DAYS = 5 * DAY_S


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def after(
    health: Health,
    outcome: Outcome,
    at: datetime = NOW,
    delivery: str = "a",
    *,
    breaker: BreakerSpec | None = BREAKER,
    disable_after_s: float | None = FIVE_DAYS,
) -> Health:
    return after_outcome(health, delivery, outcome, at, breaker=breaker, disable_after_s=disable_after_s)


def failed(times: int, deliveries: int = 5, *, breaker: BreakerSpec | None = BREAKER) -> Health:
    """Return how one fares that failed so often in a row, once a second, over so many deliveries."""
    health = HEALTHY
    for number in range(times):
        health = after(health, FAILED, later(number), str(number % deliveries), breaker=breaker)
    return health


def test_the_tenth_failure_in_a_row_opens_the_breaker() -> None:
    assert breaker_of(failed(9), later(9)) == "closed"
    opened = failed(10)
    assert (opened.opened_at, opened.probe_at, opened.last) == (later(9), later(39), DeliveryReason.TIMEOUT)
    assert breaker_of(opened, later(38)) == "open"
    assert breaker_of(opened, later(39)) == "half_open"


def _stored(health: Health, **moments: datetime | None) -> DestinationStatus:
    return DestinationStatus(name="hook", kind="webhook", last_success_at=None, health=health, **moments)


def test_what_is_stored_counts_at_a_start_as_if_no_clock_had_been_ahead() -> None:
    opened = failed(10)  # since 9, until 39
    for health in (opened, failed(3), HEALTHY):
        for at in (None, later(20), later(20 + DAY_S)):
            stored = _stored(health, not_before=at, paused_at=at)
            assert as_of(stored, later(20), BREAKER) == stored
    for breaker, until in ((BREAKER, -400), (BreakerSpec(max_wait=50.0), -950), (None, -400)):
        behind = replace(opened, failing_since=later(-1000), opened_at=later(-1000), probe_at=later(until))
        assert as_of(_stored(opened), later(-1000), breaker) == _stored(behind)
    ahead = _stored(HEALTHY, not_before=later(DAY_S + 1))
    assert as_of(ahead, NOW, BREAKER) == _stored(HEALTHY, not_before=later(DAY_S))


def test_failures_of_few_deliveries_may_be_the_fault_of_these() -> None:
    assert breaker_of(failed(1000, deliveries=4), later(1000)) == "closed"
    assert failed(1000, deliveries=4).deliveries == ("0", "1", "2", "3")


def test_without_a_breaker_none_opens() -> None:
    assert failed(1000, breaker=None).opened_at is None


def test_a_success_in_between_begins_the_count_anew() -> None:
    health = after(failed(9), DELIVERED)
    assert health == HEALTHY
    assert breaker_of(after(health, FAILED), NOW) == "closed"


def test_each_probe_that_fails_doubles_the_wait_up_to_the_longest() -> None:
    health, at, waits = failed(10), later(9), []
    for _ in range(7):
        assert health.probe_at is not None
        at, before = health.probe_at, health.probe_at
        health = after(health, FAILED, at)
        assert health.probe_at is not None
        waits.append((health.probe_at - before).total_seconds())
    assert waits == [60, 120, 240, 480, 600, 600, 600]


def test_what_was_begun_before_the_breaker_opened_does_not_double_the_wait() -> None:
    opened = failed(10)
    late = after(opened, FAILED, later(20))
    assert (late.probe_at, late.probes, late.failures) == (opened.probe_at, 0, 11)


@pytest.mark.parametrize("at", [10, 39, 5000])
def test_the_first_success_closes_it_whenever_it_comes(at: float) -> None:
    assert after(failed(10), DELIVERED, later(at)) == HEALTHY


@pytest.mark.parametrize("reason", [DeliveryReason.TEMPLATE_ERROR, DeliveryReason.AUTH_ERROR])
def test_what_was_never_sent_says_nothing_of_the_receiver(reason: DeliveryReason) -> None:
    outcome = Outcome(verdict=Verdict.TEMPORARY, reason=reason)
    assert after(failed(9), outcome) == failed(9)


def test_a_message_that_is_refused_for_good_says_nothing_of_the_receiver() -> None:
    refused = Outcome(verdict=Verdict.PERMANENT, reason=DeliveryReason.REJECTED)
    assert after(failed(9), refused) == failed(9)
    assert breaker_of(after(failed(10), refused, later(40)), later(40)) == "half_open"


def test_after_five_days_of_failures_it_is_disabled() -> None:
    failing = failed(12, deliveries=1)
    almost = after(failing, FAILED, later(FIVE_DAYS - 1))
    assert almost.disabled_at is None
    disabled = after(almost, FAILED, later(FIVE_DAYS))
    assert disabled.disabled_at == later(FIVE_DAYS)
    assert disabled.disabled_because == (
        "14 attempts in a row have failed since 2026-01-05T12:00:00.000Z, the last one: timeout"
    )


def test_what_answered_is_told_with_its_status_until_the_next_failure() -> None:
    answered = replace(FAILED, reason=DeliveryReason.HTTP_ERROR, status=503)
    failing = after(failed(12, deliveries=1), answered, later(FIVE_DAYS))
    assert failing.last is DeliveryReason.HTTP_ERROR
    assert failing.last_said == "http_error (answered 503)"
    assert failing.disabled_because.endswith(", the last one: http_error (answered 503)")
    assert after(failing, FAILED, later(FIVE_DAYS + 1)).last_said == "timeout"


def test_few_failures_never_disable_it_however_long_they_take() -> None:
    health = HEALTHY
    for number in range(9):
        health = after(health, FAILED, later(number * FIVE_DAYS))
    assert health.disabled_at is None
    assert after(health, FAILED, later(9 * FIVE_DAYS)).disabled_at is not None


def test_it_is_not_disabled_where_that_is_switched_off() -> None:
    health = replace(failed(12), failing_since=later(-10 * FIVE_DAYS))
    assert after(health, FAILED, disable_after_s=None).disabled_at is None


@pytest.mark.parametrize(
    "outcome",
    [DELIVERED, FAILED, Outcome(verdict=Verdict.PERMANENT, reason=DeliveryReason.GONE)],
    ids=lambda o: o.verdict,
)
def test_a_receiver_may_ask_for_it(outcome: Outcome) -> None:
    disabled = after(failed(3), replace(outcome, disables="it answered 410 Gone"), later(5))
    assert (disabled.disabled_at, disabled.disabled_because) == (later(5), "it answered 410 Gone")
    assert after(disabled, replace(outcome, disables="again"), later(9)).disabled_because == "it answered 410 Gone"
    assert after(disabled, DELIVERED, later(10)).disabled_at == later(5)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.floats(0, 10_000)), max_size=60))
def test_an_open_breaker_always_has_a_moment_when_it_is_tried(attempts: list[tuple[bool, int, float]]) -> None:
    health, at = HEALTHY, NOW
    for is_well, delivery, seconds in attempts:
        at += timedelta(seconds=seconds)
        health = after(health, DELIVERED if is_well else FAILED, at, str(delivery))
        assert (health.opened_at is None) == (health.probe_at is None)
        if health.probe_at is not None:
            assert health.probe_at <= at + timedelta(seconds=BREAKER.max_wait)
            assert health.failures >= BREAKER.failures
            assert len(health.deliveries) == BREAKER.deliveries
