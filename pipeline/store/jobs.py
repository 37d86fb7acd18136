"""Jobs: inserting, claiming, finishing, renewing, promoting. Each verb is the body of one transaction on the writer."""

import sqlite3
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.lifecycle import JobStep
from pipeline.model import ClaimedJob, DeliveryDraft, Job, JobDraft, Lease, Message, Result, RunOutcome
from pipeline.store import deliveries, logs, rows
from pipeline.store.rows import micros

# A job may be claimed as it is inserted only where nothing of its function waits before it.
_HAS_QUEUED = "SELECT 1 FROM job INDEXED BY job_queued WHERE state = 'queued' AND function = ? LIMIT 1"

_INSERT_EVENT = "INSERT INTO payload (content) VALUES (?)"

_INSERT = """
INSERT INTO job (id, function, state, priority, attempt, max_attempts, run, lost, round, created_at, due_at, started_at,
                 timeout_s, tags, parent_id, depth, event_id, lease_owner, lease_token, lease_expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, 0, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

# Counted as it is claimed, not as it fails, so that a job that kills its service cannot run for ever (finding 7).
_CLAIM = f"""
UPDATE job SET state = 'running', run = run + 1, attempt = attempt + 1, started_at = :now,
               lease_owner = :owner, lease_token = :token, lease_expires_at = :expires
WHERE id IN (SELECT id FROM job INDEXED BY job_queued
             WHERE state = 'queued' AND function = :function ORDER BY priority, id LIMIT :most)
RETURNING {rows.JOB_COLUMNS}, event_id
"""

_EVENT = "SELECT content FROM payload WHERE id = ?"

_INSERT_RESULT = "INSERT INTO payload (status, headers, content) VALUES (?, ?, ?)"

_FINISH = """
UPDATE job SET state = ?, reason = ?, attempt = ?, lost = ?, due_at = ?, ended_at = ?, error = ?,
               lease_owner = NULL, lease_token = NULL, lease_expires_at = NULL
