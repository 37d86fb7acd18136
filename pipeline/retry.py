"""Retry policies: which wait follows which attempt, and when there is none left. Pure; the only importer of tenacity.

tenacity computes the waits; no task ever sleeps through one. Jitter and age are ours, since tenacity's randomness and
clock cannot be injected.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple, cast

import tenacity
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from pipeline.config.settings import RetrySpec

_MINUTE, _HOUR = 60.0, 3600.0

NAMED_WAITS = MappingProxyType(
    {
        "default": (
            5.0,
            30.0,
            2 * _MINUTE,
            10 * _MINUTE,
            30 * _MINUTE,
            2 * _HOUR,
            5 * _HOUR,
            10 * _HOUR,
            14 * _HOUR,
            20 * _HOUR,
            24 * _HOUR,
        ),
        "standard": (
            5.0,
            5 * _MINUTE,
            30 * _MINUTE,
            2 * _HOUR,
            5 * _HOUR,
            10 * _HOUR,
            14 * _HOUR,
            20 * _HOUR,
            24 * _HOUR,
        ),
        "svix": (5.0, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 10 * _HOUR),
        "fast": (1.0, 5.0, 15.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR),
    }
)
"""The policies that have a name, as waits in seconds (reference: webhook delivery, retry schedules)."""


class _CallState(NamedTuple):
    """All that tenacity's wait and stop objects read of a call."""

    attempt_number: int


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy ready to be asked; `max_attempts` counts all tries, the first included."""

    max_attempts: int
    max_age_s: float | None
    wait: wait_base
    stop: stop_base

    def wait_s(self, attempt: int) -> float | None:
        """Return the seconds to wait after `attempt` (from 1) failed, or None where no try is left."""
        state = cast(tenacity.RetryCallState, _CallState(attempt))
        return None if self.stop(state) else float(self.wait(state))


class Next(NamedTuple):
    """When the next attempt is, or None, and why in words that a person can read."""

    at: datetime | None
    why: str


def policy(spec: RetrySpec) -> Policy:
    """Return the policy that `spec` describes; a spec without anything is the policy named `default`."""
    if (growth := spec.exponential) is not None:
        wait: wait_base = tenacity.wait_exponential(multiplier=growth.base, exp_base=growth.factor, max=growth.max)
        attempts = growth.attempts
    else:
        waits = NAMED_WAITS[spec.name or "default"] if spec.waits is None else spec.waits
        wait = tenacity.wait_chain(*map(tenacity.wait_fixed, waits)) if waits else tenacity.wait_none()
        attempts = len(waits) + 1
    return Policy(attempts, spec.max_age, wait, tenacity.stop_after_attempt(attempts))


def next_attempt(
    rule: Policy,
    *,
    attempt: int,
    now: datetime,
    since: datetime,
    spent: int = 0,
    asked_s: float | None = None,
    patience_s: float | None = None,
    jitter: float = 0.0,
) -> Next:
    """Return when the attempt after `attempt` is due, which is counted after the `spent` ones of before a replay.

    `since` is the moment from which `max_age` counts; `asked_s` a wait that the receiver asked for, `patience_s` one
    that it is given unasked: the latest moment wins; `jitter` a fraction of the wait, a fifth at the most, that is
    added after that, so that nothing comes earlier than promised.
    """
    wait_s = rule.wait_s(attempt)
    # More than the policy allows, where it has become a shorter one.
    which = f"attempt {spent + attempt} of {spent + max(attempt, rule.max_attempts)}"
    if wait_s is None:
        return Next(None, f"{which} was the last")
    because = f"the policy waits {wait_s:g} s"
    if patience_s is not None and patience_s > wait_s:
        because += f", and after such a failure it is {patience_s:g} s at the least"
        wait_s = patience_s
    if asked_s is not None and asked_s > wait_s:
        because = f"the receiver asked for {asked_s:g} s"
        wait_s = asked_s
    if jitter:
        because += ", and up to a fifth is added by chance"
    at = now + timedelta(seconds=wait_s * (1 + jitter))
    if rule.max_age_s is not None and (at - since).total_seconds() > rule.max_age_s:
        return Next(None, f"the next attempt would come after max_age ({rule.max_age_s:g} s)")
    return Next(at, f"{which} failed; {because}")
