"""What the status API asks: plain queries on a connection that can only read."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from pipeline.model import (
    Attempt,
    Delivery,
    DeliveryReason,
    DeliveryState,
    Job,
    JobReason,
    JobState,
    Outcome,
    Result,
    Run,
    RunState,
    Verdict,
)
from pipeline.store.engine import rows

_JOB = f"""
SELECT {rows.JOB_COLUMNS},
       (SELECT json_group_array(json_array(destination, state, number))
        FROM (SELECT destination, state, count(*) AS number FROM delivery WHERE job_id = job.id
              GROUP BY destination, state))
FROM job WHERE id = ?
"""
_DELIVERY = f"SELECT {rows.DELIVERY_COLUMNS} FROM delivery WHERE id = ?"
_COUNTS = "SELECT destination, state, count(*) FROM delivery WHERE job_id = ? GROUP BY destination, state"
_RESULT = """
SELECT payload.status, payload.headers, payload.content
FROM job JOIN run ON run.job_id = job.id AND run.run = job.run JOIN payload ON payload.id = run.result_id
WHERE job.id = ? AND job.ended_at IS NOT NULL
"""
_EVENT = "SELECT payload.content FROM job JOIN payload ON payload.id = job.event_id WHERE job.id = ?"
_RUNS = """
SELECT run, attempt, round, state, reason, started_at, ended_at, error
FROM run WHERE job_id = ? AND run > ? ORDER BY run LIMIT ?
"""
_ATTEMPTS = """
SELECT number, trigger, started_at, duration_s, verdict, class, message, status, headers, body, remote_address,
       retry_after_s, next_attempt_at, why
FROM attempt WHERE delivery_id = ? ORDER BY number
"""
_CACHED_ERROR = 4096  # of an error that may be as long as it likes

# The planner takes a partial index only where the query repeats its condition word for word.
_UNUSUAL = "state <> 'succeeded' AND state <> 'running' AND state <> 'queued'"
_JOB_STATE_TERMS: Mapping[JobState, str] = {
    JobState.QUEUED: "state = 'queued'",
    JobState.RUNNING: "state = 'running'",
    JobState.SUCCEEDED: "state = 'succeeded'",
} | {
    state: f"{_UNUSUAL} AND state = '{state}'"
    for state in (JobState.SCHEDULED, JobState.RETRYING, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED)
}

# Left to itself the planner takes an index over all jobs, of which a million may have ended. What has succeeded is
# found along these, being what most of them are; what runs is never much.
_INDEXES: Mapping[JobState, str] = {
    JobState.QUEUED: "INDEXED BY job_queued",
    JobState.RUNNING: "INDEXED BY job_running",
    JobState.SUCCEEDED: "",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JobView:
    """A job and how many of its deliveries stand where: (destination, state) to count.

    Equal to itself only: as long as nothing has changed, the same is read again and again.
    """

    job: Job
    deliveries: Mapping[tuple[str, DeliveryState], int]


def get_job(db: sqlite3.Connection, job_id: str) -> JobView | None:
    """Return a job with the count of its deliveries, or None."""
    row = rows.only(db, _JOB, (job_id,))
    if row is None:
        return None
    error = row[rows.ERROR]
    return _view(row) if error is None or len(error) < _CACHED_ERROR else _view.__wrapped__(row)


# A pure function of the row, which those who poll a status URL have read unchanged most of the time.
@lru_cache(maxsize=1024)
def _view(row: rows.Row) -> JobView:
    return JobView(job=rows.job(row), deliveries=_counts(orjson.loads(row[-1])))


def _counts(found: Iterable[rows.Row]) -> dict[tuple[str, DeliveryState], int]:
    return {(destination, DeliveryState(state)): count for destination, state, count in found}


def list_jobs(
    db: sqlite3.Connection,
    *,
    before: str | None,
    most: int,
    function: str | None = None,
    state: JobState | None = None,
    parent_id: str | None = None,
    batch_id: str | None = None,
    tag: str | None = None,
    since: str | None = None,
) -> list[JobView]:
    """Return up to `most` jobs, newest first, older than the id `before`, not older than the id `since`."""
    terms = ["id < :before"] if before else []
    terms += ["id >= :since"] if since else []
    terms += ["batch_id = :batch_id"] if batch_id else []
    terms += ["id IN (SELECT job_id FROM job_tag WHERE tag = :tag)"] if tag else []
    terms += ["function = :function"] if function else []
    terms += [_JOB_STATE_TERMS[state]] if state else []
    terms += ["parent_id = :parent_id"] if parent_id else []
    if state is not None and not (tag or parent_id):  # of these there are fewer, and they have indexes
        # Of what is found only the page's rows.
        index = _index_of(state, has_function=bool(function), has_batch=bool(batch_id))
        terms = [f"id IN (SELECT id FROM job {index} {_where(terms)} ORDER BY id DESC LIMIT :most)"]
    sql = f"SELECT {rows.JOB_COLUMNS} FROM job {_where(terms)} ORDER BY id DESC LIMIT :most"
    parameters: dict[str, Any] = {"before": before, "function": function, "parent_id": parent_id, "most": most}
    parameters |= {"batch_id": batch_id, "tag": tag, "since": since}
    found = db.execute(sql, parameters).fetchall()
    return [JobView(job=rows.job(row), deliveries=_counts(db.execute(_COUNTS, (row[0],)))) for row in found]


def _index_of(state: JobState, *, has_function: bool, has_batch: bool) -> str:
    if has_batch and state in (JobState.QUEUED, JobState.SUCCEEDED):  # which most of a batch are
        return "INDEXED BY job_of_batch"
    narrowed = "_of_batch" if has_batch else "_of" if has_function else ""
    return _INDEXES.get(state, f"INDEXED BY job_unusual{narrowed}")


def _where(terms: list[str]) -> str:
    return f"WHERE {' AND '.join(terms)}" if terms else ""


def get_result(db: sqlite3.Connection, job_id: str) -> Result | None:
    """Return the stored result of a job, or None."""
    row = rows.only(db, _RESULT, (job_id,))
    return rows.result(*row) if row else None


def get_event(db: sqlite3.Connection, job_id: str) -> bytes | None:
    """Return the event that a job's function is called with, as JSON, or None."""
    row = rows.only(db, _EVENT, (job_id,))
    return row[0] if row else None


