"""A store for the contract suite: opened, closed, killed and opened again over the same database.

Only this module knows which database stands behind the verbs; another one needs a rig of its own, with the same
methods, and the suite holds for it.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from pipeline.errors import StoreError
from pipeline.model import ClaimedDelivery, ClaimedJob, Delivery, DeliveryDraft, Job, JobDraft, RunOutcome
from pipeline.store import Store
from tests.support import samples
from tests.support.samples import NOW, SUCCEEDED, ending, lease, succeeded

Dump = dict[str, list[tuple[Any, ...]]]


class Rig:
    """A store over one database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fatal: list[StoreError] = []
        self.store = Store(path, self.fatal.append)

    def dump(self) -> Dump:
        """Return every row of every table, read past the store."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as db:
            found = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
            return {name: sorted(db.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for (name,) in found}

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has that has any, the store's own bookkeeping left out."""
        return {name: len(rows) for name, rows in self.dump().items() if rows and not name.startswith("_")}

    async def reopen(self) -> None:
        """Close the store and open it again."""
        await self.store.close()
        self.store = Store(self.path, self.fatal.append)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Rig]:
    """Open a rig; close it in the end."""
    rig = Rig(path)
    try:
        yield rig
    finally:
        await rig.store.close()


# Ways to a row in a certain state, by the verbs alone


async def running(store: Store, token: int = 1, draft: JobDraft | None = None, **changes: Any) -> Job:
    """Store a job that is claimed under `token`, and return it as the store has it."""
    draft = draft or samples.draft(**changes)
    assert await store.insert_job(draft, now=NOW, lease=lease(token))
    return await stored(store, draft.id)


async def stored(store: Store, job_id: str) -> Job:
    """Return a job that must be there."""
    view = await store.get_job(job_id)
    assert view is not None
    return view.job


async def the_delivery(store: Store, delivery_id: str) -> Delivery:
    """Return a delivery that must be there."""
    found = await store.get_delivery(delivery_id)
    assert found is not None
    return found


async def ended(store: Store, *drafts: DeliveryDraft, outcome: RunOutcome | None = None, **changes: Any) -> Job:
    """Store a job that succeeded and owes these deliveries, none of them claimed."""
    job = await running(store, token=77, **changes)
    done = await store.finish_run(
        job, 77, SUCCEEDED, outcome or succeeded(), now=NOW, ending=ending(job, *drafts) if drafts else None
    )
    assert done is not None
    return await stored(store, job.id)


async def sending(store: Store, token: int = 1, **changes: Any) -> ClaimedDelivery:
    """Store a delivery that is claimed under `token`; nothing else to its destination may be pending."""
    draft = samples.delivery_draft(**changes)
    await ended(store, draft)
    (claimed,) = await store.claim_deliveries(draft.destination, 10, now=NOW, lease=lease(token))
    assert claimed.delivery.id == draft.id
    return claimed


def ids(claimed: list[ClaimedJob]) -> list[str]:
    """Return the ids of claimed jobs."""
    return [each.job.id for each in claimed]


async def all_of(*verbs: Any) -> list[Any]:
    """Run verbs at once and return what each returned or raised."""
    return await asyncio.gather(*verbs, return_exceptions=True)
