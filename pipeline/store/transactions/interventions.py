"""What callers and operators do to jobs: cancel, open again, delete. Each verb is the body of one transaction."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from pipeline.model import JobState
from pipeline.store.engine import rows
from pipeline.store.engine.rows import micros
from pipeline.store.transactions import batches, insertions, pruning

_STATE = "SELECT state FROM job WHERE id = ?"
_WAITING = "('scheduled', 'queued', 'retrying')"
_CANCEL = f"""
UPDATE job SET state = 'cancelled', reason = NULL, error = NULL, ended_at = ?, expires_at = NULL
WHERE id = ? AND state IN {_WAITING}
RETURNING batch_id
"""
_CANCEL_OF_BATCH = f"""
UPDATE job SET state = 'cancelled', reason = NULL, error = NULL, ended_at = ?, expires_at = NULL
WHERE id IN (SELECT id FROM job INDEXED BY job_of_batch WHERE batch_id = ? AND state IN {_WAITING} LIMIT ?)
RETURNING id
"""
_RUNNING_OF_BATCH = "SELECT id FROM job INDEXED BY job_running WHERE state = 'running' AND batch_id = ?"
_ENDED = """
SELECT function, priority, batch_id, state FROM job WHERE id = ? AND state IN ('failed', 'cancelled', 'expired')
"""
# With its history: rounds, runs and log lines go on counting.
_REOPEN = """
UPDATE job SET state = 'queued', round = round + 1, attempt = 0, lost = 0, max_attempts = ?, reason = NULL,
               error = NULL, progress = NULL, ended_at = NULL, due_at = ?, turn = ?
WHERE id = ?
"""
_FAILED_OF_BATCH = """
SELECT id FROM job INDEXED BY job_of_batch
WHERE batch_id = ? AND batch_index > ? AND state IN ('failed', 'expired') AND ended_at <= ?
ORDER BY batch_index LIMIT ?
"""
_INDEX = "SELECT batch_index FROM job WHERE id = ?"
_OPEN_DELIVERIES = "SELECT 1 FROM delivery WHERE job_id = ? AND state IN ('pending', 'sending', 'retrying') LIMIT 1"


class Deletion(StrEnum):
    """What became of the wish to delete a job."""

    DONE = "done"
    UNKNOWN = "unknown"
    NOT_ENDED = "not_ended"
    OWES = "owes"
    """A delivery of it is open."""


def cancel_job(db: sqlite3.Connection, job_id: str, *, now: datetime) -> tuple[JobState | None, bool]:
    """Cancel a job that waits; return the state that it is in now, None for one that is not there, and whether it was
    cancelled here. One that runs is its service's to cancel.
    """
    row = rows.only(db, _CANCEL, (micros(now), job_id))
    if row is not None:
        batches.count_ended(db, [(row[0], JobState.CANCELLED)])
        return JobState.CANCELLED, True
    row = rows.only(db, _STATE, (job_id,))
    return (JobState(row[0]) if row else None), False


def cancel_batch(db: sqlite3.Connection, batch_id: str, most: int, *, now: datetime) -> tuple[list[str], list[str]]:
    """Cancel up to `most` waiting jobs of a batch; return their ids, and those of its jobs that run."""
    found = [row[0] for row in db.execute(_CANCEL_OF_BATCH, (micros(now), batch_id, most)).fetchall()]
    batches.count_ended(db, [(batch_id, JobState.CANCELLED)] * len(found))
    return found, [row[0] for row in db.execute(_RUNNING_OF_BATCH, (batch_id,)).fetchall()]


def reopen_jobs(db: sqlite3.Connection, job_ids: Sequence[str], max_attempts: int, *, now: datetime) -> list[str]:
    """Queue jobs again that failed, were cancelled or expired, in their next round; return the ids of those."""
    reopened = []
    for job_id in job_ids:
        row = rows.only(db, _ENDED, (job_id,))
        if row is None:
            continue
        function, priority, batch_id, state = row
        turn = insertions.next_turn(db, function, priority)
        db.execute(_REOPEN, (max_attempts, micros(now), turn, job_id))
        if batch_id is not None:
            batches.count_ended(db, [(batch_id, JobState(state))], by=-1)
            batches.reopen_batch(db, batch_id)
        reopened.append(job_id)
    return reopened


def reopen_failed(
    db: sqlite3.Connection, batch_id: str, after: int, most: int, max_attempts: int, *, now: datetime
) -> tuple[int | None, int]:
    """Queue up to `most` jobs of a batch again that failed or expired before `now`, with indexes above `after`.

    Returns the index to go on from, None at the end, and how many were queued.
    """
    found = [row[0] for row in db.execute(_FAILED_OF_BATCH, (batch_id, after, micros(now), most)).fetchall()]
    reopened = reopen_jobs(db, found, max_attempts, now=now)
    last = rows.only(db, _INDEX, (found[-1],)) if len(found) == most else None
    return (last[0] if last else None), len(reopened)


def delete_job(db: sqlite3.Connection, job_id: str) -> Deletion:
    """Delete an ended job with all that belongs to it, unless it still owes a delivery."""
    row = rows.only(db, _STATE, (job_id,))
    if row is None:
        return Deletion.UNKNOWN
    if not JobState(row[0]).is_final:
        return Deletion.NOT_ENDED
    if rows.only(db, _OPEN_DELIVERIES, (job_id,)) is not None:
        return Deletion.OWES
    pruning.delete(db, job_id)
    return Deletion.DONE
