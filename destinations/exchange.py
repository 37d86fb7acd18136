"""One request and its answer over kept connections: the path that every webhook takes, kept short.

aiohttp dials, pools and parses. Its ClientSession would do all of this, too, at more than twice the cost of a small
request: it serves redirects, cookies, decompression, chunks, traces and middleware, of which webhooks use nothing. The
parts used here are not private but not documented either; a contract test pins their signatures.
`dial` makes the connector and knows what the errors mean.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiohttp import (
    ClientConnectionResetError,
    ClientError,
    ClientRequest,
    ClientTimeout,
    ConnectionTimeoutError,
    StreamReader,
    TCPConnector,
)
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage, StreamWriter
from yarl import URL

READ_LIMIT = 64 * 1024
"""About the most that is read of an answer's body; the rest is not drained, its connection is closed."""

_ONE_WRITE = 2**20  # more is written in pieces, as the receiver takes them
_PIECE = 2**18
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(slots=True)
class Reply:
    """An answer: its head, as much of its body as came, and who gave it."""

    status: int
    headers: Iterable[tuple[str, str]]
    remote_address: str | None
    body: bytearray = field(default_factory=bytearray)


class Exchange:
    """Sends requests to one URL, for many tasks at a time. Made within a running loop; whoever made it closes it."""

    def __init__(
        self,
        connector: TCPConnector,
        *,
        method: str,
        url: URL,
        headers: Iterable[tuple[str, str]],
        timeout_s: float,
        connect_timeout_s: float,
    ) -> None:
        """Prepare for requests that all carry `headers`; raises ValueError for one that breaks lines."""
        self._connector = connector
        self._timeout_s = timeout_s
        self._connect_timeout = ClientTimeout(connect=min(connect_timeout_s, timeout_s))
        # Never sent: it tells the connector where to go, and the key under which connections are kept.
        self._target = ClientRequest(method, url, loop=asyncio.get_running_loop())
        self._head = _fixed_head(method, url, headers)

    async def close(self) -> None:
        """Close all connections; requests under way may fail."""
        await self._connector.close()

    async def send(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request and return its answer; once its head is there, whatever ends its body ends it well.

        Raises the errors that `dial` knows if no head came, and ValueError for a header that is not printable.
        Cancellation closes the connection and passes through.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        head = self._head_of(headers, len(body))
        request = _Request(await self._connected())
        # One bare timer that ends the reading: a quarter cheaper for the whole than asyncio.timeout, which cancels.
        timer = loop.call_at(deadline, request.expire)
        try:
            request.write(head, body)
            reply = await request.answer()
            await request.read(reply.body)
            return reply
        finally:
            timer.cancel()
            request.close()

    def _head_of(self, headers: Mapping[str, str], length: int) -> bytes:
        if not "".join(headers.values()).isprintable():
            raise ValueError("a header holds no line breaks or other control characters")
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return b"%b%bcontent-length: %d\r\n\r\n" % (self._head, lines.encode(), length)

    async def _connected(self) -> Connection:
        """Return a connection that can be written to. A closed one is replaced once: nothing has left on it."""
        # One turn of the loop: receivers that close after each answer mostly do so by now, and the pool sees it.
        await asyncio.sleep(0)  # noqa: TID251 - no time passes
        connection = await self._connect()
        if not _is_usable(connection):
            connection.close()
            connection = await self._connect()
            if not _is_usable(connection):
                connection.close()
                raise ClientConnectionResetError("the connection was closed before anything was sent")
        return connection

    async def _connect(self) -> Connection:
        try:
            return await self._connector.connect(self._target, traces=[], timeout=self._connect_timeout)
        except TimeoutError as error:
            raise ConnectionTimeoutError from error


class _Request:
    """One request on one connection, which goes back to the pool or is closed."""

    __slots__ = ("_connection", "_content", "_protocol", "_transport", "_writing")

    def __init__(self, connection: Connection) -> None:
        assert connection.protocol is not None
        assert connection.transport is not None
        self._connection = connection
        self._protocol = connection.protocol
        self._transport = connection.transport
        self._content: StreamReader | None = None
        self._writing: asyncio.Task[None] | None = None

    def write(self, head: bytes, body: bytes) -> None:
        """Write the request, or begin to: its answer may come before its end."""
        self._protocol.set_response_params(read_until_eof=True, auto_decompress=False)
        if len(body) <= _ONE_WRITE:
            self._transport.write(head + body)
        else:
            self._writing = asyncio.create_task(self._write_in_pieces(head, body))

    async def _write_in_pieces(self, head: bytes, body: bytes) -> None:
        writer = StreamWriter(self._protocol, asyncio.get_running_loop())
        view = memoryview(body)
        try:
            await writer.write(head)
            for start in range(0, len(body), _PIECE):
                await writer.write(view[start : start + _PIECE])
        except OSError:
            self._transport.abort()  # wakes up the reader, which has the answer if one came, or else the reason

    async def answer(self) -> Reply:
        """Wait for the head of the final answer; its body is still empty."""
        peer = self._transport.get_extra_info("peername")
        message, content = await self._protocol.read()
        while _is_interim(message):
            message, content = await self._protocol.read()
        self._content = content
        return Reply(message.code, message.headers.items(), str(peer[0]) if isinstance(peer, tuple) else None)

    async def read(self, body: bytearray) -> None:
        """Read the start of the answer's body; what goes wrong here changes nothing, the status line has decided."""
        content = self._content
        assert content is not None
        try:
            while len(body) < READ_LIMIT and not content.at_eof():
                body += await content.readany()
        except (ClientError, OSError, RuntimeError):  # RuntimeError: the pool was closed under the reader
            pass

    def expire(self) -> None:
        """End the waiting: for an answer with TimeoutError, for the rest of its body with what has come."""
        self._protocol.set_exception(TimeoutError())
        if self._content is not None:
            self._content.set_exception(TimeoutError())

    def close(self) -> None:
        """Give the connection back if both directions came to their end, else close it at once.

        The pool closes one that was given back if the receiver said so, or said more than its answer.
        """
        is_written = self._writing is None or self._writing.done()
        if self._writing is not None:
            self._writing.cancel()
        if self._transport.get_write_buffer_size():
            self._transport.abort()  # to close would wait until the receiver takes the rest
        elif is_written and self._content is not None and self._content.is_eof():
            self._connection.release()
        self._connection.close()


def _fixed_head(method: str, url: URL, headers: Iterable[tuple[str, str]]) -> bytes:
    pairs = [("host", url.host_port_subcomponent), *headers]
    lines = [f"{method} {url.raw_path_qs} HTTP/1.1", *(f"{name}: {value}" for name, value in pairs)]
    if any(map(_FORBIDDEN.search, lines)):
        raise ValueError("a header holds no line breaks or other control characters")
    # A value from the environment may hold bytes that are no UTF-8: left out, as aiohttp does.
    return "".join([f"{line}\r\n" for line in lines]).encode("utf-8", "ignore")


def _is_usable(connection: Connection) -> bool:
    """Tell whether a request may be written: the connection is open, and holds no answer that nobody asked for."""
    protocol, transport = connection.protocol, connection.transport
    assert protocol is not None
    return transport is not None and not transport.is_closing() and len(protocol) == 0


def _is_interim(message: RawResponseMessage) -> bool:
    return 100 <= message.code <= 199 and message.code != 101
