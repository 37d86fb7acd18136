"""A job's way through the store: insert_job, finish_run with a result and one delivery, record_attempt."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType

from samples import CLOCK, DELIVERED, DOCUMENT, FUNCTION, IDS, SUCCEEDED, webhook
from timing import CALLERS, Row, Stopwatch

from pipeline.config.settings import FunctionSettings, FunctionsSettings, Target
from pipeline.lifecycle import after_attempt, after_run
from pipeline.model import Attempt, Delivery, Job, JobDraft, Lease
from pipeline.retry import policy
from pipeline.services.fanout import FanOut
from pipeline.services.routes import Route, goals_of
from pipeline.store import Store

NOBODY = "http://127.0.0.1:9"
WRITES = 3  # of a life


class Counting(sqlite3.Connection):
    """A connection that counts the commits of all such connections."""

    commits = 0

    def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
        """Pass a statement on."""
        Counting.commits += sql == "COMMIT"
        return super().execute(sql, *parameters)


@contextmanager
def counting() -> Iterator[None]:
    """Have the connections that are opened count their commits: the writer itself tells nobody."""
    original = sqlite3.connect
    sqlite3.connect = partial(original, factory=Counting)
    try:
        yield
    finally:
        sqlite3.connect = original


async def of_store(folder: Path, stopwatch: Stopwatch) -> list[Row]:
    """Measure it with one caller, and with many, whose writes share commits."""
    with counting():
        store = Store(folder / "bench.db", lambda error: print(f"the store failed: {error}"))
    try:
        life = Life(store)
        await life.prepare()
        alone = await stopwatch.rate(life.live, 1)
        commits, lives = Counting.commits, life.count
        together = await stopwatch.rate(life.live, CALLERS)
        size = WRITES * (life.count - lives) / (Counting.commits - commits)
    finally:
        await store.close()
    return [
        Row(name="store: three writes of a job, 1 caller", per_second=alone, note="each waits for its own fsync"),
        Row(
            name=f"store: three writes of a job, {CALLERS} callers",
            per_second=together,
            note=f"{size:.0f} writes in a commit",
        ),
    ]


class Life:
    """Takes jobs through the store as the services would, without running or sending anything."""

    def __init__(self, store: Store) -> None:
        settings = FunctionSettings(on_success=(Target(to="hook"),))
        functions = FunctionsSettings(directory=Path(), settings=MappingProxyType({FUNCTION: settings}))
        self._store = store
        self.count = 0
        self._rule = policy(settings.retry)
        hook = webhook(NOBODY)
        route = Route(name="hook", kind="webhook", destination=hook, concurrency=10, policy=self._rule)
        self._goals = goals_of(functions, {"hook": route})
        self._fan_out = FanOut(IDS)
        self._job: Job
        self._delivery: Delivery

    async def prepare(self) -> None:
        """Read one job and one delivery back from the store: those that follow are like them."""
        draft, lease = new_draft(), _lease("")
        await self._store.insert_job(draft, now=CLOCK.now(), lease=lease)
        view = await self._store.get_job(draft.id)
        assert view is not None
        self._job = view.job
        await self._finish(view.job, lease)
        (self._delivery,) = await self._store.list_deliveries(before=None, most=1)

    async def live(self) -> None:
        """Bring one job in, to its end, and its message out."""
        draft, lease = new_draft(), _lease("")
        await self._store.insert_job(draft, now=CLOCK.now(), lease=lease)
        delivery_id, token = await self._finish(replace(self._job, id=draft.id), lease)
        delivery, now = replace(self._delivery, id=delivery_id), CLOCK.now()
        step = after_attempt(delivery, DELIVERED, self._rule, now, 0.0)
        attempt = Attempt(
            number=1,
            trigger="auto",
            started_at=now,
            duration_s=0.001,
            outcome=DELIVERED,
            next_attempt_at=None,
            why=step.why,
        )
        if not await self._store.record_attempt(delivery, token, step, attempt, now=now):
            raise RuntimeError("the delivery was not claimed as it was inserted")
        self.count += 1

    async def _finish(self, job: Job, lease: Lease) -> tuple[str, int]:
        now = CLOCK.now()
        step = after_run(job, SUCCEEDED, self._rule, now)
        ending = self._fan_out.ending(self._goals, job, step, SUCCEEDED, now, _lease, callback=None)
        assert ending is not None
        if await self._store.finish_run(job, lease.token, step, SUCCEEDED, now=now, ending=ending) is None:
            raise RuntimeError("the job was not claimed as it was inserted")
        (draft,), (sending,) = ending.deliveries, ending.leases
        assert sending is not None
        return draft.id, sending.token


def new_draft() -> JobDraft:
    """Return a job to be stored."""
    return JobDraft(id=IDS.new(), function=FUNCTION, event=DOCUMENT, max_attempts=3, timeout_s=900.0)


def _lease(_: str) -> Lease:
    return Lease(owner="bench", token=IDS.token(), expires_at=CLOCK.now() + timedelta(seconds=30))
