"""Lists of deliveries as the status API shows them: plain queries on a connection that can only read."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import orjson

from pipeline.model import Delivery, DeliveryState, Holding
from pipeline.store.engine import rows

# The planner takes a partial index only where the query repeats its condition word for word.
_STATE_TERMS: Mapping[DeliveryState, str] = {
    DeliveryState.PENDING: "state = 'pending'",
    DeliveryState.SENDING: "state = 'sending'",
    DeliveryState.DELIVERED: "state = 'delivered'",
} | {
    state: f"state IN ('retrying', 'dead', 'skipped', 'cancelled') AND state = '{state}'"
    for state in (DeliveryState.RETRYING, DeliveryState.DEAD, DeliveryState.SKIPPED, DeliveryState.CANCELLED)
}
_HAS_GONE = "destination NOT IN (SELECT value FROM json_each(:configured))"
_TAKES_NONE = f"({_HAS_GONE} OR destination IN (SELECT value FROM json_each(:stopped)))"
_IS_UNBEGUN = "id IN (SELECT value FROM json_each(:unbegun))"
_HELD_TERMS: Mapping[DeliveryState, str] = {
    DeliveryState.PENDING: _TAKES_NONE,
    DeliveryState.RETRYING: _TAKES_NONE,
    # What was claimed and has not begun as its destination stopped is about to go back, and held by then already.
    DeliveryState.SENDING: f"({_HAS_GONE} OR {_IS_UNBEGUN} AND {_TAKES_NONE})",
}
"""What is held of those in a state that is stored."""


# Between one of a page and the next: however many are asked about, no row is counted twice.
_BETWEEN = """
SELECT count(*) FROM delivery INDEXED BY delivery_pending
WHERE state = 'pending' AND destination = ? AND id >= ? AND id < ?
"""


class Narrowed(TypedDict, total=False):
    """What a list of deliveries is narrowed to; None, or not there, for all."""

    job_id: str | None
    destination: str | None
    state: DeliveryState | None
    """As it is stored; with `holding` as it is shown."""
    holding: Holding | None


def list_deliveries(
    db: sqlite3.Connection,
    *,
    before: str | None,
    most: int,
    job_id: str | None = None,
    destination: str | None = None,
    state: DeliveryState | None = None,
    holding: Holding | None = None,
) -> list[Delivery]:
    """Return up to `most` deliveries, newest first, older than the id `before`."""
    terms = ["id < :before"] if before else []
    terms += ["job_id = :job_id"] if job_id else []
    terms += ["destination = :destination"] if destination else []
    parameters: dict[str, Any] = {"before": before, "job_id": job_id, "destination": destination, "most": most}
    if holding is not None:
        names = {"configured": holding.configured, "stopped": holding.stopped, "unbegun": holding.unbegun}
        parameters |= {key: orjson.dumps(sorted(value)).decode() for key, value in names.items()}
    if state is DeliveryState.HELD:
        # Never stored: by the index of each state that may be held, and of what is found only the page's rows.
        found = " UNION ALL ".join(
            f"SELECT id FROM delivery {_where([*terms, _STATE_TERMS[stored], held])}"
            for stored, held in _HELD_TERMS.items()
        )
        terms = [f"id IN (SELECT id FROM ({found}) ORDER BY id DESC LIMIT :most)"]
    elif state is DeliveryState.PENDING and holding is not None and holding.unbegun:
        terms += [f"NOT {_HELD_TERMS[state]}"]
        found = " UNION ALL ".join(
            f"SELECT id FROM delivery {_where([*terms, stored])}"
            for stored in (_STATE_TERMS[state], f"{_STATE_TERMS[DeliveryState.SENDING]} AND {_IS_UNBEGUN}")
        )
        terms = [f"id IN (SELECT id FROM ({found}) ORDER BY id DESC LIMIT :most)"]
    elif state is not None:
        terms += [_STATE_TERMS[state]]
        if state is DeliveryState.SENDING and holding is not None and holding.unbegun:
            terms += [f"NOT {_IS_UNBEGUN}"]
        terms += [f"NOT {_HELD_TERMS[state]}"] if holding is not None and state in _HELD_TERMS else []
    sql = f"SELECT {rows.DELIVERY_COLUMNS} FROM delivery {_where(terms)} ORDER BY id DESC LIMIT :most"
    return [rows.delivery(row) for row in db.execute(sql, parameters)]


def count_ahead(db: sqlite3.Connection, *, destination: str, ids: Sequence[str]) -> dict[str, int]:
    """Count for each of these deliveries what is pending to its destination and claimed before it."""
    counts: dict[str, int] = {}
    ahead, since = 0, ""
    for delivery_id in sorted(ids):
        ((between,),) = db.execute(_BETWEEN, (destination, since, delivery_id))
        ahead, since = ahead + between, delivery_id
        counts[delivery_id] = ahead
    return counts


def _where(terms: list[str]) -> str:
    return f"WHERE {' AND '.join(terms)}" if terms else ""
