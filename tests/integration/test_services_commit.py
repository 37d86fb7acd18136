"""A 202 is written after the commit, and not a moment before."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.service import serving

QUICK = """
    def handler(event, context):
        return "done"
    """


async def test_a_202_waits_for_the_commit_of_its_job(tmp_path: Path) -> None:
    async with serving(tmp_path, {"quick-background.py": QUICK}) as service:
        with closing(sqlite3.connect(service.app.store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # nobody else can commit now
            answer = asyncio.create_task(service.post("/functions/quick-background"))
            _, waiting = await asyncio.wait({answer}, timeout=0.5)
            assert waiting == {answer}
            assert other.execute("SELECT count(*) FROM job").fetchone() == (0,)
            other.execute("ROLLBACK")
        assert (await answer).status == 202
        await service.until((await answer).json["id"], "succeeded")
