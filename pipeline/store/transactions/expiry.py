"""Jobs that were not started in time: finding them, and ending them. Each verb is the body of one transaction.

`job.expires_at` stands only in rows that may still expire: a claim clears it, so that a job that was started once, and
waits for its next run, does not. Jobs of functions without `max_age` never have one, and are in none of these indexes.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.lifecycle import JobStep
from pipeline.model import Job
from pipeline.store.engine import bulk, rows
from pipeline.store.engine.rows import micros
from pipeline.store.transactions import batches, deliveries
from pipeline.store.transactions.deliveries import Ending

_MAY_EXPIRE = "expires_at IS NOT NULL AND state IN ('scheduled', 'queued')"

_OVERDUE = f"""
SELECT {rows.JOB_COLUMNS} FROM job INDEXED BY job_expires
WHERE {_MAY_EXPIRE} AND expires_at <= ? ORDER BY expires_at LIMIT ?
"""

_NEXT = f"SELECT min(expires_at) FROM job INDEXED BY job_expires WHERE {_MAY_EXPIRE} AND expires_at > ?"

# A job that was claimed, cancelled or ended meanwhile does not match, and nothing changes.
_EXPIRE = f"""
UPDATE job SET state = ended.column2, ended_at = ended.column3, expires_at = NULL
FROM ({{values}}) AS ended
WHERE job.id = ended.column1 AND {_MAY_EXPIRE} AND job.expires_at <= ended.column3
RETURNING id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """The end of a job that was not started in time, and what that owes."""

    job: Job
    step: JobStep
    now: datetime
    ending: Ending


def overdue(db: sqlite3.Connection, most: int, *, now: datetime) -> tuple[list[Job], datetime | None]:
    """Return up to `most` jobs that should have been started by now, the longest overdue first, and when the next job
    expires.
    """
    found = [rows.job(row) for row in db.execute(_OVERDUE, (micros(now), most)).fetchall()]
    row = rows.only(db, _NEXT, (micros(now),))
    return found, rows.moment_or_none(row[0]) if row else None


def expire_jobs(db: sqlite3.Connection, items: Sequence[Expiry]) -> list[list[bool] | None]:
    """End jobs that were not started in time, with their messages and deliveries.

    Returns for each which of the ending's deliveries were claimed, or None where the job does not wait any more: then
    nothing changed.
    """
    if len({item.job.id for item in items}) < len(items):  # two ends of one job: one after the other
        return [outcome for item in items for outcome in expire_jobs(db, [item])]
    steps = [(item.job.id, item.step.state, micros(item.now)) for item in items]
    written = {row[0] for row in bulk.execute(db, _EXPIRE, steps)}
    batches.count_ended(db, [(item.job.batch_id, item.step.state) for item in items if item.job.id in written])
    claims = iter(deliveries.insert_messages(db, [(item.ending, None) for item in items if item.job.id in written]))
    return [next(claims) if item.job.id in written else None for item in items]
