"""The survey: what is open in the store, counted. It looks at every open row, and has a connection of its own, so that
no other query waits for it.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.model import BatchState, DeliveryState, JobState
from pipeline.store.engine import rows
from pipeline.store.engine.room import Room, Space

# The planner takes a partial index only where the query repeats its condition word for word.
_JOBS = """
SELECT function, state, count(*), min(due_at) FROM job INDEXED BY job_queued
WHERE state = 'queued' GROUP BY function
UNION ALL
SELECT function, state, count(*), NULL FROM job INDEXED BY job_running
WHERE state = 'running' GROUP BY function
UNION ALL
SELECT function, state, count(*), NULL FROM job INDEXED BY job_due
WHERE state IN ('scheduled', 'retrying') GROUP BY function, state
"""
_DELIVERIES = """
SELECT destination, state, count(*), min(created_at) FROM delivery INDEXED BY delivery_pending
WHERE state = 'pending' GROUP BY destination
UNION ALL
SELECT destination, state, count(*), min(created_at) FROM delivery INDEXED BY delivery_sending
WHERE state = 'sending' GROUP BY destination
UNION ALL
SELECT destination, state, count(*), min(created_at) FROM delivery INDEXED BY delivery_due
WHERE state = 'retrying' GROUP BY destination
"""
_BATCHES = """
SELECT function, state, count(*), NULL FROM batch INDEXED BY batch_receiving WHERE state = 'receiving' GROUP BY function
UNION ALL
SELECT function, state, count(*), NULL FROM batch INDEXED BY batch_running WHERE state = 'running' GROUP BY function
"""
_SUCCESSES = "SELECT name, last_success_at FROM destination WHERE last_success_at IS NOT NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is open, by function or destination and by state, and how large the files are."""

    jobs: Mapping[tuple[str, JobState], int]
    queued_since: Mapping[str, datetime]
    """Of each function with queued jobs: from when the one that has waited longest could have run."""
    batches: Mapping[tuple[str, BatchState], int]
    deliveries: Mapping[tuple[str, DeliveryState], int]
    owed_since: Mapping[str, datetime]
    """Of each destination with open deliveries: when the oldest was made."""
    last_success_at: Mapping[str, datetime]
    store_bytes: int
    wal_bytes: int
    space: Space | None


def survey(db: sqlite3.Connection, path: Path, room: Room | None) -> Survey:
    """Count what is open, and look at the files of the database at `path`."""
    jobs = db.execute(_JOBS).fetchall()
    deliveries = db.execute(_DELIVERIES).fetchall()
    return Survey(
        jobs={(row[0], JobState(row[1])): row[2] for row in jobs},
        queued_since=_earliest(jobs),
        batches={(row[0], BatchState(row[1])): row[2] for row in db.execute(_BATCHES)},
        deliveries={(row[0], DeliveryState(row[1])): row[2] for row in deliveries},
        owed_since=_earliest(deliveries),
        last_success_at={name: rows.moment(at) for name, at in db.execute(_SUCCESSES)},
        store_bytes=_size(path),
        wal_bytes=_size(path.with_name(path.name + "-wal")),
        space=None if room is None else room.space(),
    )


def _earliest(found: Iterable[tuple[Any, ...]]) -> dict[str, datetime]:
    earliest: dict[str, int] = {}
    for name, _, _, at in found:
        if at is not None:
            earliest[name] = min(at, earliest.get(name, at))
    return {name: rows.moment(at) for name, at in earliest.items()}


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
