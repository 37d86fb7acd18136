"""What the status API asks about batches: plain queries on a connection that can only read."""

import sqlite3
from datetime import datetime

import orjson

from pipeline.model import Batch, BatchLine, BatchState, JobReason, JobState, Reject
from pipeline.store.engine import rows

_BATCH = f"SELECT {rows.BATCH_COLUMNS} FROM batch WHERE id = ?"
_REJECTED = "SELECT rejected FROM batch WHERE id = ?"
# Few run at once, however many the batch has.
_RUNNING = "SELECT count(*) FROM job INDEXED BY job_running WHERE state = 'running' AND batch_id = ?"
_DONE = f"""
SELECT {rows.BATCH_COLUMNS} FROM batch INDEXED BY batch_running
WHERE state = 'running' AND succeeded + failed + cancelled + expired = total
"""
_NEXT_CUT_OFF = "SELECT min(closes_at) FROM batch INDEXED BY batch_receiving WHERE state = 'receiving'"
_LINES = """
SELECT job.batch_index, json_extract(job.origin, '$.key'), job.id, job.state, job.reason, job.error,
       payload.status, payload.headers, payload.content
FROM job LEFT JOIN run ON run.job_id = job.id AND run.run = job.run AND job.ended_at IS NOT NULL
     LEFT JOIN payload ON payload.id = run.result_id
WHERE job.batch_id = ? AND job.batch_index > ? ORDER BY job.batch_index LIMIT ?
"""
_FAILURES = """
SELECT batch_index, json_extract(origin, '$.key'), id, state, reason, error, NULL, NULL, NULL
FROM job WHERE batch_id = ? AND state IN ('failed', 'expired') ORDER BY batch_index LIMIT ?
"""


def get_batch(db: sqlite3.Connection, batch_id: str) -> tuple[Batch, int] | None:
    """Return a batch and how many of its jobs run, or None."""
    row = rows.only(db, _BATCH, (batch_id,))
    if row is None:
        return None
    running = rows.only(db, _RUNNING, (batch_id,))
    return rows.batch(row), running[0] if running else 0


def list_rejected(db: sqlite3.Connection, batch_id: str) -> list[Reject]:
    """Return the first items of a batch's last upload that are not in it."""
    row = rows.only(db, _REJECTED, (batch_id,))
    return [Reject(**each) for each in orjson.loads(row[0])] if row and row[0] else []


def list_batches(
    db: sqlite3.Connection, *, before: str | None, most: int, function: str | None, state: BatchState | None
) -> list[tuple[Batch, int]]:
    """Return up to `most` batches, newest first, older than the id `before`, each with how many of its jobs run."""
    terms = ["id < :before"] if before else []
    terms += ["function = :function"] if function else []
    terms += ["state = :state"] if state else []
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    sql = f"SELECT id FROM batch {where} ORDER BY id DESC LIMIT :most"
    parameters = {"before": before, "function": function, "state": state, "most": most}
    found = (get_batch(db, row[0]) for row in db.execute(sql, parameters).fetchall())
    return [batch for batch in found if batch is not None]


def done_batches(db: sqlite3.Connection) -> list[Batch]:
    """Return the batches whose jobs have all ended, and which have not."""
    return [rows.batch(row) for row in db.execute(_DONE)]


def next_cut_off(db: sqlite3.Connection) -> datetime | None:
    """Return when the next batch that is still received will be closed, or None."""
    row = rows.only(db, _NEXT_CUT_OFF)
    return rows.moment_or_none(row[0]) if row else None


def list_lines(db: sqlite3.Connection, batch_id: str, after: int, most: int) -> list[BatchLine]:
    """Return up to `most` jobs of a batch with indexes above `after`, in order, with their results."""
    return [_line(row) for row in db.execute(_LINES, (batch_id, after, most))]


def list_failures(db: sqlite3.Connection, batch_id: str, most: int) -> list[BatchLine]:
    """Return the first `most` jobs of a batch that failed or expired, without results."""
    return [_line(row) for row in db.execute(_FAILURES, (batch_id, most))]


def _line(row: rows.Row) -> BatchLine:
    return BatchLine(
        index=row[0],
        key=row[1],
        job_id=row[2],
        state=JobState(row[3]),
        reason=row[4] and JobReason(row[4]),
        error=rows.run_error(row[5]),
        result=None if row[6] is None else rows.result(*row[6:9]),
    )
