"""Jobs: claiming, finishing, renewing, promoting. Each verb is the body of one transaction on the writer."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import count

import orjson

from pipeline.lifecycle import JobStep
from pipeline.model import ClaimedJob, Job, Lease, Progress, RunOutcome
from pipeline.records import record
from pipeline.store.engine import bulk, rows
from pipeline.store.engine.rows import micros
from pipeline.store.transactions import batches, deliveries, logs, usage
from pipeline.store.transactions.deliveries import Ending
from pipeline.store.transactions.usage import Spent

# Counted as it is claimed, not as it fails, so that a job that kills its service cannot run for ever (finding 7).
_CLAIM = f"""
UPDATE job SET state = 'running', run = run + 1, attempt = attempt + 1, started_at = :now, progress = NULL,
               expires_at = NULL, lease_owner = :owner, lease_token = :token, lease_expires_at = :expires
WHERE id IN (SELECT id FROM job INDEXED BY job_queued
             WHERE state = 'queued' AND function = :function AND (expires_at IS NULL OR expires_at > :now)
             ORDER BY priority, turn, id LIMIT :most)
RETURNING {rows.JOB_COLUMNS}, turn, event_id
"""

_EVENTS = "SELECT id, content FROM payload WHERE id IN (SELECT value FROM json_each(?))"

# Under a lease that is no longer held nothing matches, and nothing changes.
_FINISH = """
UPDATE job SET state = ended.column3, reason = ended.column4, attempt = ended.column5, lost = ended.column6,
               due_at = ended.column7, ended_at = ended.column8, error = ended.column9,
               max_attempts = coalesce(ended.column10, max_attempts),
               lease_owner = NULL, lease_token = NULL, lease_expires_at = NULL
FROM ({values}) AS ended
WHERE job.id = ended.column1 AND job.state = 'running' AND job.lease_token = ended.column2
RETURNING id
"""

_INSERT_RESULTS = "INSERT INTO payload (id, status, headers, content) {values}"

_INSERT_RUNS = """
INSERT INTO run (job_id, run, attempt, round, state, reason, started_at, ended_at, error, result_id) {values}
"""

_RENEW = """
UPDATE job SET lease_expires_at = ? WHERE state = 'running' AND lease_owner = ? RETURNING id, lease_token
"""

_NOTE_PROGRESS = "UPDATE job SET progress = ? WHERE id = ? AND state = 'running' AND lease_token = ?"

_PROMOTE = """
UPDATE job SET state = 'queued'
WHERE id IN (SELECT id FROM job WHERE state IN ('scheduled', 'retrying') AND due_at <= ? ORDER BY due_at LIMIT ?)
RETURNING function
"""

_NEXT_DUE = "SELECT min(due_at) FROM job WHERE state IN ('scheduled', 'retrying')"

_LEASED = f"SELECT {rows.JOB_COLUMNS}, lease_token FROM job WHERE state = 'running' AND lease_owner = ?"
_EXPIRED = f"SELECT {rows.JOB_COLUMNS}, lease_token FROM job WHERE state = 'running' AND lease_expires_at < ?"


@record(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """The end of a run: what follows for its job, what came of it, and with the job's end what that owes."""

    job: Job
    token: int
    step: JobStep
    outcome: RunOutcome
    now: datetime
    ending: Ending | None
    memory_mb: int = 0
    """What the run was allowed to use, for the usage of its function."""


def claim_jobs(db: sqlite3.Connection, function: str, most: int, *, now: datetime, lease: Lease) -> list[ClaimedJob]:
    """Claim up to `most` queued jobs of `function` that have not expired, the most urgent and oldest first, with their
    events.
    """
    claim = {
        "now": micros(now),
        "owner": lease.owner,
        "token": lease.token,
        "expires": micros(lease.expires_at),
        "function": function,
        "most": most,
    }
    # RETURNING comes back unordered; the columns hold the order: priority is the fifth, turn the last but one.
    found = sorted(db.execute(_CLAIM, claim).fetchall(), key=lambda row: (row[4], row[-2], row[0]))
    events = dict(db.execute(_EVENTS, (orjson.dumps([row[-1] for row in found]).decode(),)).fetchall())
    return [ClaimedJob(job=rows.job(row), token=lease.token, event=events[row[-1]]) for row in found]


def finish_runs(db: sqlite3.Connection, items: Sequence[RunEnd]) -> list[list[bool] | None]:
    """Write the ends of runs, and with a job's end its result, message and deliveries, in the same transaction.

    Returns for each which of the ending's deliveries were claimed, or None where the lease is no longer held: then
    nothing changed.
    """
    if len({item.job.id for item in items}) < len(items):  # two ends of one job: one after the other
        return [outcome for item in items for outcome in finish_runs(db, [item])]
    written = {row[0] for row in bulk.execute(db, _FINISH, [_step_row(item) for item in items])}
    valid = [item for item in items if item.job.id in written]
    result_ids = _insert_results(db, valid)
    bulk.execute(db, _INSERT_RUNS, [_run_row(item, result_ids.get(item.job.id)) for item in valid])
    for item in valid:
        logs.append(db, item.job.id, item.job.run, item.outcome.output)
    batches.count_ended(db, [(item.job.batch_id, item.step.state) for item in valid])
    usage.count(db, [_spent(item) for item in valid])
    endings = [(item.ending, result_ids.get(item.job.id)) for item in valid if item.ending is not None]
    claims = iter(deliveries.insert_messages(db, endings))
    return [None if item.job.id not in written else [] if item.ending is None else next(claims) for item in items]


def _step_row(item: RunEnd) -> rows.Row:
    step = item.step
    return (
        item.job.id,
        item.token,
        step.state,
        step.reason,
        step.attempt,
        step.lost,
        micros(step.due_at),
        micros(item.now) if step.state.is_final else None,
        rows.json_or_none(step.error),
        step.max_attempts,
    )


def _spent(item: RunEnd) -> Spent | None:
    return usage.spent(item.outcome, item.job.function, item.memory_mb, item.now, is_call=False)


def _insert_results(db: sqlite3.Connection, items: Sequence[RunEnd]) -> dict[str, int]:
    """Store the results of the jobs that ended with one; return the payload's id for each job's."""
    results = {item.job.id: item.outcome.result for item in items if item.step.state.is_final}
    found = {job_id: result for job_id, result in results.items() if result is not None}
    if not found:
        return {}
    ids = dict(zip(found, count(rows.next_payload_id(db)), strict=False))
    bulk.execute(
        db,
        _INSERT_RESULTS,
        [
            (ids[job_id], result.status, rows.json_or_none(result.headers) or "[]", result.body)
            for job_id, result in found.items()
        ],
    )
    return ids


def _run_row(item: RunEnd, result_id: int | None) -> rows.Row:
    job, step, outcome = item.job, item.step, item.outcome
    has_verdict = step.state.is_final  # a run that was returned or lost says nothing; its job may, of an earlier one
    return (
        job.id,
        job.run,
        job.attempt,
        job.round,
        step.run_state,
        outcome.reason or (step.reason if has_verdict else None),
        micros(outcome.started_at or job.started_at or item.now),
        micros(outcome.ended_at or item.now),
        rows.json_or_none(outcome.error or (step.error if has_verdict else None)),
        result_id,
    )


def note_progress(db: sqlite3.Connection, said: Sequence[tuple[str, int, Progress]]) -> None:
    """Write what runs said of their progress: (job id, token, progress); a stale token changes nothing."""
    db.executemany(_NOTE_PROGRESS, [(rows.json_or_none(progress), job_id, token) for job_id, token, progress in said])


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
