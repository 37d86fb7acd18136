"""Reading beside the writer: one thread with its own read-only connection, so that no query ever waits for a commit."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pipeline.errors import StoreError
from pipeline.store.database import is_broken, open_reader, store_error

T = TypeVar("T")


class Reader:
    """Runs queries one after another; each opens and ends its own snapshot, and none lives over an await."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, on_fatal: Callable[[StoreError], None]) -> None:
        """Open the connection; `on_fatal` is called on the loop when the database can no longer be trusted."""
        self._path = path
        self._loop = loop
        self._on_fatal = on_fatal
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-reader")
        self._connection = open_reader(path)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `query` finds."""
        return await self._loop.run_in_executor(self._thread, self._run, query)

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return query(self._connection)
        except sqlite3.Error as error:
            mapped = store_error(error, self._path)
            if isinstance(mapped, StoreError) and is_broken(error):
                self._loop.call_soon_threadsafe(self._on_fatal, mapped)
            raise mapped from error

    def close(self) -> None:
        """End the thread and close the connection."""
        self._thread.shutdown(wait=True)
        self._connection.close()
