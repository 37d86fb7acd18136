"""What must be known of destinations after a restart: each verb is the body of one transaction on the writer."""

import sqlite3
from datetime import datetime

import orjson

from pipeline.model import HEALTHY, DeliveryReason, DestinationNote, DestinationStatus, Health, LastError, LastFailure
from pipeline.store.engine import rows
from pipeline.store.engine.rows import micros, micros_or_none
from pipeline.store.transactions import alerts

_MOMENTS = ("failing_since", "opened_at", "probe_at", "disabled_at")

# What never succeeded has no row of its own: found by one step from name to name along delivery_by_destination.
_LIST = """
WITH RECURSIVE owed (name) AS (
    SELECT min(destination) FROM delivery
    UNION ALL
    SELECT (SELECT min(destination) FROM delivery WHERE destination > owed.name) FROM owed WHERE owed.name IS NOT NULL
)
SELECT name, kind, last_success_at, paused_at, not_before, last_failure, health FROM destination
UNION ALL
SELECT name, (SELECT kind FROM delivery WHERE destination = owed.name ORDER BY id DESC LIMIT 1),
       NULL, NULL, NULL, NULL, NULL
FROM owed
WHERE name IS NOT NULL AND name NOT IN (SELECT name FROM destination)
"""

_PAUSE = """
INSERT INTO destination (name, kind, paused_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET paused_at = coalesce(paused_at, excluded.paused_at)
"""

# Of two moments until which it is to be left alone the later holds: both were asked for.
_NOTE = """
INSERT INTO destination (name, kind, last_success_at, not_before, last_failure, health) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET kind = excluded.kind,
    last_success_at = coalesce(excluded.last_success_at, last_success_at),
    not_before = max(coalesce(not_before, excluded.not_before), coalesce(excluded.not_before, not_before)),
    last_failure = coalesce(excluded.last_failure, last_failure),
    health = coalesce(excluded.health, health)
"""

_CORRECT = "UPDATE destination SET not_before = ?, health = ? WHERE name = ?"
_RESUME = "UPDATE destination SET paused_at = NULL, not_before = NULL, health = NULL WHERE name = ?"


def list_all(db: sqlite3.Connection) -> list[DestinationStatus]:
    """Return what is stored of every destination that a delivery was ever for, or that was paused."""
    return [
        DestinationStatus(
            name=name,
            kind=kind,
            last_success_at=rows.moment_or_none(succeeded_at),
            paused_at=rows.moment_or_none(paused_at),
            not_before=rows.moment_or_none(not_before),
            last_failure=_failure(failure),
            health=_health(health),
        )
        for name, kind, succeeded_at, paused_at, not_before, failure, health in db.execute(_LIST)
    ]


def pause(db: sqlite3.Connection, name: str, kind: str, *, now: datetime) -> None:
    """Note that a destination is paused; since when does not change where it is already."""
    db.execute(_PAUSE, (name, kind, micros(now)))


def note(db: sqlite3.Connection, name: str, kind: str, noted: DestinationNote, *, now: datetime) -> None:
    """Write what an attempt told of a destination."""
    moments = (micros_or_none(noted.succeeded_at), micros_or_none(noted.not_before))
    db.execute(_NOTE, (name, kind, *moments, rows.json_or_none(noted.failure), rows.json_or_none(noted.health)))
    alerts.want(db, name, kind, noted.wanted, now=now)


def _failure(text: str | None) -> LastFailure | None:
    if text is None:
        return None
    failure = orjson.loads(text)
    error = failure["error"]
    return LastFailure(
        at=datetime.fromisoformat(failure["at"]),
        delivery_id=failure["delivery_id"],
        error=LastError(**{**error, "reason": DeliveryReason(error["reason"])}),
    )


def _health(text: str | None) -> Health:
    if text is None:
        return HEALTHY
    held = orjson.loads(text)
    moments = {key: held[key] and datetime.fromisoformat(held[key]) for key in _MOMENTS}
    last = held["last"] and DeliveryReason(held["last"])
    return Health(**{**held, **moments, "deliveries": tuple(held["deliveries"]), "last": last})


def correct(db: sqlite3.Connection, status: DestinationStatus) -> None:
    """Write until when a destination is left alone, and how it fares, in the place of what is stored of that."""
    db.execute(_CORRECT, (micros_or_none(status.not_before), rows.json_or_none(status.health), status.name))


def resume(db: sqlite3.Connection, name: str) -> None:
    """Forget all that keeps anything from a destination: a pause, what it asked for, how it fared. Nobody needs to be
    told of that any more.
    """
    db.execute(_RESUME, (name,))
    alerts.forget_failing(db, name)
