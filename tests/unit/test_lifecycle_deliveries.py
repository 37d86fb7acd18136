"""The steps of deliveries: every outcome of an attempt in every state of the counters."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.settings import RetrySpec
from pipeline.lifecycle import (
    DELIVERY_MOVES,
    LOST_CAP,
    DeliveryStep,
    after_attempt,
    after_sending_cancelled,
    after_sending_lost,
    after_sending_returned,
    lost_wait_s,
)
from pipeline.model import Delivery, DeliveryReason, DeliveryState, Outcome, Verdict
from pipeline.retry import Policy, policy
from tests.support import samples
from tests.support.samples import NOW, later
from tests.support.strategies import policies

THREE = policy(RetrySpec(waits=(5.0, 30.0)))


@pytest.mark.parametrize(
    ("outcome", "attempt", "state", "due_s"),
    [
        (samples.DELIVERED, 1, "delivered", None),
        (samples.DELIVERED, 3, "delivered", None),
        (samples.UNAVAILABLE, 1, "retrying", 5),
        (samples.UNAVAILABLE, 2, "retrying", 30),
        (samples.UNAVAILABLE, 3, "dead", None),
        (samples.REFUSED, 1, "dead", None),
        (samples.REFUSED, 3, "dead", None),
        (replace(samples.UNAVAILABLE, retry_after_s=3.0), 1, "retrying", 5),
        (replace(samples.UNAVAILABLE, retry_after_s=60.0), 1, "retrying", 60),
        (replace(samples.UNAVAILABLE, retry_after_s=60.0), 3, "dead", None),
        (replace(samples.UNAVAILABLE, patience_s=60.0), 1, "retrying", 60),
        (replace(samples.UNAVAILABLE, patience_s=10.0), 2, "retrying", 30),
    ],
)
def test_what_follows_an_attempt(outcome: Outcome, attempt: int, state: str, due_s: float | None) -> None:
    sent = samples.delivery(attempt=attempt, lost=2, due_at=later(-9))
    step = after_attempt(sent, outcome, THREE, NOW, 0.0)
    assert (step.state, step.attempt, step.lost) == (state, attempt, 2)
    assert step.due_at == (sent.due_at if due_s is None else later(due_s))
    assert step.why
    if outcome.verdict is Verdict.DELIVERED:
        assert (step.reason, step.last_error, step.delivered_at) == (None, None, NOW)
    else:
        assert (step.reason, step.delivered_at) == (outcome.reason, None)
        assert step.last_error is not None
        assert (step.last_error.reason, step.last_error.status) == (outcome.reason, outcome.status)


def test_a_delivery_dies_of_its_last_error_or_of_the_answer() -> None:
    exhausted = after_attempt(samples.delivery(attempt=3), samples.UNAVAILABLE, THREE, NOW, 0.2)
    refused = after_attempt(samples.delivery(), samples.REFUSED, THREE, NOW, 0.2)
    assert (exhausted.reason, exhausted.why) == (DeliveryReason.HTTP_ERROR, "attempt 3 of 3 was the last")
    assert (refused.reason, refused.why) == (
        DeliveryReason.REJECTED,
        "the answer is final: another attempt would not change it",
    )


def test_after_a_replay_attempts_are_numbered_as_everywhere_else() -> None:
    first, last = (
        after_attempt(samples.delivery(attempt=attempt, spent=3), samples.UNAVAILABLE, THREE, NOW, 0.0)
        for attempt in (4, 6)
    )
    assert (first.max_attempts, first.why) == (6, "attempt 4 of 6 failed; the policy waits 5 s")
    assert (last.max_attempts, last.why) == (6, "attempt 6 of 6 was the last")


def test_a_policy_that_was_shortened_is_not_said_to_allow_less_than_was_made() -> None:
    step = after_attempt(samples.delivery(attempt=3), samples.UNAVAILABLE, policy(RetrySpec(waits=())), NOW, 0.0)
    assert (step.state, step.max_attempts, step.why) == (DeliveryState.DEAD, 3, "attempt 3 of 3 was the last")


def test_only_what_a_receiver_asked_for_is_said_to_be_its_wish() -> None:
    asked, spared = (replace(samples.UNAVAILABLE, **{name: 60.0}) for name in ("retry_after_s", "patience_s"))
    whys = [after_attempt(samples.delivery(), outcome, THREE, NOW, 0.0).why for outcome in (asked, spared)]
    assert whys == [
        "attempt 1 of 3 failed; the receiver asked for 60 s",
        "attempt 1 of 3 failed; the policy waits 5 s, and after such a failure it is 60 s at the least",
    ]


def test_a_sending_that_was_given_back_spent_nothing() -> None:
    sent = samples.delivery(attempt=4, lost=1, reason=DeliveryReason.HTTP_ERROR)
    step = after_sending_returned(sent, NOW)
    assert (step.state, step.attempt, step.lost, step.due_at) == (DeliveryState.PENDING, 3, 1, NOW)
    assert step.reason is DeliveryReason.HTTP_ERROR


def test_a_sending_that_was_cancelled_before_it_began_spent_nothing() -> None:
    step = after_sending_cancelled(samples.delivery(attempt=4, lost=1, reason=DeliveryReason.HTTP_ERROR))
    assert (step.state, step.reason, step.attempt, step.lost) == (DeliveryState.CANCELLED, None, 3, 1)


@pytest.mark.parametrize("lost", range(LOST_CAP))
def test_the_tenth_lost_sending_is_the_last(lost: int) -> None:
    last = samples.delivery(attempt=4, lost=lost, reason=DeliveryReason.TIMEOUT)
    step = after_sending_lost(last, NOW)
    assert (step.attempt, step.lost) == (3, lost + 1)
    if lost + 1 == 10:
        assert (step.state, step.reason) == (DeliveryState.DEAD, DeliveryReason.LOST)
    else:
        waits = lost_wait_s(lost + 1)
        assert step.state == (DeliveryState.RETRYING if waits else DeliveryState.PENDING)
        assert (step.due_at, step.reason) == (later(waits), DeliveryReason.TIMEOUT)


delivery_outcomes = st.builds(
    Outcome,
    verdict=st.sampled_from(Verdict),
    reason=st.none() | st.sampled_from(DeliveryReason),
    message=st.text(max_size=5),
    status=st.none() | st.integers(100, 599),
    retry_after_s=st.none() | st.floats(0.001, 86_400),
)


@given(st.integers(1, 20), st.integers(0, 9), policies, delivery_outcomes, st.floats(0, 0.2), st.floats(0, 10**6))
def test_every_step_of_a_delivery_is_an_allowed_move_with_true_counters(
    attempt: int, lost: int, rule: Policy, outcome: Outcome, jitter: float, age_s: float
) -> None:
    sent = samples.delivery(attempt=attempt, lost=lost)
    now = later(age_s)
    for step, spent, losses in (
        (after_attempt(sent, outcome, rule, now, jitter), 0, 0),
        (after_sending_returned(sent, now), 1, 0),
        (after_sending_lost(sent, now), 1, 1),
        (after_sending_cancelled(sent), 1, 0),
    ):
        assert step.state in DELIVERY_MOVES[DeliveryState.SENDING]
        assert (step.attempt, step.lost) == (attempt - spent, lost + losses)
        assert (step.state is DeliveryState.DEAD) <= (step.reason is not None)
    first = after_attempt(sent, outcome, rule, now, jitter)
    if outcome.verdict is Verdict.PERMANENT:
        assert first.state is DeliveryState.DEAD
    if first.state is DeliveryState.RETRYING:
        assert attempt < rule.max_attempts
        wait_s = rule.wait_s(attempt)
        assert wait_s is not None
        assert (first.due_at - now).total_seconds() >= max(wait_s, outcome.retry_after_s or 0.0) - 1e-6
        if rule.max_age_s is not None:
            assert (first.due_at - sent.created_at).total_seconds() <= rule.max_age_s


sendings = st.one_of(delivery_outcomes, st.sampled_from(["returned", "lost"]))


@given(policies, st.lists(sendings, max_size=60), st.floats(0, 0.2))
def test_no_history_of_a_delivery_makes_more_attempts_than_there_are(
    rule: Policy, history: list[Outcome | str], jitter: float
) -> None:
    sent: Delivery = samples.delivery(state=DeliveryState.PENDING, attempt=0)
    now, recorded = NOW, []
    for outcome in history:
        sent = replace(sent, state=DeliveryState.SENDING, attempt=sent.attempt + 1)
        step = _sent(sent, outcome, rule, jitter)(now)
        if not isinstance(outcome, str):
            recorded.append(sent.attempt)
        now = max(now, step.due_at)
        sent = replace(sent, state=step.state, attempt=step.attempt, lost=step.lost)
        if not sent.state.is_open:
            break
    assert recorded == list(range(1, len(recorded) + 1))  # attempts are recorded without gaps
    assert len(recorded) <= rule.max_attempts
    assert sent.lost <= LOST_CAP


def _sent(sent: Delivery, outcome: Outcome | str, rule: Policy, jitter: float) -> Callable[..., DeliveryStep]:
    if isinstance(outcome, Outcome):
        return lambda now: after_attempt(sent, outcome, rule, now, jitter)
    return lambda now: (after_sending_lost if outcome == "lost" else after_sending_returned)(sent, now)
