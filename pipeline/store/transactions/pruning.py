"""Deleting what has outlived its retention, a small batch at a time along the ids, which are in order of time."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from pipeline.store.engine import rows
from pipeline.store.engine.rows import micros
from pipeline.store.transactions import alerts

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
# In this order: the attempts are found through their deliveries. Messages of batches and alerts have the ids of these
# for a job's.
_OF_MESSAGES = (
    "DELETE FROM attempt WHERE delivery_id IN (SELECT id FROM delivery WHERE job_id = ?)",
    "DELETE FROM delivery WHERE job_id = ?",
    "DELETE FROM message WHERE job_id = ?",
)
_OF_JOB = (
    *_OF_MESSAGES,
    "DELETE FROM job_tag WHERE (tag, job_id) IN (SELECT value, job.id FROM job, json_each(job.tags) WHERE job.id = ?)",
    "DELETE FROM run WHERE job_id = ?",
    "DELETE FROM log WHERE job_id = ?",
    "DELETE FROM job WHERE id = ?",
)
_BATCHES = """
SELECT id FROM batch
WHERE id < ? AND ended_at < ? AND NOT EXISTS (SELECT 1 FROM job WHERE batch_id = batch.id)
      AND NOT EXISTS (SELECT 1 FROM delivery WHERE job_id = batch.id AND state IN ('pending', 'sending', 'retrying'))
ORDER BY id LIMIT ?
"""
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
        delete(db, row[0])
    return (found[-1][0] if len(found) == most else None), len(outlived)


def _is_outlived(row: rows.Row, cutoffs: Cutoffs) -> bool:
    _, state, ended_at, open_deliveries, dead_deliveries = row
    if ended_at is None or open_deliveries:
        return False
    if dead_deliveries:
        return bool(ended_at < micros(cutoffs.dead))
    return bool(ended_at < micros(cutoffs.succeeded if state == "succeeded" else cutoffs.failed))


def delete(db: sqlite3.Connection, job_id: str) -> None:
    """Delete a job with all that belongs to it."""
    db.execute(_PAYLOADS, {"job": job_id})
    for statement in _OF_JOB:
        db.execute(statement, (job_id,))


def prune_batches(db: sqlite3.Connection, before: str, most: int, *, ended_before: datetime) -> int:
    """Delete up to `most` batches with ids below `before` without jobs and open deliveries; return how many."""
    found = db.execute(_BATCHES, (before, micros(ended_before), most)).fetchall()
    for (batch_id,) in found:
        for statement in (*_OF_MESSAGES, "DELETE FROM batch WHERE id = ?"):
            db.execute(statement, (batch_id,))
    return len(found)


def prune_alerts(db: sqlite3.Connection, before: str, most: int) -> int:
    """Delete up to `most` alerts with ids below `before` without open deliveries; return how many."""
    found = alerts.old(db, before, most)
    for alert_id in found:
        for statement in (*_OF_MESSAGES, "DELETE FROM alert_told WHERE id = ?"):
            db.execute(statement, (alert_id,))
    return len(found)


def prune_invocations(db: sqlite3.Connection, before: str, most: int) -> int:
    """Delete up to `most` notes of synchronous calls with ids below `before`; return how many."""
    return db.execute(_INVOCATIONS, (before, most)).rowcount
