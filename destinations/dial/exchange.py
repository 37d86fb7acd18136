"""Requests to one URL, or to several of one host, over kept connections: the path that every webhook takes, kept short.

aiohttp dials: it looks names up, tries addresses, and does TLS. From then on a connection is our own (`connection`):
aiohttp's client serves redirects, cookies, decompression, traces and middleware, of which webhooks use nothing, and
even its bare connections cost several times what a small request does. The parts used here are not private but not
documented either; a contract test pins their signatures. `connector` makes it.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from aiohttp import (
    ClientConnectionResetError,
    ClientError,
    ClientRequest,
    ClientTimeout,
    ConnectionTimeoutError,
    TCPConnector,
)
from aiohttp.connector import Connection
from yarl import URL

from destinations.dial.connection import KeptConnection, Reply
from destinations.dial.detour import Detour

_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNLIMITED = ClientTimeout()
_REPLACED_WITHIN_S = 1.0
_TOO_SHORT_S = 0.01
_UNSENT = "the connection was closed before anything was sent"

T = TypeVar("T")


class Exchange:
    """Sends requests to one host, for many tasks at a time. Made within a running loop; whoever made it closes it."""

    def __init__(
        self,
        connector: TCPConnector,
        *,
        method: str,
        url: URL,
        headers: Iterable[tuple[str, str]],
        timeout_s: float,
        connect_timeout_s: float,
        connections: int,
        idle_s: float,
        late: Callable[[float], OSError],
        detour: Detour | None = None,
    ) -> None:
        """Prepare for requests that all carry `headers`, over at most so many `connections`, each kept while it is idle
        for up to `idle_s`; raises ValueError for a header that breaks lines. `late` makes the error of a connection
        that was not made within so many seconds. A `detour` leads through a proxy, which is dialled instead.
        """
        self._loop = asyncio.get_running_loop()
        self._connector = connector
        self._timeout_s = timeout_s
        self._connect_timeout_s = min(connect_timeout_s, timeout_s)
        self._idle_s = idle_s
        self._late = late
        self._detour = detour
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[KeptConnection] = []  # the one used last is the last, and the next to be used
        self._open: set[KeptConnection] = set()
        self._cleaning: asyncio.TimerHandle | None = None
        # Never sent: it tells the connector where to go.
        self._target = ClientRequest(method, detour.url if detour else url, loop=self._loop)
        self._line_start = f"{method} {detour.prefix if detour else ''}"
        self._after_line = _fixed_head(url, headers, detour)
        self._head = self._line(url.raw_path_qs) + self._after_line

    async def close(self) -> None:
        """Close all connections; requests under way may fail."""
        if self._cleaning is not None:
            self._cleaning.cancel()
        for connection in list(self._open):  # the connector would wait until receivers have taken what is written
            connection.close()
        await self._connector.close()

    async def send(self, headers: Mapping[str, str], body: bytes, *, target: str | None = None) -> Reply:
        """Send one request and return its answer; once its head is there, whatever ends its body ends it well.

        `target` is another path and query than those of the URL, in the form in which they are sent.

        Raises the errors that `failures` knows if no head came, and ValueError for a header that is not printable.
        Cancellation closes the connection and passes through.
        """
        began = self._loop.time()
        head = self._head_of(headers, len(body), target)
        if self._slots.locked():
            await self._in_time(self._slots.acquire(), began, self._connect_timeout_s, _busy)
        else:
            await self._slots.acquire()
        try:
            connection = await self._kept()
            if connection is None:
                connection = await self._dialled(began)
            try:
                return await connection.ask(head, body, began, self._timeout_s)
            finally:
                self._take_back(connection)
        finally:
            self._slots.release()

    def _head_of(self, headers: Mapping[str, str], length: int, target: str | None) -> bytes:
        if not "".join(headers.values()).isprintable():
            raise ValueError("a header holds no line breaks or other control characters")
        lines = "\r\n".join(map(": ".join, headers.items()))
        fixed = self._head if target is None else self._line(target) + self._after_line
        return b"%b%b\r\ncontent-length: %d\r\n\r\n" % (fixed, lines.encode(), length)

    def _line(self, target: str) -> bytes:
        return _joined([f"{self._line_start}{target} HTTP/1.1"])

    # Connections

    async def _in_time(
        self, coming: Coroutine[Any, Any, T], began: float, wait_s: float, late: Callable[[float], OSError]
    ) -> T:
        timeout = asyncio.timeout_at(began + wait_s)
        try:
            async with timeout:
                return await coming
        except TimeoutError as error:
            if not timeout.expired():
                raise  # the system's own
            raise late(wait_s) from error

    async def _kept(self) -> KeptConnection | None:
        """Return a connection that was used before and can be written to, if there is one."""
        if self._idle:
            # One turn of the loop: receivers that close after each answer mostly do so by now, and it is seen.
            await asyncio.sleep(0)  # noqa: TID251 - no time passes
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
            connection.close()
        return None

    async def _dialled(self, began: float) -> KeptConnection:
        """Return a new connection. One that was closed at once is replaced once, soon: nothing has left on it."""
        connection = await self._dial(began, self._connect_timeout_s, self._late)
        if connection is None:
            now = self._loop.time()
            left_s = min(_REPLACED_WITHIN_S, began + self._connect_timeout_s - now)
            if left_s < _TOO_SHORT_S:
                said = f"{_UNSENT}, and the {self._connect_timeout_s:g} s for a connection were over"
                raise ClientConnectionResetError(said)
            connection = await self._dial(now, left_s, _not_replaced)
        if connection is None:
            raise ClientConnectionResetError(_UNSENT)
        return connection

    async def _dial(self, began: float, wait_s: float, late: Callable[[float], OSError]) -> KeptConnection | None:
        dialled = await self._in_time(self._connected(), began, wait_s, late)
        handler, transport = dialled.protocol, dialled.transport
        assert handler is not None
        if transport is None or transport.is_closing() or handler.should_close:  # or it holds what nobody asked for
            handler.abort()
            dialled.close()
            return None
        if self._detour is not None:
            try:
                transport = await self._detour.through(transport, began, wait_s)
            except BaseException:
                transport.abort()
                self._give_back(dialled, None)
                raise
            if transport.is_closing():
                transport.abort()
                self._give_back(dialled, None)
                return None
        who = self._detour.speaker if self._detour else None
        connection = KeptConnection(transport, partial(self._lost, dialled), who)
        transport.set_protocol(connection)
        self._open.add(connection)
        return connection

    async def _connected(self) -> Connection:
        if self._detour is None:
            return await self._connector.connect(self._target, traces=[], timeout=_UNLIMITED)
        self._detour.begin()
        try:
            return await self._connector.connect(self._target, traces=[], timeout=_UNLIMITED)
        except (ClientError, OSError) as error:
            raise self._detour.failed(error) from error

    def _lost(self, dialled: Connection, connection: KeptConnection, error: Exception | None) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._give_back(dialled, error)

    @staticmethod
    def _give_back(dialled: Connection, error: Exception | None) -> None:
        # aiohttp counts it as in use, and would wait for its end: the protocol that it made is not asked any more.
        if dialled.protocol is not None:
            dialled.protocol.connection_lost(error)
        dialled.close()

    def _take_back(self, connection: KeptConnection) -> None:
        if not connection.settle():
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._cleaning is None:
            self._cleaning = self._loop.call_later(self._idle_s, self._clean)

    def _clean(self) -> None:
        """Close what has been idle for too long, and come again when the next one has."""
        now = self._loop.time()
        while self._idle and self._idle[0].idle_since + self._idle_s <= now:
            self._idle.pop(0).close()
        self._cleaning = None
        if self._idle:
            self._cleaning = self._loop.call_at(self._idle[0].idle_since + self._idle_s, self._clean)


def _busy(wait_s: float) -> OSError:
    return ConnectionTimeoutError(f"no connection was free within {wait_s:g} s")


def _not_replaced(wait_s: float) -> OSError:
    return ClientConnectionResetError(f"{_UNSENT}, and no other was made within {wait_s:.2g} s")


def _fixed_head(url: URL, headers: Iterable[tuple[str, str]], detour: Detour | None) -> bytes:
    pairs = [("host", url.host_port_subcomponent), *(detour.headers if detour else ()), *headers]
    return _joined([f"{name}: {value}" for name, value in pairs])


def _joined(lines: list[str]) -> bytes:
    if any(map(_FORBIDDEN.search, lines)):
        raise ValueError("a header holds no line breaks or other control characters")
    # A value from the environment may hold bytes that are no UTF-8: left out, as aiohttp does.
    return "".join([f"{line}\r\n" for line in lines]).encode("utf-8", "ignore")
