"""A store with a million ended jobs beside an empty one: accept, claim, status and list must cost the same."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from of_store import Life, new_draft
from samples import CLOCK, FUNCTION, IDS
from timing import CALLERS, Row, Stopwatch

from pipeline.model import JobState, Lease
from pipeline.store import Store

MANY, FEW = 1_000_000, 2_000

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
    """Measure both; the notes have the ratios."""
    many = MANY if stopwatch.seconds >= 1 else FEW
    found = []
    for name, count in (("empty", 0), ("full", many)):
        path = folder / name / "bench.db"
        await Store(path, print).close()
        if count:
            _fill(path, count)
        found.append(await _rates(path, stopwatch))
    empty, full = found
    rows = []
    for what, rate in empty.items():
        note = f"ratio {full[what] / rate:.2f} with {many:,} ended jobs"
        rows.append(Row(name=f"history: {what}", per_second=full[what], note=note))
    return rows


def _fill(path: Path, many: int) -> None:
    days_ago_ms = int(CLOCK.now().timestamp() * 1000) - 5 * 86_400_000
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        for statement in _FILL:
            db.execute(statement, {"many": many, "ms": days_ago_ms})


async def _rates(path: Path, stopwatch: Stopwatch) -> dict[str, float]:
    store = Store(path, print)
    try:
        life = Life(store)
        await life.prepare()
        draft = new_draft()
        some = (await store.list_jobs(before=None, most=1))[0].job.id

        async def accept() -> None:
            # Of another function each time: what waits must not grow into the measurement.
            await store.insert_job(replace(draft, id=IDS.new(), function="accepted"), now=CLOCK.now(), lease=None)

        async def claim() -> None:
            lease = Lease(owner="bench", token=IDS.token(), expires_at=CLOCK.now())
            await store.claim_jobs("accepted", 1, now=CLOCK.now(), lease=lease)

        status = partial(store.get_job, some)
        listed = partial(store.list_jobs, before=None, most=51, state=JobState.SUCCEEDED)
        return {
            "accept": await stopwatch.rate(accept, CALLERS),
            "claim": await stopwatch.rate(claim, CALLERS),
            "a whole life": await stopwatch.rate(life.live, CALLERS),
            "status": await stopwatch.rate(status, CALLERS),
            "list of 50": await stopwatch.rate(listed, 1),
        }
    finally:
        await store.close()
