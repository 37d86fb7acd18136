"""Opening the database file: the lock that keeps a second service out, the pragmas, the migrations, the errors."""

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlite_utils import Database

from pipeline.errors import StoreBusyError, StoreError, StoreFullError, StoreWaitError
from pipeline.store.engine.migrations import migrations

OLDEST_SQLITE = (3, 37, 0)
"""STRICT tables and UPDATE ... RETURNING."""

_BROKEN: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_PRAGMAS = (
    "PRAGMA busy_timeout = 5000",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA mmap_size = 0",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16384",
    # Checkpoints run in the writer's own commits, every 16 MiB: one connection writes and checkpoints (finding 1).
    "PRAGMA wal_autocheckpoint = 4096",
)


class FileLock:
    """The right to be the only service on a database file, held by a lock on a file beside it."""

    def __init__(self, database: Path) -> None:
        """Take the lock, or raise StoreError naming the process that has it."""
        self._fd = os.open(_lock_of(database), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _named_in(self._fd)
            os.close(self._fd)
            raise StoreError(f"{database}: database is in use by pid {owner}") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back; the kernel does so too when the process dies."""
        os.close(self._fd)


def owner_of(database: Path) -> str | None:
    """Return the process id of the service that has the lock of `database`, or None where none has; OSError where that
    cannot be told. Nothing is made or changed.
    """
    try:
        fd = os.open(_lock_of(database), os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        # Not read from /proc/locks, which hides what other PID namespaces (containers) hold.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named_in(fd)
    finally:
        os.close(fd)
    return None


def _lock_of(database: Path) -> Path:
    return database.with_name(database.name + ".lock")


def _named_in(lock: int) -> str:
    return os.read(lock, 32).decode(errors="replace").strip() or "unknown"


def open_writer(path: Path) -> sqlite3.Connection:
    """Open, check and migrate the database for writing; StoreError where it cannot be used, the file then unchanged."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    try:
        refuse_foreign(connection, path)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(f"{path}: the database cannot use a write-ahead log (journal_mode is {mode})")
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        migrations().apply(Database(connection))
        # A file that is up to date but read-only has been opened without a write so far, and BEGIN IMMEDIATE alone
        # takes it for a read.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA user_version = 0")
        connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise store_error(error, path) from error


def refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError where the database is not one of Sendoff's, or of a newer one; an empty file is right."""
    # sqlite-utils does not tell a database that is newer than the program from one that is up to date.
    steps = migrations()
    (version,) = connection.execute("PRAGMA schema_version").fetchone()
    if not version:
        return
    known = {step.name for step in steps.pending(Database(":memory:"))}
    with closing(connection.execute("SELECT name FROM sqlite_master WHERE name = '_sqlite_migrations'")) as found:
        if found.fetchone() is None:
            raise StoreError(f"{path}: this is a database, but not one of Sendoff's")
    with closing(connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = 'sendoff'")) as rows:
        newer = sorted({name for (name,) in rows} - known)
    if newer:
        raise StoreError(
            f"{path}: the store is newer than this program (it has {', '.join(newer)}); use a newer Sendoff"
        )


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that can only read."""
    connection = sqlite3.connect(
        f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def check_version() -> None:
    """Raise StoreError where the SQLite library is too old for the store's tables."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old: Sendoff needs {oldest} or newer")


def is_broken(error: Exception) -> bool:
    """Tell whether an error means that the database cannot be trusted any more (reliability, finding 5)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN


def store_error(error: sqlite3.Error, path: Path) -> StoreError | StoreWaitError:
    """Return the error that `error` means to the rest of the code, in one line."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return StoreFullError(f"{path}: the disk is full")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(f"{path}: another program has locked the database")
    return StoreError(f"{path}: {error}")
