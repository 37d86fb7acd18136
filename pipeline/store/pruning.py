"""Deleting what has outlived its retention, a small batch at a time along the ids, which are in order of time."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from pipeline.store import rows
from pipeline.store.rows import micros

_NEXT = """
SELECT id, state, ended_at,
       (SELECT count(*) FROM delivery WHERE job_id = job.id AND state IN ('pending', 'sending', 'retrying')),
       (SELECT count(*) FROM delivery WHERE job_id = job.id AND state = 'dead')
FROM job WHERE id > ? ORDER BY id LIMIT ?
"""
_PAYLOADS = """
DELETE FROM payload WHERE id IN (SELECT result_id FROM run WHERE job_id = :job UNION ALL
                                 SELECT event_id FROM job WHERE id = :job)
"""
# In this order: the attempts are found through their deliveries.
_OF_JOB = (
    "DELETE FROM attempt WHERE delivery_id IN (SELECT id FROM delivery WHERE job_id = ?)",
    "DELETE FROM delivery WHERE job_id = ?",
    "DELETE FROM message WHERE job_id = ?",
    "DELETE FROM run WHERE job_id = ?",
    "DELETE FROM log WHERE job_id = ?",
    "DELETE FROM job WHERE id = ?",
)
_INVOCATIONS = "DELETE FROM invocation WHERE id IN (SELECT id FROM invocation WHERE id < ? ORDER BY id LIMIT ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoffs:
    """Jobs that ended before these moments may go."""

    succeeded: datetime
    failed: datetime
    dead: datetime


def prune(db: sqlite3.Connection, after: str, most: int, cutoffs: Cutoffs) -> tuple[str | None, int]:
    """Look at up to `most` jobs above the id `after` and delete those that have outlived their retention.

    Returns the id to go on from, None at the end, and how many were deleted.
    """
    found = db.execute(_NEXT, (after, most)).fetchall()
    outlived = [row for row in found if _is_outlived(row, cutoffs)]
    for row in outlived:
        _delete(db, row[0])
    return (found[-1][0] if len(found) == most else None), len(outlived)


def _is_outlived(row: rows.Row, cutoffs: Cutoffs) -> bool:
    _, state, ended_at, open_deliveries, dead_deliveries = row
    if ended_at is None or open_deliveries:
        return False
    if dead_deliveries:
        return bool(ended_at < micros(cutoffs.dead))
    return bool(ended_at < micros(cutoffs.succeeded if state == "succeeded" else cutoffs.failed))


def _delete(db: sqlite3.Connection, job_id: str) -> None:
    db.execute(_PAYLOADS, {"job": job_id})
    for statement in _OF_JOB:
        db.execute(statement, (job_id,))


def prune_invocations(db: sqlite3.Connection, before: str, most: int) -> int:
    """Delete up to `most` notes of synchronous calls with ids below `before`; return how many."""
    return db.execute(_INVOCATIONS, (before, most)).rowcount
