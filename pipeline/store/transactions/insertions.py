"""New jobs: those that callers make, and the children that deliveries to functions make.

A function's queue is claimed by (priority, turn, id). A job that has to wait takes the turn after the one that is
served now; the items of a batch take one turn each, one after the other. So a caller with one job waits for one item of
each batch that is under way, not for whole batches, and two batches advance side by side; and a batch gets on by one
item a turn, however many single jobs come in between. (Start-time fair queueing: every batch and every single job is a
flow of its own.)
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from pipeline.model import JobDraft, Lease
from pipeline.records import record
from pipeline.store.engine import bulk, rows
from pipeline.store.engine.rows import micros

# A job may be claimed as it is inserted only where nothing of its function waits before it.
_HAS_QUEUED = "SELECT 1 FROM job INDEXED BY job_queued WHERE state = 'queued' AND function = ? LIMIT 1"

_INSERT_EVENTS = "INSERT INTO payload (id, content) {values}"

# The turn that is served now.
_HEAD = """
SELECT turn FROM job INDEXED BY job_queued WHERE state = 'queued' AND function = ? AND priority = ?
ORDER BY turn LIMIT 1
"""

_INSERT = """
INSERT INTO job (id, function, state, priority, attempt, max_attempts, run, lost, round, created_at, due_at, started_at,
                 timeout_s, tags, parent_id, depth, event_id, expires_at, turn, batch_id, batch_index, origin,
                 lease_owner, lease_token, lease_expires_at)
{values}
"""

_INSERT_TAGS = "INSERT INTO job_tag (tag, job_id) VALUES (?, ?) ON CONFLICT DO NOTHING"


@record(frozen=True, slots=True, kw_only=True)
class Insertion:
    """A job to be stored, and the lease under which it would be run at once."""

    draft: JobDraft
    now: datetime
    lease: Lease | None
    turn: int | None = None
    """Its place in the queue; None: after what is served now."""


def insert_jobs(db: sqlite3.Connection, items: Sequence[Insertion]) -> list[bool]:
    """Store jobs and their events; return which were claimed under their lease: those that nothing waits before."""
    event_id = rows.next_payload_id(db)
    bulk.execute(db, _INSERT_EVENTS, [(event_id + at, item.draft.event) for at, item in enumerate(items)])
    claims = _claims(db, items)
    turns = _turns(db, items, claims)
    bulk.execute(db, _INSERT, [_job_row(item, event_id + at, claims[at], turns[at]) for at, item in enumerate(items)])
    tags = [(tag, item.draft.id) for item in items for tag in item.draft.tags]
    if tags:
        db.executemany(_INSERT_TAGS, tags)
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


def _turns(db: sqlite3.Connection, items: Sequence[Insertion], claims: Sequence[bool]) -> list[int]:
    following: dict[tuple[str, int], int] = {}
    turns = []
    for item, is_claimed in zip(items, claims, strict=True):
        queue = (item.draft.function, item.draft.priority)
        if item.turn is not None or is_claimed:
            turns.append(item.turn or 0)
            continue
        if queue not in following:
            following[queue] = next_turn(db, *queue)
        turns.append(following[queue])
    return turns


def next_turn(db: sqlite3.Connection, function: str, priority: int) -> int:
    """Return the turn after the one that is served now."""
    row = rows.only(db, _HEAD, (function, priority))
    return row[0] + 1 if row else 0


def _job_row(item: Insertion, event_id: int, is_claimed: bool, turn: int) -> rows.Row:
    draft, at = item.draft, micros(item.now)
    due_at = at if draft.run_at is None else max(at, micros(draft.run_at))
    return (
        draft.id,
        draft.function,
        "running" if is_claimed else "scheduled" if due_at > at else "queued",
        draft.priority,
        int(is_claimed),
        draft.max_attempts,
        int(is_claimed),
        0,
        1,
        at,
        due_at,
        at if is_claimed else None,
        draft.timeout_s,
        rows.json_or_none(draft.tags),
        draft.parent_id,
        draft.depth,
        event_id,
        None if is_claimed or draft.max_age_s is None else due_at + int(draft.max_age_s * 1_000_000),
        turn,
        draft.batch_id,
        draft.batch_index,
        rows.origin_or_none(draft.origin),
        *rows.lease_columns(item.lease if is_claimed else None),
    )
