"""The one writer: a thread that drains a queue of verbs and commits many of them in one transaction (group commit).

Every caller is answered after the commit that made its change durable. SQLite's connection lives in this thread alone,
which also does every checkpoint (reliability, findings 1 and 3). Verbs of one kind in a group are done together, in a
few statements over many rows: each statement costs this thread a wait for the interpreter's lock, whatever it does.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from pipeline.errors import SendoffError, StoreError, StoreFullError, StoreUnsureError
from pipeline.store.engine.database import is_broken, open_writer, store_error

Item = TypeVar("Item")
T = TypeVar("T")
Verb = Callable[[sqlite3.Connection, Sequence[Item]], Sequence[T]]
"""Does the same for each of many items, and returns what became of each."""

OnCommit = Callable[[int, float], None]
"""Is told how many writes a group had, and how long it took to write and commit them, in seconds."""
Write = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
"""Has the writer do one verb, and returns what that returned once it is committed."""

_GROUP_MOST = 256
_SIBLINGS = 5
_DELAY_S = 0.003
_IDLE_S = 0.5


class _Write:
    """One item that waits for its verb; the verb has no side effects but in the database, since it may run twice."""

    __slots__ = ("error", "future", "item", "result", "verb")

    def __init__(self, verb: Verb[Any, Any], item: Any, future: asyncio.Future[Any]) -> None:
        self.verb = verb
        self.item = item
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        if self.future.done():  # its caller was cancelled; the change is committed all the same
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Writer:
    """Runs verbs in the order in which they come, many to a transaction."""

    def __init__(
        self,
        path: Path,
        loop: asyncio.AbstractEventLoop,
        on_fatal: Callable[[StoreError], None],
        on_full: Callable[[], None],
        is_low: Callable[[], bool],
        on_commit: OnCommit,
    ) -> None:
        """Open the database; `on_fatal` is called once, on the loop, when it can no longer be trusted, `on_full` in the
        writing thread, each time that the disk is full, and `on_commit` on the loop. `is_low` tells, in the writing
        thread, whether the disk is all but full.
        """
        self._path = path
        self._loop = loop
        self._on_fatal = on_fatal
        self._on_full = on_full
        self._is_low = is_low
        self._on_commit = on_commit
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._connection = open_writer(path)
        self._failed: StoreError | None = None
        self.transactions = 0
        """How many have ended, well or not; counted before the callers of any are answered."""
        self._is_broken = False
        self._was_full = False
        self._closing = threading.Event()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    def write(self, verb: Verb[Item, T], item: Item) -> asyncio.Future[T]:
        """Queue an item for `verb`; the future holds what became of it, after the commit.

        Cancelling the future does not undo the change.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if self._failed is not None:
            future.set_exception(self._failed)
        elif self._is_closed:  # nobody would ever take it from the queue
            future.set_exception(StoreError(f"{self._path}: the store is closed"))
        else:
            self._queue.put(_Write(verb, item, future))
        return future

    async def close(self) -> None:
        """Commit all that is queued, then close the connection; what is written later is refused."""
        self._is_closed = True
        self._closing.set()
        self._queue.put(None)
        self._failed = self._failed or StoreError(f"{self._path}: the store is closed")
        await self._loop.run_in_executor(None, self._thread.join)

    def _work(self) -> None:
        group: list[_Write] = []
        is_open = True
        while is_open:
            if len(group) >= _SIBLINGS:
                # Where many write at once, a short wait makes the next group larger and all of them cheaper
                # (PostgreSQL's commit_delay and commit_siblings); a single caller never waits.
                self._closing.wait(_DELAY_S)
            group, is_open = self._next_group()
            if group:
                began = self._loop.time()
                self._commit(group)
                self._loop.call_soon_threadsafe(self._settle, group, self._loop.time() - began)
        self._connection.close()

    def _settle(self, group: list[_Write], duration_s: float) -> None:
        for write in group:
            write.settle()
        self._on_commit(len(group), duration_s)

    def _next_group(self) -> tuple[list[_Write], bool]:
        group: list[_Write] = []
        write = self._next()
        while write is not None:
            group.append(write)
            if len(group) == _GROUP_MOST:
                return group, True
            try:
                write = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _next(self) -> _Write | None:
        is_due = True  # once in each pause; where the disk is short of room, until the log has given its own back
        while True:
            try:
                return self._queue.get(timeout=_IDLE_S)
            except Empty:
                if is_due or self._is_short():
                    self._checkpoint()
                is_due = False

    def _is_short(self) -> bool:
        return self._was_full or self._is_low()

    def _commit(self, group: list[_Write]) -> None:
        if self._is_broken:
            for write in group:
                write.error = self._failed
            return
        try:
            self._transact(group)
        except Exception as error:  # whatever a verb raised belongs to that verb's caller alone
            if _is_fatal(error):
                # Not tried again: a flush that failed may succeed the second time without having written a thing. And
                # not known: what is in the log already may be found there by the next start.
                said = f"{self._mapped(error)}; whether this was written shows after the next start"
                for write in group:
                    write.error = StoreUnsureError(said)
            elif len(group) == 1:
                group[0].error = self._mapped(error)
            else:
                for write in group:
                    self._commit([write])

    def _transact(self, group: list[_Write]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for verb, writes in _by_verb(group).items():
                for write, result in zip(writes, verb(connection, [write.item for write in writes]), strict=True):
                    write.result = result
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            self.transactions += 1

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            # A connection that cannot roll back is in an unknown state: a new one sees only what was committed.
            self._connection.close()
            try:
                self._connection = open_writer(self._path)
            except SendoffError as error:
                self._break(StoreError(str(error)))

    def _mapped(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        mapped = store_error(error, self._path)
        if isinstance(mapped, StoreFullError):
            self._was_full = True
            self._on_full()
        if isinstance(mapped, StoreError) and _is_fatal(error):
            self._break(mapped)
        return mapped

    def _break(self, error: StoreError) -> None:
        if not self._is_broken:
            self._is_broken = True
            self._failed = error
            self._loop.call_soon_threadsafe(self._on_fatal, error)

    def _checkpoint(self) -> None:
        # Where the disk is full, the log's own space is part of what is missing.
        mode = "TRUNCATE" if self._is_short() else "PASSIVE"
        try:
            is_busy, *_ = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error as error:
            self._mapped(error)
        else:
            self._was_full = self._was_full and bool(is_busy)


def _is_fatal(error: Exception) -> bool:
    # Who may not write is no use here, either.
    return is_broken(error) or getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY


def _by_verb(group: list[_Write]) -> dict[Verb[Any, Any], list[_Write]]:
    """Sort a group by verb. Nothing in it depends on another part of it: no caller of any was answered yet."""
    sorted_writes: dict[Verb[Any, Any], list[_Write]] = {}
    for write in group:
        sorted_writes.setdefault(write.verb, []).append(write)
    return sorted_writes
