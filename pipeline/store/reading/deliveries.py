"""Lists of deliveries as the status API shows them: plain queries on a connection that can only read."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import orjson

from pipeline.model import HELD_STATES, Delivery, DeliveryState, Holding
from pipeline.store.engine import rows

# The planner takes a partial index only where the query repeats its condition word for word.
_UNUSUAL = "state <> 'delivered' AND state <> 'sending' AND state <> 'pending'"
_STATE_TERMS: Mapping[DeliveryState, str] = {
    DeliveryState.PENDING: "state = 'pending'",
    DeliveryState.SENDING: "state = 'sending'",
    DeliveryState.DELIVERED: "state = 'delivered'",
} | {
    state: f"{_UNUSUAL} AND state = '{state}'"
    for state in (DeliveryState.RETRYING, DeliveryState.DEAD, DeliveryState.SKIPPED, DeliveryState.CANCELLED)
}

# Left to itself the planner takes an index over all deliveries, of which a million may have ended. What is delivered is
# found along these, being what most of them are; what is being sent is never much.
_INDEXES: Mapping[DeliveryState, str] = {
    DeliveryState.PENDING: "INDEXED BY delivery_pending",
    DeliveryState.SENDING: "INDEXED BY delivery_sending",
    DeliveryState.DELIVERED: "",
    DeliveryState.RETRYING: "INDEXED BY delivery_unusual_of",
}
"""Those of the states that have one whether it is one destination that is asked about or all."""

# Many may wait, and by destination: from name to name along the index, and of each only the newest.
_OF_EACH_DESTINATION = """
SELECT id FROM (
    WITH RECURSIVE owed (name) AS (
        SELECT min(destination) FROM delivery {index} WHERE {state}
        UNION ALL
        SELECT (SELECT min(destination) FROM delivery {index} WHERE {state} AND destination > owed.name)
        FROM owed WHERE owed.name IS NOT NULL
    )
    SELECT delivery.id AS id FROM owed CROSS JOIN delivery ON delivery.id IN (
        SELECT id FROM delivery {index} WHERE {state} AND destination = owed.name{narrowed} ORDER BY id DESC LIMIT :most
    )
    WHERE owed.name IS NOT NULL AND {standing}
)
"""

_HAS_GONE = "{name} NOT IN (SELECT value FROM json_each(:configured))"
_IS_STOPPED = "{name} IN (SELECT value FROM json_each(:stopped))"
_IS_UNBEGUN = "id IN (SELECT value FROM json_each(:unbegun))"


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
    if state is not None:
        # By the index of each state that is stored, and of what is found only the page's rows.
        found = " UNION ALL ".join(
            _ids(stored, standing, terms, destination) for stored, standing in _stored(state, holding, destination)
        )
        terms = [f"id IN (SELECT id FROM ({found}) ORDER BY id DESC LIMIT :most)"]
    sql = f"SELECT {rows.DELIVERY_COLUMNS} FROM delivery {_where(terms)} ORDER BY id DESC LIMIT :most"
    return [rows.delivery(row) for row in db.execute(sql, parameters)]


def _stored(
    state: DeliveryState, holding: Holding | None, destination: str | None
) -> Iterator[tuple[DeliveryState, str]]:
    """Yield the states in which those are stored that are shown in one, each with what else must be true of them."""
    if holding is None:
        yield state, "true"
        return
    has_gone, takes_none = _terms_of(holding, destination)
    # What was claimed and has not begun as its destination stopped is about to go back, and held by then already.
    held_in_sending = f"({has_gone} OR {_IS_UNBEGUN} AND {takes_none})"
    match state:
        case DeliveryState.HELD:  # never stored
            yield DeliveryState.PENDING, takes_none
            yield DeliveryState.RETRYING, takes_none
            yield DeliveryState.SENDING, held_in_sending
        case DeliveryState.PENDING:
            yield DeliveryState.PENDING, f"NOT {takes_none}"
            if holding.unbegun:
                yield DeliveryState.SENDING, f"{_IS_UNBEGUN} AND NOT {takes_none}"
        case DeliveryState.RETRYING:
            yield DeliveryState.RETRYING, f"NOT {takes_none}"
        case DeliveryState.SENDING:
            yield DeliveryState.SENDING, f"NOT {_IS_UNBEGUN} AND NOT {held_in_sending}"
        case _:
            yield state, "true"


def _terms_of(holding: Holding, destination: str | None) -> tuple[str, str]:
    """Return whether a destination is not configured, and whether it takes nothing: of one that is named as what it is,
    so that nothing is looked for in vain.
    """
    if destination is None:
        return _HAS_GONE, f"({_HAS_GONE} OR {_IS_STOPPED})"
    has_gone = destination not in holding.configured
    takes_none = has_gone or destination in holding.stopped
    return ("true" if has_gone else "false"), ("true" if takes_none else "false")


def _ids(stored: DeliveryState, standing: str, terms: Sequence[str], destination: str | None) -> str:
    """Return the query for the ids of deliveries in a state that is stored."""
    state = _STATE_TERMS[stored]
    index = _INDEXES.get(stored, f"INDEXED BY delivery_unusual{'' if destination is None else '_of'}")
    if destination is None and stored in HELD_STATES:
        narrowed = "".join(f" AND {term}" for term in terms)
        standing = standing.format(name="owed.name")
        return _OF_EACH_DESTINATION.format(index=index, state=state, narrowed=narrowed, standing=standing)
    return f"SELECT id FROM delivery {index} {_where([*terms, state, standing.format(name='destination')])}"


def _where(terms: list[str]) -> str:
    return f"WHERE {' AND '.join(terms)}" if terms else ""