def list_runs(db: sqlite3.Connection, job_id: str, after: int, most: int) -> list[Run]:
    """Return up to `most` ended runs of a job numbered above `after`, oldest first."""
    return [
        Run(
            run=row[0],
            attempt=row[1],
            round=row[2],
            state=RunState(row[3]),
            reason=row[4] and JobReason(row[4]),
            started_at=rows.moment(row[5]),
            ended_at=rows.moment(row[6]),
            error=rows.run_error(row[7]),
        )
        for row in db.execute(_RUNS, (job_id, after, most))
    ]


def get_delivery(db: sqlite3.Connection, delivery_id: str) -> Delivery | None:
    """Return a delivery, or None."""
    row = rows.only(db, _DELIVERY, (delivery_id,))
    return rows.delivery(row) if row else None


def list_attempts(db: sqlite3.Connection, delivery_id: str) -> list[Attempt]:
    """Return all attempts of a delivery, oldest first."""
    return [_attempt(row) for row in db.execute(_ATTEMPTS, (delivery_id,))]


def _attempt(row: rows.Row) -> Attempt:
    outcome = Outcome(
        verdict=Verdict(row[4]),
        reason=row[5] and DeliveryReason(row[5]),
        message=row[6],
        status=row[7],
        headers=tuple((name, value) for name, value in orjson.loads(row[8])),
        body=row[9],
        remote_address=row[10],
        retry_after_s=row[11],
    )
    return Attempt(
        number=row[0],
        trigger=row[1],
        started_at=rows.moment(row[2]),
        duration_s=row[3],
        outcome=outcome,
        next_attempt_at=rows.moment_or_none(row[12]),
        why=row[13],
    )
