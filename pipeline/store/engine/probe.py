"""What can be told of the store without being its service: for `sendoff doctor`. Nothing here writes to a store."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.clock import Clock
from pipeline.errors import StoreError
from pipeline.store.engine.database import OLDEST_SQLITE, open_reader, open_writer, refuse_foreign, store_error

COMMITS = 5

Version = tuple[int, int, int]


def sqlite_version() -> Version:
    """Return the version of the SQLite library that is in use."""
    major, minor, patch = sqlite3.sqlite_version_info
    return major, minor, patch


def is_too_old(version: Version) -> bool:
    """Tell whether the store's tables need a newer SQLite."""
    return version < OLDEST_SQLITE


def has_wal_reset_bug(version: Version) -> bool:
    """Tell whether two connections that write or checkpoint at the same instant can corrupt a database.

    In 3.7.0 to 3.51.2, but for the releases of older lines that carry the fix (https://sqlite.org/wal.html).
    """
    if version[:2] == (3, 50):
        return version < (3, 50, 7)
    if version[:2] == (3, 44):
        return version < (3, 44, 6)
    return (3, 7, 0) <= version < (3, 51, 3)


def try_log(folder: Path, clock: Clock) -> float:
    """Make a database in `folder` as the service makes its own, write, and read it by a second connection.

    Returns how long a durable commit took, the median, in seconds; StoreError where it cannot be done. The folder must
    be one that nothing else is in.
    """
    path = folder / "probe.db"
    try:
        with closing(open_writer(path)) as writer, closing(open_reader(path)) as reader:
            taken = sorted(_commit(writer, number, clock) for number in range(1, COMMITS + 1))
            (seen,) = reader.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise StoreError(str(store_error(error, path))) from error
    if seen != COMMITS:
        raise StoreError(f"{path}: a reader does not see what was committed")
    return taken[COMMITS // 2]


def _commit(connection: sqlite3.Connection, number: int, clock: Clock) -> float:
    began = clock.monotonic()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version = {number}")
    connection.execute("COMMIT")
    return clock.monotonic() - began


def look_at(database: Path) -> None:
    """Raise StoreError where a service could not use the file that is there: by its rights, its format, its version.

    It is opened for reading only, whether a service runs on it or not.
    """
    try:
        with closing(open_reader(database)) as connection:
            refuse_foreign(connection, database)
    except sqlite3.Error as error:
        raise StoreError(str(store_error(error, database))) from error
    if not os.access(database, os.W_OK):
        raise StoreError(f"{database}: this user may not write to it")
