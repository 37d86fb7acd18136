"""What operators are to be told of destinations: each verb is the body of one transaction on the writer.

What is wanted is written with the attempt that brought it about, so that no crash loses it.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from pipeline.model import AlertDue, MessageType, Wanted
from pipeline.store.engine import rows
from pipeline.store.engine.rows import micros

# The first of a kind stays, until it has been told.
_WANT = """
INSERT INTO alert (destination, type, kind, wanted_at, because, delivery_id) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (destination, type) DO UPDATE SET
    kind = excluded.kind, wanted_at = excluded.wanted_at, because = excluded.because,
    delivery_id = excluded.delivery_id
WHERE wanted_at IS NULL
"""
_FAILING = "type IN ('destination.breaker_opened', 'destination.disabled')"
_DROP_FAILING = f"UPDATE alert SET wanted_at = NULL WHERE destination = ? AND {_FAILING}"
_DROP_RECOVERED = "UPDATE alert SET wanted_at = NULL WHERE destination = ? AND type = 'destination.recovered'"
_RECOVERY = "FROM alert AS r WHERE r.destination = alert.destination AND r.type = 'destination.recovered'"
_IS_TOLD = f"told_at > coalesce((SELECT told_at {_RECOVERY}), 0)"
_IS_TOLD_FAILING = f"""
SELECT 1 FROM alert WHERE destination = ? AND {_FAILING} AND {_IS_TOLD} LIMIT 1
"""
_FAILING_NAMES = f"""
SELECT DISTINCT destination FROM alert
WHERE {_FAILING} AND (wanted_at IS NOT NULL OR {_IS_TOLD})
      AND NOT EXISTS (SELECT 1 {_RECOVERY} AND r.wanted_at IS NOT NULL)
"""
_DUE = """
SELECT destination, kind, type, because, delivery_id, wanted_at, told_at FROM alert
WHERE wanted_at IS NOT NULL ORDER BY wanted_at, destination, type
"""
_TELL = """
UPDATE alert SET wanted_at = NULL, told_at = coalesce(?, told_at) WHERE destination = ? AND type = ? AND wanted_at = ?
RETURNING type
"""
_TOLD = "INSERT INTO alert_told (id) VALUES (?)"
_OLD = """
SELECT id FROM alert_told WHERE id < ?
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE job_id = alert_told.id AND state IN ('pending', 'sending', 'retrying'))
ORDER BY id LIMIT ?
"""


def want(db: sqlite3.Connection, name: str, kind: str, wanted: Sequence[Wanted], *, now: datetime) -> None:
    """Note what is to be told of a destination of a kind. A recovery is told of those only whose failing was told; what
    says the opposite, and was not told yet, need not be told any more.
    """
    for each in wanted:
        match each.type:
            case MessageType.RECOVERED:
                db.execute(_DROP_FAILING, (name,))
                if rows.only(db, _IS_TOLD_FAILING, (name,)) is None:
                    continue
            case MessageType.BREAKER_OPENED | MessageType.DISABLED:
                db.execute(_DROP_RECOVERED, (name,))
            case _:
                pass
        db.execute(_WANT, (name, each.type, kind, micros(now), each.because, each.delivery_id))


def forget_failing(db: sqlite3.Connection, name: str) -> None:
    """Forget that the failing of a destination was to be told."""
    db.execute(_DROP_FAILING, (name,))


def failing(db: sqlite3.Connection) -> frozenset[str]:
    """Return the destinations whose failing was told, or is to be, and whose recovery neither."""
    return frozenset(row[0] for row in db.execute(_FAILING_NAMES))


def list_due(db: sqlite3.Connection) -> list[AlertDue]:
    """Return all that is to be told, what came about first first."""
    return [
        AlertDue(
            destination=name,
            kind=kind,
            wanted=Wanted(type=MessageType(type_), because=because, delivery_id=delivery_id),
            wanted_at=rows.moment(wanted_at),
            told_at=rows.moment_or_none(told_at),
        )
        for name, kind, type_, because, delivery_id, wanted_at, told_at in db.execute(_DUE)
    ]


def take(db: sqlite3.Connection, due: AlertDue, alert_id: str | None, *, now: datetime) -> bool:
    """Note that something is told now, by the alert of this id, or None: by nobody to nobody; False where it is not to
    be told any more (nothing changed).
    """
    told_at = None if alert_id is None else micros(now)
    if rows.only(db, _TELL, (told_at, due.destination, due.wanted.type, micros(due.wanted_at))) is None:
        return False
    if alert_id is not None:
        db.execute(_TOLD, (alert_id,))
    return True


def old(db: sqlite3.Connection, before: str, most: int) -> list[str]:
    """Return up to `most` alerts with ids below `before` without open deliveries, oldest first."""
    return [row[0] for row in db.execute(_OLD, (before, most)).fetchall()]
