"""New jobs: those that callers make, and the children that deliveries to functions make."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.model import JobDraft, Lease
from pipeline.store import bulk, rows
from pipeline.store.rows import micros

# A job may be claimed as it is inserted only where nothing of its function waits before it.
_HAS_QUEUED = "SELECT 1 FROM job INDEXED BY job_queued WHERE state = 'queued' AND function = ? LIMIT 1"

_INSERT_EVENTS = "INSERT INTO payload (id, content) {values}"

_INSERT = """
INSERT INTO job (id, function, state, priority, attempt, max_attempts, run, lost, round, created_at, due_at, started_at,
                 timeout_s, tags, parent_id, depth, event_id, expires_at, lease_owner, lease_token, lease_expires_at)
{values}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Insertion:
    """A job to be stored, and the lease under which it would be run at once."""

    draft: JobDraft
    now: datetime
    lease: Lease | None


def insert_jobs(db: sqlite3.Connection, items: Sequence[Insertion]) -> list[bool]:
    """Store jobs and their events; return which were claimed under their lease: those that nothing waits before."""
    event_id = rows.next_payload_id(db)
    bulk.execute(db, _INSERT_EVENTS, [(event_id + at, item.draft.event) for at, item in enumerate(items)])
    claims = _claims(db, items)
    bulk.execute(db, _INSERT, [_job_row(item, event_id + at, claims[at]) for at, item in enumerate(items)])
    return claims


def _claims(db: sqlite3.Connection, items: Sequence[Insertion]) -> list[bool]:
    has_waiting: dict[str, bool] = {}
    claims = []
    for item in items:
        function = item.draft.function
        if item.lease is None:
            has_waiting[function] = True
        elif function not in has_waiting:
            has_waiting[function] = rows.only(db, _HAS_QUEUED, (function,)) is not None
        claims.append(not has_waiting[function])
    return claims


def _job_row(item: Insertion, event_id: int, is_claimed: bool) -> rows.Row:
    draft, at = item.draft, micros(item.now)
    return (
        draft.id,
        draft.function,
        "running" if is_claimed else "queued",
        draft.priority,
        int(is_claimed),
        draft.max_attempts,
        int(is_claimed),
        0,
        1,
        at,
        at,
        at if is_claimed else None,
        draft.timeout_s,
        rows.json_or_none(draft.tags),
        draft.parent_id,
        draft.depth,
        event_id,
        None if is_claimed or draft.max_age_s is None else at + int(draft.max_age_s * 1_000_000),
        *rows.lease_columns(item.lease if is_claimed else None),
    )
