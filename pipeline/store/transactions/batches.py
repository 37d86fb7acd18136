"""Batches: their rows, their jobs, their counters. Each verb is the body of one transaction on the writer.

The counters change in the transaction in which a job ends or is opened again; they are what says that a batch is done.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

import orjson

from pipeline.model import Batch, BatchDraft, BatchState, JobDraft, JobState, Reject
from pipeline.store.engine import rows
from pipeline.store.engine.rows import micros
from pipeline.store.transactions import deliveries, insertions
from pipeline.store.transactions.deliveries import Ending
from pipeline.store.transactions.insertions import Insertion

_INSERT = """
INSERT INTO batch (id, function, state, round, owner, first_turn, is_cancelled, total, succeeded, failed, cancelled,
                   expired, created_at, closes_at, traceparent, callback, callback_to)
VALUES (?, ?, 'receiving', 1, ?, ?, 0, 0, 0, 0, 0, 0, ?, ?, ?, ?, ?)
"""
_FIRST_TURN = "SELECT first_turn FROM batch WHERE id = ? AND state IN ('receiving', 'running') AND NOT is_cancelled"
_KNOWN = """
SELECT batch_index, json_extract(origin, '$.digest') FROM job
WHERE batch_id = ? AND batch_index BETWEEN ? AND ?
"""
_GROW = "UPDATE batch SET total = total + ? WHERE id = ?"
_CLOSE = "UPDATE batch SET state = 'running', closes_at = NULL WHERE id = ? AND state = 'receiving'"
_NOTE_REJECTED = "UPDATE batch SET rejected_total = ?, rejected = ? WHERE id = ?"
_CUT_OFF = "SELECT id FROM batch INDEXED BY batch_receiving WHERE state = 'receiving' AND closes_at <= ?"
_COUNT = """
UPDATE batch SET succeeded = succeeded + ?, failed = failed + ?, cancelled = cancelled + ?, expired = expired + ?
WHERE id = ?
"""
# What was opened again meanwhile, or has ended already, does not match, and nothing changes.
_END = """
UPDATE batch SET state = ?, ended_at = ?
WHERE id = ? AND round = ? AND state = 'running' AND succeeded + failed + cancelled + expired = total
RETURNING id
"""
_ASK_TO_CANCEL = """
UPDATE batch SET is_cancelled = 1, state = 'running', closes_at = NULL
WHERE id = ? AND state IN ('receiving', 'running')
RETURNING id
"""
_REOPEN = """
UPDATE batch SET state = 'running', round = round + 1, is_cancelled = 0, ended_at = NULL
WHERE id = ? AND state NOT IN ('receiving', 'running')
"""
_ENDED_STATES = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED)

REJECTS = 20
"""So many of the items that are not in a batch are kept with the reasons."""


class Added(StrEnum):
    """What became of one item."""

    NEW = "new"
    SAME = "same"
    """It was there already, just so."""
    DIFFERENT = "different"
    """Another item has its index."""
    CLOSED = "closed"
    """The batch takes nothing any more."""


def insert_batch(db: sqlite3.Connection, draft: BatchDraft) -> None:
    """Store a batch that has no jobs yet; it is `receiving`."""
    turn = insertions.next_turn(db, draft.function, draft.priority)
    made = (draft.id, draft.function, draft.owner, turn, micros(draft.created_at), micros(draft.closes_at))
    db.execute(_INSERT, (*made, draft.traceparent, draft.callback, draft.callback_to))


def add_items(db: sqlite3.Connection, batch_id: str, drafts: Sequence[JobDraft], *, now: datetime) -> list[Added]:
    """Store jobs of a batch, unless their indexes are there already; return what became of each."""
    row = rows.only(db, _FIRST_TURN, (batch_id,))
    if row is None:
        return _without_adding(db, batch_id, drafts)
    known = _known(db, batch_id, drafts)
    new = [draft for draft in drafts if draft.batch_index not in known]
    items = [Insertion(draft=draft, now=now, lease=None, turn=row[0] + (draft.batch_index or 0)) for draft in new]
    if items:
        insertions.insert_jobs(db, items)
        db.execute(_GROW, (len(items), batch_id))
    return [_judged(draft, known, Added.NEW) for draft in drafts]


def _without_adding(db: sqlite3.Connection, batch_id: str, drafts: Sequence[JobDraft]) -> list[Added]:
    known = _known(db, batch_id, drafts)
    return [_judged(draft, known, Added.CLOSED) for draft in drafts]


def _known(db: sqlite3.Connection, batch_id: str, drafts: Sequence[JobDraft]) -> dict[int | None, str]:
    indexes = [draft.batch_index or 0 for draft in drafts]
    return dict(db.execute(_KNOWN, (batch_id, min(indexes), max(indexes))).fetchall()) if indexes else {}


def _judged(draft: JobDraft, known: dict[int | None, str], otherwise: Added) -> Added:
    if draft.batch_index not in known:
        return otherwise
    return Added.SAME if known[draft.batch_index] == draft.origin.digest else Added.DIFFERENT


def close_batch(db: sqlite3.Connection, batch_id: str, rejected: Sequence[Reject] | None = None) -> None:
    """Note that all of a batch has come and, where an upload has ended with it, what of that was rejected."""
    db.execute(_CLOSE, (batch_id,))
    if rejected is not None:
        note_rejected(db, batch_id, rejected)


def note_rejected(db: sqlite3.Connection, batch_id: str, rejected: Sequence[Reject]) -> None:
    """Note what of an upload is not in its batch, in the place of what was noted of an earlier one."""
    db.execute(
        _NOTE_REJECTED, (len(rejected), orjson.dumps(rejected[:REJECTS]).decode() if rejected else None, batch_id)
    )


def close_cut_off(db: sqlite3.Connection, *, now: datetime) -> list[str]:
    """Close the batches whose upload was cut off too long ago; return their ids."""
    found = [row[0] for row in db.execute(_CUT_OFF, (micros(now),)).fetchall()]
    for batch_id in found:
        close_batch(db, batch_id)
    return found


def count_ended(db: sqlite3.Connection, ends: Iterable[tuple[str | None, JobState]], *, by: int = 1) -> None:
    """Count jobs that have ended, (batch id or None, state) each, in their batches; `by` -1 takes them back."""
    counts: defaultdict[str, Counter[JobState]] = defaultdict(Counter)
    for batch_id, state in ends:
        if batch_id is not None and state.is_final:
            counts[batch_id][state] += by
    for batch_id, count in counts.items():
        db.execute(_COUNT, (*(count[state] for state in _ENDED_STATES), batch_id))


def end_batch(
    db: sqlite3.Connection, batch: Batch, state: BatchState, ending: Ending | None, *, now: datetime
) -> list[bool] | None:
    """End a batch whose jobs have all ended, with its message and deliveries.

    Returns which of the ending's deliveries were claimed, or None where the batch has open jobs, or was opened again
    or ended meanwhile: then nothing changed.
    """
    if rows.only(db, _END, (state, micros(now), batch.id, batch.round)) is None:
        return None
    return deliveries.insert_messages(db, [(ending, None)])[0] if ending is not None else []


def ask_to_cancel(db: sqlite3.Connection, batch_id: str) -> bool:
    """Note that a batch is to be cancelled: it takes nothing any more. False where it has ended."""
    return rows.only(db, _ASK_TO_CANCEL, (batch_id,)) is not None


def reopen_batch(db: sqlite3.Connection, batch_id: str) -> None:
    """Let a batch that had ended run again, in its next round; nothing changes for one that has not ended."""
    db.execute(_REOPEN, (batch_id,))
