"""Synchronous calls, each noted in one narrow row after its caller has the answer."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from pipeline.model import JobReason, RunState
from pipeline.store.rows import micros

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
    output: str


def insert_invocation(db: sqlite3.Connection, note: Invocation) -> None:
    """Note a synchronous call."""
    facts = (note.id, note.function, note.state, note.reason, micros(note.at), note.duration_s, note.output)
    db.execute(_INSERT, facts)
