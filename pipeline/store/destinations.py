"""What must be known of destinations after a restart: each verb is the body of one transaction on the writer."""

import sqlite3
from datetime import datetime

from pipeline.model import DestinationStatus
from pipeline.store import rows
from pipeline.store.rows import micros

# What never succeeded has no row of its own: found by one step from name to name along delivery_by_destination.
_LIST = """
WITH RECURSIVE owed (name) AS (
    SELECT min(destination) FROM delivery
    UNION ALL
    SELECT (SELECT min(destination) FROM delivery WHERE destination > owed.name) FROM owed WHERE owed.name IS NOT NULL
)
SELECT name, kind, last_success_at, paused_at, not_before FROM destination
UNION ALL
SELECT name, (SELECT kind FROM delivery WHERE destination = owed.name ORDER BY id DESC LIMIT 1), NULL, NULL, NULL
FROM owed
WHERE name IS NOT NULL AND name NOT IN (SELECT name FROM destination)
"""

_PAUSE = """
INSERT INTO destination (name, kind, paused_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET paused_at = coalesce(paused_at, excluded.paused_at)
"""

# The later of two moments holds: both were asked for.
_DEFER = """
INSERT INTO destination (name, kind, not_before) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET not_before = max(coalesce(not_before, 0), excluded.not_before)
"""

_RESUME = "UPDATE destination SET paused_at = NULL WHERE name = ?"


def list_all(db: sqlite3.Connection) -> list[DestinationStatus]:
    """Return what is stored of every destination that a delivery was ever for, or that was paused."""
    return [
        DestinationStatus(
            name=name,
            kind=kind,
            last_success_at=rows.moment_or_none(succeeded_at),
            paused_at=rows.moment_or_none(paused_at),
            not_before=rows.moment_or_none(not_before),
        )
        for name, kind, succeeded_at, paused_at, not_before in db.execute(_LIST)
    ]


def pause(db: sqlite3.Connection, name: str, kind: str, *, now: datetime) -> None:
    """Note that a destination is paused; since when does not change where it is already."""
    db.execute(_PAUSE, (name, kind, micros(now)))


def defer(db: sqlite3.Connection, name: str, kind: str, *, not_before: datetime) -> None:
    """Note that a destination is to be left alone until a moment, or a later one that was noted."""
    db.execute(_DEFER, (name, kind, micros(not_before)))


def resume(db: sqlite3.Connection, name: str) -> None:
    """Note that a destination is not paused."""
    db.execute(_RESUME, (name,))
