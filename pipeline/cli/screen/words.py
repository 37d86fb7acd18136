"""Moments, counts and states in words. Pure: `now` comes in."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline import counts
from pipeline.cli.screen.clean import clean_line
from pipeline.spans import span

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

DELIVERY_STATES = ("dead", "held", "retrying", "sending", "pending", "delivered", "skipped", "cancelled")
"""The states of deliveries, in the order of how much they matter to somebody who looks."""
OPEN_DELIVERIES = ("pending", "sending", "retrying")
"""Those that go on by themselves."""
WAITING = frozenset({"scheduled", "queued", "retrying"})
"""The states of a job that is to run, and does not."""
FINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})
"""The states in which a job has ended."""
count = counts.count
"""Returns `1 job`, `1,000 jobs`."""


def moment(text: str | None) -> datetime | None:
    """Return a moment of the API's; None for None."""
    return None if text is None else datetime.fromisoformat(text)


def clock_time(at: datetime, now: datetime) -> str:
    """Return a moment as a clock on the wall shows it, with the date where it is another day."""
    local = at.astimezone()
    return f"{local:%H:%M:%S}" if local.date() == now.astimezone().date() else f"{local:%Y-%m-%d %H:%M:%S}"


def exact_time(at: datetime) -> str:
    """Return a moment with its milliseconds."""
    local = at.astimezone()
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"


def full_time(at: datetime) -> str:
    """Return a moment with its date and its time zone."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def age(at: datetime, now: datetime) -> str:
    """Return how long ago a moment was, in its biggest unit."""
    seconds = (now - at).total_seconds()
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return f"{max(int(seconds), 0)} s"


def when(at: datetime, now: datetime) -> str:
    """Return a moment that is to come, as a span and as a time of day; `now` for one that has passed."""
    return f"{until(at, now)}, at {clock_time(at, now)}" if (at - now).total_seconds() >= 1 else "now"


def until(at: datetime, now: datetime) -> str:
    """Return how far off a moment is: `in 4 m 10 s`, or `now`."""
    seconds = (at - now).total_seconds()
    return f"in {span(seconds)}" if seconds >= 1 else "now"


def took(started: str | None, ended: str | None, now: datetime) -> str:
    """Return how long something took, or takes so far; empty where it has not begun."""
    if started is None:
        return ""
    end = moment(ended) or now
    return span((end - datetime.fromisoformat(started)).total_seconds())


def deliveries(counts: Mapping[str, int]) -> str:
    """Return how deliveries stand: `1 dead, 2 delivered`; empty where there are none."""
    return ", ".join(f"{counts[state]} {state}" for state in DELIVERY_STATES if counts.get(state))


def state(shown: Mapping[str, Any]) -> str:
    """Return a state with its reason behind it, where it has one."""
    return f"{shown['state']} ({shown['reason']})" if shown.get("reason") else str(shown["state"])


def progress(shown: Mapping[str, Any]) -> str:
    """Return what a function said of its progress: `40 of 120, reading page 40`."""
    parts = []
    if shown["done"] is not None:
        parts.append(f"{shown['done']:g}" + (f" of {shown['total']:g}" if shown["total"] is not None else ""))
    if shown["note"]:
        parts.append(clean_line(shown["note"]))
    return ", ".join(parts)
