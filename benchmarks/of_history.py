"""A store with a million ended jobs beside an empty one: accept, claim, status and list must cost the same."""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path

from of_store import Life, new_draft
from samples import CLOCK, FUNCTION, IDS
from timing import CALLERS, Row, Stopwatch

from pipeline.model import JobState, Lease
from pipeline.store import Store
from pipeline.store.reading.recent import MOST as MOST_RECENT

MANY, FEW = 1_000_000, 2_000
ROUNDS = 3

# What a job that succeeded leaves behind, its bodies small: job, run, message, delivery, attempt, and two payloads.
# Ids begin with a moment some days ago, and go up.
_NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)"
_ID = "printf('%08x-%04x-7%03x-8%03x-%012x', (:ms + i / 100) / 65536, (:ms + i / 100) % 65536, i % 100, {kind}, i)"
_FILL = (
    f"""{_NUMBERS} INSERT INTO payload (id, content) SELECT i, x'7b7d' FROM n""",
    f"""{_NUMBERS} INSERT INTO payload (id, status, headers, content) SELECT :many + i, 200, '[]', x'7b7d' FROM n""",
    f"""{_NUMBERS} INSERT INTO job (id, function, state, priority, attempt, max_attempts, run, lost, round, created_at,
        due_at, started_at, ended_at, timeout_s, depth, event_id)
    SELECT {_ID.format(kind=0)}, '{FUNCTION}', 'succeeded', 5, 1, 3, 1, 0, 1, i, i, i, i, 900, 0, i FROM n""",
    f"""{_NUMBERS} INSERT INTO run (job_id, run, attempt, round, state, started_at, ended_at, result_id)
    SELECT {_ID.format(kind=0)}, 1, 1, 1, 'succeeded', i, i, :many + i FROM n""",
    f"""{_NUMBERS} INSERT INTO message (job_id, id, facts, result_id)
    SELECT {_ID.format(kind=0)}, 'msg_' || i, '{{}}', :many + i FROM n""",
    f"""{_NUMBERS} INSERT INTO delivery (id, message_id, type, job_id, destination, kind, recipient, state, attempt,
        max_attempts, lost, created_at, due_at, delivered_at)
    SELECT {_ID.format(kind=1)}, 'msg_' || i, 'job.succeeded', {_ID.format(kind=0)}, 'hook', 'webhook', '', 'delivered',
        1, 12, 0, i, i, i FROM n""",
    f"""{_NUMBERS} INSERT INTO attempt (delivery_id, number, trigger, started_at, duration_s, verdict, message, status,
        headers, body, why)
    SELECT {_ID.format(kind=1)}, 1, 'auto', i, 0.1, 'delivered', '', 200, '[]', x'6f6b', 'delivered' FROM n""",
)


async def of_history(folder: Path, stopwatch: Stopwatch) -> list[Row]:
    """Measure both in turn, three times; the notes have the ratios of the medians."""
    many = MANY if stopwatch.seconds >= 1 else FEW
    stores = [await _store(folder / name / "bench.db", count) for name, count in (("empty", 0), ("full", many))]
    os.sync()  # what filled it is not to be written out while it is measured
    try:
        asked = [await _asked(store) for store in stores]
        rows = []
        for what, (_, callers) in asked[0].items():
            found: tuple[list[float], list[float]] = ([], [])
            for _ in range(ROUNDS):
                for each, rates in zip(asked, found, strict=True):
                    rates.append(await stopwatch.rate(each[what][0], callers))
            empty, full = (sorted(rates)[ROUNDS // 2] for rates in found)
            note = f"ratio {full / empty:.2f} with {many:,} ended jobs"
            rows.append(Row(name=f"history: {what}", per_second=full, note=note))
        return rows
    finally:
        for store in stores:
            await store.close()


async def _store(path: Path, count: int) -> Store:
    await Store(path, print).close()
    if count:
        _fill(path, count)
    return Store(path, print)


def _fill(path: Path, many: int) -> None:
    days_ago_ms = int(CLOCK.now().timestamp() * 1000) - 5 * 86_400_000
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        for statement in _FILL:
            db.execute(statement, {"many": many, "ms": days_ago_ms})


async def _asked(store: Store) -> dict[str, tuple[Callable[[], Awaitable[object]], int]]:
    """Return what is measured: what is done, and by how many callers at once."""
    life = Life(store)
    await life.prepare()
    draft = new_draft()
    # More than are remembered from poll to poll: each needs its query.
    await asyncio.gather(*(life.live() for _ in range(2 * MOST_RECENT)))
    polled = cycle([view.job.id for view in await store.list_jobs(before=None, most=2 * MOST_RECENT)])

    async def accept() -> None:
        # Of another function: what waits must not grow into the measurement.
        await store.insert_job(replace(draft, id=IDS.new(), function="accepted"), now=CLOCK.now(), lease=None)

    async def claim() -> None:
        lease = Lease(owner="bench", token=IDS.token(), expires_at=CLOCK.now())
        await store.claim_jobs("accepted", 1, now=CLOCK.now(), lease=lease)

    async def status() -> None:
        assert await store.get_job(next(polled)) is not None

    listed = partial(store.list_jobs, before=None, most=51, state=JobState.SUCCEEDED)
    return {
        "accept": (accept, CALLERS),
        "claim": (claim, CALLERS),
        "a whole life": (life.live, CALLERS),
        "status": (status, CALLERS),
        "list of 50": (listed, 1),
    }
