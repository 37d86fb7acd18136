"""What waits, and what is dead, counted: plain queries on a connection that can only read.

However much that is: along indexes that hold the state too, so that no row is looked at, and of those who are asked
about only. What is being sent is never much.
"""

import sqlite3
from collections.abc import Collection, Sequence

import orjson

from pipeline.model import DeliveryState
from pipeline.store.engine import rows

# The planner takes a partial index only where the query repeats its condition word for word.
_PENDING = """
SELECT destination, state, count(*) FROM delivery INDEXED BY delivery_pending
WHERE state = 'pending'{of_these} GROUP BY destination
"""
_SENDING = """
SELECT destination, state, count(*) FROM delivery INDEXED BY delivery_sending
WHERE state = 'sending'{of_these} GROUP BY destination
"""
_UNUSUAL = """
SELECT destination, state, count(*) FROM delivery INDEXED BY delivery_unusual_of
WHERE state <> 'delivered' AND state <> 'sending' AND state <> 'pending' AND state = '{state}'{of_these}
GROUP BY destination
"""
_OPEN = f"{_PENDING} UNION ALL {_SENDING} UNION ALL {_UNUSUAL.replace('{state}', DeliveryState.RETRYING)}"
_DEAD = _UNUSUAL.replace("{state}", DeliveryState.DEAD)
_OF_THESE = " AND destination IN (SELECT value FROM json_each(:names))"

_QUEUED = """
SELECT function, 'queued', count(*) FROM job INDEXED BY job_queued
WHERE state = 'queued'{of_these} GROUP BY function
"""
_OF_THESE_FUNCTIONS = " AND function IN (SELECT value FROM json_each(:names))"

# Between one of a page and the next: however many are asked about, no row is counted twice.
_BETWEEN = """
SELECT count(*) FROM delivery INDEXED BY delivery_pending
WHERE state = 'pending' AND destination = ? AND id >= ? AND id < ?
"""


def open_deliveries(
    db: sqlite3.Connection, destinations: Collection[str] | None = None
) -> dict[tuple[str, DeliveryState], int]:
    """Count the open deliveries of these destinations, of every one where none is named, by state."""
    found = _counted(db, _OPEN, _OF_THESE, destinations)
    return {(destination, DeliveryState(state)): count for destination, state, count in found}


def pending_deliveries(db: sqlite3.Connection, destinations: Collection[str] | None = None) -> dict[str, int]:
    """Count what is pending to these destinations, or to every one."""
    return {name: count for name, _, count in _counted(db, _PENDING, _OF_THESE, destinations)}


def dead_deliveries(db: sqlite3.Connection, destinations: Collection[str] | None = None) -> dict[str, int]:
    """Count the dead deliveries of these destinations, or of every one, that are kept still."""
    return {name: count for name, _, count in _counted(db, _DEAD, _OF_THESE, destinations)}


def queued_jobs(db: sqlite3.Connection, functions: Collection[str] | None = None) -> dict[str, int]:
    """Count the queued jobs of these functions, or of every one."""
    return {name: count for name, _, count in _counted(db, _QUEUED, _OF_THESE_FUNCTIONS, functions)}


def _counted(db: sqlite3.Connection, sql: str, of_these: str, names: Collection[str] | None) -> list[rows.Row]:
    if names is None:
        return db.execute(sql.replace("{of_these}", "")).fetchall()
    named = {"names": orjson.dumps(list(names)).decode()}
    return db.execute(sql.replace("{of_these}", of_these), named).fetchall()


def count_ahead(db: sqlite3.Connection, *, destination: str, ids: Sequence[str]) -> dict[str, int]:
    """Count for each of these deliveries what is pending to its destination and claimed before it."""
    counts: dict[str, int] = {}
    ahead, since = 0, ""
    for delivery_id in sorted(ids):
        ((between,),) = db.execute(_BETWEEN, (destination, since, delivery_id))
        ahead, since = ahead + between, delivery_id
        counts[delivery_id] = ahead
    return counts