WHERE id = ? AND state = 'running' AND lease_token = ?
"""

_INSERT_RUN = """
INSERT INTO run (job_id, run, attempt, round, state, reason, started_at, ended_at, error, result_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_RENEW = """
UPDATE job SET lease_expires_at = ? WHERE state = 'running' AND lease_owner = ? RETURNING id, lease_token
"""

_PROMOTE = """
UPDATE job SET state = 'queued'
WHERE id IN (SELECT id FROM job WHERE state IN ('scheduled', 'retrying') AND due_at <= ? ORDER BY due_at LIMIT ?)
RETURNING function
"""

_NEXT_DUE = "SELECT min(due_at) FROM job WHERE state IN ('scheduled', 'retrying')"

_LEASED = f"SELECT {rows.JOB_COLUMNS}, lease_token FROM job WHERE state = 'running' AND lease_owner = ?"
_EXPIRED = f"SELECT {rows.JOB_COLUMNS}, lease_token FROM job WHERE state = 'running' AND lease_expires_at < ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What a job's end owes to the outside: one message and its deliveries, each perhaps claimed in the same breath."""

    message: Message
    deliveries: tuple[DeliveryDraft, ...]
    leases: tuple[Lease | None, ...]
    """One for each delivery: under this lease the service would send it at once."""


def insert_job(db: sqlite3.Connection, draft: JobDraft, *, now: datetime, lease: Lease | None) -> bool:
    """Store a job and its event; return whether it was claimed under `lease`, which needs that nothing waits before
    it.
    """
    is_claimed = lease is not None and rows.only(db, _HAS_QUEUED, (draft.function,)) is None
    at = micros(now)
    db.execute(
        _INSERT,
        (
            draft.id,
            draft.function,
            "running" if is_claimed else "queued",
            draft.priority,
            int(is_claimed),
            draft.max_attempts,
            int(is_claimed),
            at,
            at,
            at if is_claimed else None,
            draft.timeout_s,
            rows.json_or_none(draft.tags),
            draft.parent_id,
            draft.depth,
            db.execute(_INSERT_EVENT, (draft.event,)).lastrowid,
            *_lease_columns(lease if is_claimed else None),
        ),
    )
    return is_claimed


def _lease_columns(lease: Lease | None) -> tuple[Any, Any, Any]:
    return (None, None, None) if lease is None else (lease.owner, lease.token, micros(lease.expires_at))


def claim_jobs(db: sqlite3.Connection, function: str, most: int, *, now: datetime, lease: Lease) -> list[ClaimedJob]:
    """Claim up to `most` queued jobs of `function`, the most urgent and oldest first, with their events."""
    claim = {
        "now": micros(now),
        "owner": lease.owner,
        "token": lease.token,
        "expires": micros(lease.expires_at),
        "function": function,
        "most": most,
    }
    # RETURNING comes back unordered; the columns hold the order: priority is the fifth, id the first.
    found = sorted(db.execute(_CLAIM, claim).fetchall(), key=lambda row: (row[4], row[0]))
    return [ClaimedJob(job=rows.job(row), token=lease.token, event=_event(db, row[-1])) for row in found]


def _event(db: sqlite3.Connection, event_id: int) -> bytes:
    row = rows.only(db, _EVENT, (event_id,))
    return bytes(row[0]) if row else b""


def finish_run(
    db: sqlite3.Connection,
    job: Job,
    token: int,
    step: JobStep,
    outcome: RunOutcome,
    *,
    now: datetime,
    ending: Ending | None = None,
) -> list[bool] | None:
    """Write the end of a run, and with a job's end its result, message and deliveries, in this one transaction.

    Returns which of the ending's deliveries were claimed, or None where the lease is no longer held: then nothing
    changed.
    """
    if not _write_step(db, job.id, token, step, now):
        return None
    result_id = _insert_result(db, outcome.result) if step.state.is_final and outcome.result is not None else None
    _insert_run(db, job, step, outcome, result_id, now)
    logs.append(db, job.id, job.run, outcome.output)
    return (
        []
        if ending is None
        else deliveries.insert_message(db, ending.message, result_id, ending.deliveries, ending.leases, now)
    )


def _insert_result(db: sqlite3.Connection, result: Result) -> int | None:
    headers = rows.json_or_none(result.headers) or "[]"
    return db.execute(_INSERT_RESULT, (result.status, headers, result.body)).lastrowid


def _write_step(db: sqlite3.Connection, job_id: str, token: int, step: JobStep, now: datetime) -> bool:
    change = (
        step.state,
        step.reason,
        step.attempt,
        step.lost,
        micros(step.due_at),
        micros(now) if step.state.is_final else None,
        rows.json_or_none(step.error),
        job_id,
        token,
    )
    return db.execute(_FINISH, change).rowcount == 1


def _insert_run(
    db: sqlite3.Connection, job: Job, step: JobStep, outcome: RunOutcome, result_id: int | None, now: datetime
) -> None:
    started_at = outcome.started_at or job.started_at or now
    db.execute(
        _INSERT_RUN,
        (
            job.id,
            job.run,
            job.attempt,
            job.round,
            step.run_state,
            outcome.reason or step.reason,
            micros(started_at),
            micros(outcome.ended_at or now),
            rows.json_or_none(outcome.error or step.error),
            result_id,
        ),
    )


def renew_leases(db: sqlite3.Connection, owner: str, *, expires_at: datetime) -> set[tuple[str, int]]:
    """Renew all of `owner`'s leases on jobs; return (id, token) of those that it still holds."""
    return {(row[0], row[1]) for row in db.execute(_RENEW, (micros(expires_at), owner)).fetchall()}


def promote_due(db: sqlite3.Connection, most: int, *, now: datetime) -> tuple[Counter[str], datetime | None]:
    """Queue up to `most` jobs whose moment has come; return how many of which function, and when the next one is
    due.
    """
    functions = Counter(row[0] for row in db.execute(_PROMOTE, (micros(now), most)).fetchall())
    return functions, _moment_of(rows.only(db, _NEXT_DUE))


def _moment_of(row: rows.Row | None) -> datetime | None:
    return rows.moment_or_none(row[0]) if row else None


def leased_by(db: sqlite3.Connection, owner: str) -> list[tuple[Job, int]]:
    """Return the running jobs that `owner` holds, with their tokens."""
    return [(rows.job(row), row[-1]) for row in db.execute(_LEASED, (owner,)).fetchall()]


def with_expired_lease(db: sqlite3.Connection, *, now: datetime) -> list[tuple[Job, int]]:
    """Return the running jobs whose lease has run out, with their tokens."""
    return [(rows.job(row), row[-1]) for row in db.execute(_EXPIRED, (micros(now),)).fetchall()]
