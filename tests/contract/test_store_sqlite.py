"""What only the embedded store promises: one service a file, refusals that leave the file alone, pragmas, indexes."""

import asyncio
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from pipeline.errors import StoreError
from pipeline.model import JobState
from pipeline.store import Store
from pipeline.store.engine.migrations import migrations
from tests.support.samples import NOW, draft, later, lease
from tests.support.stores import Rig, ended, opened, stored


async def refused(path: Path) -> str:
    """Return the one line with which a store is refused."""
    with pytest.raises(StoreError) as caught:
        Store(path, lambda _: None)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    return line.removeprefix(f"{path}: ")


# Refusals


async def test_a_second_store_on_the_same_file_is_refused_with_the_pid(rig: Rig, store: Store) -> None:
    assert await refused(rig.path) == f"database is in use by pid {os.getpid()}"
    await store.insert_job(draft(), now=NOW, lease=None)  # the first is none the worse for it


@pytest.mark.parametrize(
    "content", [b"not a database, and longer than the header of one. " * 9, b"SQLite format 3\x00" + b"\xff" * 4096]
)
async def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.db"
    path.write_bytes(content)
    await refused(path)
    assert path.read_bytes() == content
    assert {each.name for each in tmp_path.iterdir()} <= {"garbage.db", "garbage.db.lock"}


async def test_another_program_s_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE job (id TEXT)")
        db.commit()
    before = path.read_bytes()
    assert await refused(path) == "this is a database, but not one of Sendoff's"
    assert path.read_bytes() == before


async def test_a_newer_store_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    async with opened(path):
        pass
    with closing(sqlite3.connect(path)) as db:
        applied = "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('sendoff', 'zeppelin', '')"
        db.execute(applied)
        db.commit()
    before = path.read_bytes()
    assert await refused(path) == ("the store is newer than this program (it has zeppelin); use a newer Sendoff")
    assert path.read_bytes() == before


async def test_the_store_of_an_older_version_is_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    with closing(sqlite3.connect(path)) as db:
        migrations().apply(Database(db), stop_before="expiry")
        row = draft()
        db.execute("INSERT INTO payload (id, content) VALUES (7, ?)", (row.event,))
        db.execute(
            "INSERT INTO job (id, function, state, priority, attempt, max_attempts, run, lost, round, created_at,"
            " due_at, timeout_s, depth, event_id) VALUES (?, ?, 'queued', 5, 0, 3, 0, 0, 1, 1, 1, 900, 0, 7)",
            (row.id, row.function),
        )
        db.commit()
    async with opened(path) as rig:
        assert await rig.store.overdue_jobs(9, now=later(10**6)) == ([], None)
        (claimed,) = await rig.store.claim_jobs(row.function, 9, now=NOW, lease=lease(1))
        assert (claimed.job.id, claimed.event) == (row.id, row.event)


async def test_a_store_that_was_refused_can_be_opened_once_the_reason_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "mended.db"
    path.write_bytes(b"garbage " * 100)
    await refused(path)
    path.unlink()
    async with opened(path) as rig:
        await rig.store.insert_job(draft(), now=NOW, lease=None)


async def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "folder.db"
    path.mkdir()
    assert "unable to open" in await refused(path)


async def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert "File exists" in await refused(tmp_path / "data" / "sendoff.db")


