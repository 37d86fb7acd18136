"""Synchronous calls, each noted in one narrow row after its caller has the answer."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.model import JobReason, RunState
from pipeline.store.engine import rows
from pipeline.store.engine.rows import micros
from pipeline.store.transactions import usage
from pipeline.store.transactions.usage import Spent

_INSERT = """
INSERT INTO invocation (id, function, state, reason, at, duration_s, output) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What is kept of a synchronous call; `output` is the end of what it wrote."""

    id: str
    function: str
    state: RunState
    reason: JobReason | None
    at: datetime
    duration_s: float
    """How long its caller waited."""
    output: str
    spent: Spent | None = None
    """What it counts for the usage of its function."""


def insert_invocations(db: sqlite3.Connection, notes: Sequence[Invocation]) -> list[None]:
    """Note synchronous calls, and count those that were not noted before."""
    new = [note for note in notes if db.execute(_INSERT, _row(note)).rowcount]
    usage.count(db, [note.spent for note in new])
    return [None] * len(notes)


def _row(note: Invocation) -> rows.Row:
    return (note.id, note.function, note.state, note.reason, micros(note.at), note.duration_s, note.output)
