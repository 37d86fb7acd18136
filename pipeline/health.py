"""How destinations fare: when a breaker opens and closes, and when a destination is disabled. Pure.

    closed ──so many failures in a row, of several deliveries──> open ──its wait is over──> half-open
      ^                                                           ^                             │
      └───────────────────────────── success <── one attempt ─────┼──────────> failure: the wait doubles
                                                                  └─────────────────────────────┘

A disabled destination takes nothing until an operator resumes it. A message that the receiver refuses for good, such as
one that is too large for it, says nothing of how the receiver fares.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from pipeline.config.settings import BreakerSpec
from pipeline.model import HEALTHY, DeliveryReason, DestinationStatus, Health, Outcome, Verdict
from pipeline.retry_after import LONGEST_WAIT_S
from pipeline.shapes import rfc3339

_DEFAULT = BreakerSpec()
LEAST_FAILURES = 10
"""Nothing is disabled for its failures after fewer of them, however long they take."""
_OF_THE_MESSAGE = frozenset({DeliveryReason.TEMPLATE_ERROR, DeliveryReason.AUTH_ERROR, DeliveryReason.UNCONFIGURED})
"""Failures before anything was sent: another message, or another secret, and all is well."""


def after_outcome(
    health: Health,
    delivery_id: str,
    outcome: Outcome,
    now: datetime,
    *,
    breaker: BreakerSpec | None,
    disable_after_s: float | None,
) -> Health:
    """Return how a destination fares after an attempt; the same value where that changes nothing."""
    if outcome.verdict is Verdict.DELIVERED:
        after = replace(HEALTHY, disabled_at=health.disabled_at, disabled_because=health.disabled_because)
        after = health if after == health else after
    elif outcome.verdict is Verdict.TEMPORARY and outcome.reason not in _OF_THE_MESSAGE:
        after = _after_failure(health, delivery_id, outcome, now, breaker)
        after = _disabled_if_due(after, now, disable_after_s)
    else:
        after = health
    if outcome.disables and after.disabled_at is None:
        return replace(after, disabled_at=now, disabled_because=outcome.disables)
    return after


def _after_failure(
    health: Health, delivery_id: str, outcome: Outcome, now: datetime, breaker: BreakerSpec | None
) -> Health:
    failing = replace(
        health,
        failures=health.failures + 1,
        deliveries=_with(health.deliveries, delivery_id, breaker.deliveries if breaker else 0),
        failing_since=health.failing_since or now,
        last=outcome.reason,
        last_status=outcome.status,
    )
    if breaker is None:
        return failing
    if health.opened_at is None:
        is_opened = failing.failures >= breaker.failures and len(failing.deliveries) >= breaker.deliveries
        return replace(failing, opened_at=now, probe_at=_later(now, breaker, 0)) if is_opened else failing
    if health.probe_at is not None and now < health.probe_at:
        return failing  # begun before the breaker opened
    probes = health.probes + 1
    return replace(failing, probes=probes, probe_at=_later(now, breaker, probes))


def _with(deliveries: tuple[str, ...], delivery_id: str, most: int) -> tuple[str, ...]:
    return deliveries if delivery_id in deliveries or len(deliveries) >= most else (*deliveries, delivery_id)


def _later(now: datetime, breaker: BreakerSpec, probes: int) -> datetime:
    # Once the doubling has passed every sensible wait it stays there: 2.0 to the power of a large number is no float.
    return now + timedelta(seconds=min(breaker.max_wait, breaker.wait * 2.0 ** min(probes, 64)))


def _disabled_if_due(health: Health, now: datetime, after_s: float | None) -> Health:
    since = health.failing_since
    if after_s is None or since is None or health.disabled_at is not None or health.failures < LEAST_FAILURES:
        return health
    if (now - since).total_seconds() < after_s:
        return health
    said = f"{health.failures} attempts in a row have failed since {rfc3339(since)}"
    return replace(health, disabled_at=now, disabled_because=f"{said}, the last one: {health.last_said}")


def as_of(status: DestinationStatus, now: datetime, breaker: BreakerSpec | None) -> DestinationStatus:
    """Return what was stored of a destination as it counts at a start, whatever a clock said that was ahead: it is left
    alone for as long as a receiver may ask for at the most, an open breaker is tried after its longest wait at the
    latest, and nothing has begun after `now`.
    """
    health = status.health
    longest = now + timedelta(seconds=LONGEST_WAIT_S)
    latest = now + timedelta(seconds=(breaker or _DEFAULT).max_wait)  # also where it is configured no more
    health = replace(
        health,
        failing_since=health.failing_since and min(health.failing_since, now),
        opened_at=health.opened_at and min(health.opened_at, now),
        probe_at=health.probe_at and min(health.probe_at, latest),
    )
    return replace(status, not_before=status.not_before and min(status.not_before, longest), health=health)


def breaker_of(health: Health, now: datetime) -> str:
    """Return `closed`, `open`, or `half_open`: its wait is over, and one attempt may be made."""
    if health.opened_at is None:
        return "closed"
    return "open" if health.probe_at is not None and now < health.probe_at else "half_open"
