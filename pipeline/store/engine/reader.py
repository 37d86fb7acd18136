"""Reading beside the writer: one thread with its own read-only connection, so that no query ever waits for a commit.

Where many ask at once, several queries are done before the loop is told: each hand-over between two threads costs more
than a query by its key.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from pipeline.errors import StoreError
from pipeline.store.engine.database import is_broken, open_reader, store_error

T = TypeVar("T")

_GROUP_MOST = 16


class _Read:
    """One query, and who waits for what it finds."""

    __slots__ = ("error", "future", "query", "result")

    def __init__(self, query: Callable[[sqlite3.Connection], Any], future: asyncio.Future[Any]) -> None:
        self.query = query
        self.future = future
        self.result: Any = None
        self.error: Exception | None = None

    def settle(self) -> None:
        if self.future.done():  # who asked has gone
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Reader:
    """Runs queries one after another; each opens and ends its own snapshot, and none lives over an await."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, on_fatal: Callable[[StoreError], None]) -> None:
        """Open the connection; `on_fatal` is called on the loop when the database can no longer be trusted."""
        self._path = path
        self._loop = loop
        self._on_fatal = on_fatal
        self._connection = open_reader(path)
        self._own = open_reader(path)  # the loop's
        for connection in (self._connection, self._own):
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens its files, now and not later
        self._queue: SimpleQueue[_Read | None] = SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="store-reader", daemon=True)
        self._thread.start()

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `query` finds; StoreError once the store is closed."""
        if self._is_closed:
            raise StoreError(f"{self._path}: the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Read(query, future))
        return await future

    def look_up(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return what a query by keys finds, at once and on the loop: it costs less than handing it to the thread.

        Only for what touches a few pages; it keeps the loop for some microseconds, or for a read of the disk.
        """
        if self._is_closed:
            raise StoreError(f"{self._path}: the store is closed")
        try:
            return query(self._own)
        except sqlite3.Error as error:
            raise self._mapped(error) from error

    def close(self) -> None:
        """Answer what was asked, end the thread and close the connection."""
        self._is_closed = True
        self._queue.put(None)
        self._thread.join()
        self._own.close()

    def _work(self) -> None:
        while group := self._next_group():
            for read in group:
                self._run(read, self._connection)
            self._loop.call_soon_threadsafe(_settle, group)
        self._connection.close()

    def _next_group(self) -> list[_Read]:
        group: list[_Read] = []
        read = self._queue.get()
        while read is not None:
            group.append(read)
            if len(group) == _GROUP_MOST:
                return group
            try:
                read = self._queue.get_nowait()
            except Empty:
                return group
        if group:
            self._queue.put(None)  # the end, again, once these are answered
        return group

    def _run(self, read: _Read, connection: sqlite3.Connection) -> None:
        try:
            read.result = read.query(connection)
        except sqlite3.Error as error:
            read.error = self._mapped(error)
            read.error.__cause__ = error
        except Exception as error:  # whatever a query raised belongs to who asked
            read.error = error

    def _mapped(self, error: sqlite3.Error) -> Exception:
        mapped = store_error(error, self._path)
        if isinstance(mapped, StoreError) and is_broken(error):
            self._loop.call_soon_threadsafe(self._on_fatal, mapped)
        return mapped


def _settle(group: list[_Read]) -> None:
    for read in group:
        read.settle()
