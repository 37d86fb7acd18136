"""A copy of the store, of one moment, while a service runs on it or not."""

import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.engine.database import open_reader, store_error


def back_up(database: Path, target: Path) -> None:
    """Write a copy of `database` to `target`, checked for integrity; the store is only read.

    Raises StoreError where the store is missing or damaged or the copy cannot be written, and leaves no copy then;
    FileExistsError where the target is there already.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already")
    if not database.is_file():
        raise StoreError(f"{database}: there is no store")
    unfinished = target.with_name(target.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with closing(open_reader(database)) as connection:
            connection.execute("PRAGMA query_only = OFF")  # the file is opened for reading alone all the same
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
                raise StoreError(f"{database}: this is a database, but not one of Sendoff's")
            connection.execute("VACUUM INTO ?", (str(unfinished),))
        with closing(sqlite3.connect(unfinished)) as copy:
            (finding,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        if finding != "ok":
            raise StoreError(f"{database}: the copy is damaged: {finding}")
        unfinished.chmod(0o600)
        unfinished.rename(target)
    except sqlite3.Error as error:
        raise StoreError(str(store_error(error, database))) from error
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