# Permissions do not bind root, unless it gives up that power, which takes effect at the next exec.
OPENING = """
import asyncio, ctypes, os, sys
from pathlib import Path

if os.geteuid() == 0 and len(sys.argv) == 2:
    CAPBSET_DROP, DAC_OVERRIDE = 24, 1
    if ctypes.CDLL(None).prctl(CAPBSET_DROP, DAC_OVERRIDE, 0, 0, 0):
        sys.exit("cannot give up root's power")
    os.execv(sys.executable, [*sys.orig_argv, "powerless"])

from pipeline.errors import StoreError
from pipeline.store import Store

async def main():
    try:
        Store(Path(sys.argv[1]), print)
    except StoreError as error:
        print(f"refused: {error}")

asyncio.run(main())
"""


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o555, 0o444), (0o755, 0o444)], ids=["folder", "file"])
async def test_what_is_read_only_is_refused_and_left_as_it_was(
    tmp_path: Path, folder_mode: int, file_mode: int
) -> None:
    folder = tmp_path / "data"
    path = folder / "sendoff.db"
    async with opened(path):
        pass
    path.with_name("sendoff.db.lock").unlink()
    before = path.read_bytes()
    path.chmod(file_mode)
    folder.chmod(folder_mode)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", OPENING, str(path)], capture_output=True, text=True, timeout=30, check=False
        )
    finally:
        folder.chmod(0o755)
    if "cannot give up" in ended.stderr and not os.environ.get("CI"):
        pytest.skip(ended.stderr.strip())
    assert ended.stderr == ""
    assert ended.stdout.startswith(f"refused: {path}: ")
    assert ended.stdout.count("\n") == 1
    assert path.read_bytes() == before


# Opening


async def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "sendoff.db"
    async with opened(path):
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_the_database_is_durable_and_guarded(rig: Rig, store: Store) -> None:
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "journal_size_limit": 64 * 1024 * 1024,
        "mmap_size": 0,
        "trusted_schema": 0,
        "wal_autocheckpoint": 4096,
    }

    def pragmas(db: sqlite3.Connection) -> dict[str, Any]:
        return {name: (db.execute(f"PRAGMA {name}").fetchone() or [0])[0] for name in expected}

    # Within a transaction synchronous reads as it was set.
    assert await store._alone(pragmas) == expected
    (mode,) = await store._reader.read(lambda db: db.execute("PRAGMA query_only").fetchone())
    assert mode == 1
    assert rig.fatal == []


async def test_a_reader_cannot_write(rig: Rig, store: Store) -> None:
    with pytest.raises(StoreError, match="readonly"):
        await store._reader.read(lambda db: db.execute("DELETE FROM job"))
    assert rig.fatal == []


async def test_a_reader_sees_only_what_is_committed_and_waits_for_no_writer(store: Store) -> None:
    job = await ended(store)
    blocked, go_on = threading.Event(), threading.Event()

    def slow(_: object) -> None:
        blocked.set()
        go_on.wait(5)

    waiting = store._alone(slow)
    while not blocked.is_set():
        await asyncio.sleep(0.001)
    inserted = asyncio.ensure_future(store.insert_job(late := draft(), now=NOW, lease=None))
    assert await stored(store, job.id) == job
    assert await store.get_job(late.id) is None
    go_on.set()
    await asyncio.gather(waiting, inserted)
    assert await store.get_job(late.id) is not None


async def test_the_tables_pass_sqlite_s_own_check(rig: Rig, store: Store) -> None:
    await store.insert_job(draft(), now=NOW, lease=lease(1))
    with closing(sqlite3.connect(rig.path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = db.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table'").fetchall()
        assert {name for name, is_strict in tables if not is_strict and "sqlite" not in name} == set()


KILLED = """
import asyncio, os, sys
from dataclasses import replace
from pathlib import Path
from pipeline.store import Store
from tests.support.samples import NOW, draft, lease

async def main():
    store = Store(Path(sys.argv[1]), print)
    made = [draft(function=f"f{number}") for number in range(50)]
    await asyncio.gather(*(store.insert_job(each, now=NOW, lease=lease(7)) for each in made))
    print(*(each.id for each in made), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_a_kill_and_the_lock_does_not(tmp_path: Path) -> None:
    path = tmp_path / "sendoff.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(KILLED), str(path), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        acknowledged = (await process.stdout.readline()).decode().split()
    assert await refused(path) == f"database is in use by pid {process.pid}"
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert len(acknowledged) == 50
    async with opened(path) as rig:
        for job_id in acknowledged:
            assert (await stored(rig.store, job_id)).state is JobState.RUNNING
        assert len(await rig.store.leased_jobs("local")) == 50


async def test_the_lock_lies_beside_the_file(rig: Rig) -> None:
    """A lock on the database itself would be dropped by any close of another descriptor on it."""
    beside = rig.path.with_name("sendoff.db.lock")
    assert beside.read_text() == f"{os.getpid()}\n"
    with beside.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
