"""When an operator is to be told of a destination: at a dead delivery, and as its health changes. Pure.

    well ──breaker opened or disabled──> failing ──a success──> recovered

What was wanted and not told yet when the opposite comes about need not be told any more; the store sees to that.
"""

from datetime import timedelta

from pipeline.lifecycle import DeliveryStep
from pipeline.model import Delivery, DeliveryState, Health, LastError, MessageType, Outcome, Verdict, Wanted
from pipeline.shapes import rfc3339

QUIET = timedelta(hours=1)
"""The same is told of the same destination once in so long a time at the most."""


def wanted_after(
    delivery: Delivery, step: DeliveryStep, outcome: Outcome, before: Health, after: Health, *, is_failing: bool
) -> tuple[Wanted, ...]:
    """Return what is to be told after an attempt that led to `step` and made of the destination's health `after`.

    `is_failing` says that the destination's failing was, or is to be, told, and its recovery was not.
    """
    found: list[Wanted] = []
    if step.state is DeliveryState.DEAD:
        found.append(of_dead(delivery, step.attempt, step.last_error))
    if before.opened_at is None and after.opened_at is not None:
        found.append(Wanted(type=MessageType.BREAKER_OPENED, because=_of_failures(after), delivery_id=delivery.id))
    if before.disabled_at is None and after.disabled_at is not None:
        found.append(
            Wanted(type=MessageType.DISABLED, because=after.disabled_because, delivery_id=delivery.id),
        )
    elif is_failing and outcome.verdict is Verdict.DELIVERED and after.disabled_at is None:
        found.append(Wanted(type=MessageType.RECOVERED, because="it has taken a delivery", delivery_id=delivery.id))
    return tuple(found)


def of_dead(delivery: Delivery, attempts: int, last: LastError | None) -> Wanted:
    """Return what is to be told of a delivery that is dead, after so many attempts."""
    many = f"{attempts} attempt{'' if attempts == 1 else 's'}"
    why = f"; the last one: {last.message or last.reason}" if last else ""
    because = f"a delivery of {delivery.type} is dead after {many}{why}"
    return Wanted(type=MessageType.DEAD_DELIVERY, because=because, delivery_id=delivery.id)


def _of_failures(health: Health) -> str:
    since = health.failing_since and rfc3339(health.failing_since)
    failed = "an attempt has failed" if health.failures == 1 else f"{health.failures} attempts in a row have failed"
    return f"{failed} since {since}, the last one: {health.last_said}"
