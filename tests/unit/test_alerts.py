"""When an operator is to be told of a destination."""

from dataclasses import replace

import pytest

from pipeline.alerts import wanted_after
from pipeline.lifecycle import DeliveryStep
from pipeline.model import HEALTHY, DeliveryReason, DeliveryState, Health, LastError, MessageType, Outcome, Verdict
from tests.support.samples import NOW, delivery

DELIVERY = delivery()
DELIVERED = Outcome(verdict=Verdict.DELIVERED)
FAILED = Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.TIMEOUT)
OPEN = Health(failures=10, failing_since=NOW, last=DeliveryReason.TIMEOUT, opened_at=NOW)
DISABLED = Health(failures=1, disabled_at=NOW, disabled_because="it answered 410 Gone")
RETRYING = DeliveryStep(state=DeliveryState.RETRYING, attempt=1, lost=0, due_at=NOW)
DEAD = replace(RETRYING, state=DeliveryState.DEAD)
DONE = replace(RETRYING, state=DeliveryState.DELIVERED)


@pytest.mark.parametrize(
    ("step", "outcome", "before", "after", "is_failing", "types"),
    [
        (DONE, DELIVERED, HEALTHY, HEALTHY, False, []),
        (RETRYING, FAILED, HEALTHY, Health(failures=1), False, []),
        (RETRYING, FAILED, HEALTHY, OPEN, False, ["breaker_opened"]),
        (RETRYING, FAILED, OPEN, replace(OPEN, failures=11), True, []),
        (DEAD, FAILED, OPEN, OPEN, True, ["dead_delivery"]),
        (DEAD, FAILED, HEALTHY, DISABLED, False, ["dead_delivery", "disabled"]),
        (RETRYING, FAILED, OPEN, replace(OPEN, disabled_at=NOW), True, ["disabled"]),
        (DONE, DELIVERED, OPEN, HEALTHY, True, ["recovered"]),
        (DONE, DELIVERED, OPEN, HEALTHY, False, []),
        (DONE, DELIVERED, HEALTHY, HEALTHY, True, ["recovered"]),
        # It took one, and wants no more.
        (DONE, DELIVERED, HEALTHY, DISABLED, True, ["disabled"]),
        # One that was on its way as it was disabled.
        (DONE, DELIVERED, DISABLED, DISABLED, True, []),
    ],
)
def test_what_is_told_follows_the_change(
    step: DeliveryStep, outcome: Outcome, before: Health, after: Health, is_failing: bool, types: list[str]
) -> None:
    wanted = wanted_after(DELIVERY, step, outcome, before, after, is_failing=is_failing)
    assert [each.type for each in wanted] == [MessageType(f"destination.{name}") for name in types]
    assert all(each.delivery_id == DELIVERY.id for each in wanted)


def test_an_opened_breaker_says_what_its_receiver_answered() -> None:
    after = replace(OPEN, failures=10, failing_since=NOW, last=DeliveryReason.HTTP_ERROR, last_status=502)
    (wanted,) = wanted_after(DELIVERY, RETRYING, FAILED, HEALTHY, after, is_failing=False)
    assert wanted.because.endswith(
        " have failed since 2026-01-05T12:00:00.000Z, the last one: http_error (answered 502)"
    )


@pytest.mark.parametrize(
    ("attempts", "last", "because"),
    [
        (0, None, "a delivery of job.succeeded is dead after 0 attempts"),
        (1, None, "a delivery of job.succeeded is dead after 1 attempt"),
        (
            12,
            LastError(reason=DeliveryReason.TIMEOUT, message="no answer within 30 s", status=None),
            "a delivery of job.succeeded is dead after 12 attempts; the last one: no answer within 30 s",
        ),
    ],
)
def test_a_dead_delivery_says_why(attempts: int, last: LastError | None, because: str) -> None:
    step = replace(DEAD, attempt=attempts, last_error=last)
    (wanted,) = wanted_after(DELIVERY, step, FAILED, HEALTHY, HEALTHY, is_failing=False)
    assert wanted.because == because
