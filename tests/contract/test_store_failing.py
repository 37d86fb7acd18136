"""What the embedded store does when the disk under it fails: it says so once, and trusts nothing any more."""

import asyncio
import sqlite3
import threading

import pytest

from pipeline.errors import StoreError, StoreUnsureError
from pipeline.store import Store
from tests.support.samples import NOW, draft
from tests.support.stores import Rig, all_of


async def test_after_an_io_error_nothing_is_tried_again_or_taken(rig: Rig, store: Store) -> None:
    tries = 0

    def broken_once(_: sqlite3.Connection) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error

    blocked, go_on = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        blocked.set()
        go_on.wait(5)

    holding = store._alone(hold)
    while not blocked.is_set():
        await asyncio.sleep(0.001)
    # These come into one group behind it.
    neighbour = asyncio.ensure_future(store.insert_job(draft(), now=NOW, lease=None))
    await asyncio.sleep(0)
    broken = store._alone(broken_once)
    go_on.set()
    await holding
    for answer in await all_of(neighbour, broken):
        assert isinstance(answer, StoreUnsureError)
        assert str(answer).startswith(f"{rig.path}: disk I/O error; ")
    with pytest.raises(StoreError, match=r"disk I/O error$"):
        await store.insert_job(draft(), now=NOW, lease=None)
    assert tries == 1
    assert await store.list_jobs(before=None, most=9) == []
    assert [str(error) for error in rig.fatal] == [f"{rig.path}: disk I/O error"]


async def test_damage_that_a_reader_finds_is_told(rig: Rig, store: Store) -> None:
    def damaged(_: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with pytest.raises(StoreError, match="malformed"):
        await store._reader.read(damaged)
    await asyncio.sleep(0)
    assert [str(error) for error in rig.fatal] == [f"{rig.path}: database disk image is malformed"]
