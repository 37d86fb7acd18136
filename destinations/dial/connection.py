"""One connection that is kept from request to request: it writes a request and reads the start of its answer.

httptools parses. The limits here are what an answer can cost; `exchange` has the connections,
and `connector` makes them.
"""

import asyncio
import errno
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

READ_LIMIT = 64 * 1024
"""About the most that is read of an answer's body; the rest is not drained, its connection is closed."""
HEAD_LIMIT = 128 * 1024
MOST_HEADERS = 128
LINE_LIMIT = 8190
ANSWER_LIMIT = 2**20
"""The most that is taken in for one answer, whatever it is: interim answers, the signs between chunks, trailers."""

_ONE_WRITE = 2**20  # more is written in pieces, as the receiver takes them
_PIECE = 2**18
_TLS_RECORD = re.compile(rb"[\x15\x16]\x03")


class AnswerError(Exception):
    """What came is no answer that can be read."""

    is_too_long = False


class TooLongError(AnswerError):
    """An answer's head is longer than any that is read."""

    is_too_long = True


@dataclass(slots=True)
class Reply:
    """An answer: its head, as much of its body as came, and who gave it."""

    status: int
    raw_headers: list[tuple[bytes, bytes]]
    remote_address: str | None
    body: bytearray = field(default_factory=bytearray)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Return the headers as text; bytes that are no UTF-8 become lone surrogates."""
        return [
            (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
            for name, value in self.raw_headers
        ]


class KeptConnection(asyncio.Protocol):
    """A connection for one request at a time."""

    def __init__(
        self,
        transport: asyncio.Transport,
        on_lost: Callable[["KeptConnection", Exception | None], None],
        proxy: str | None = None,
    ) -> None:
        """Be ready to become the protocol of an open `transport`; `on_lost` is called once, when it has closed.

        `proxy` is what errors call who is at the other end, where that is not the receiver itself.
        """
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._on_lost = on_lost
        self._proxy = proxy
        peer = transport.get_extra_info("peername")
        self._remote_address = str(peer[0]) if isinstance(peer, tuple) else None
        self._parser = HttpResponseParser(self)
        # As browsers and aiohttp read what is not quite right, and no further.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._size = 0
        self._reply: Reply | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._may_keep = False
        self._room: asyncio.Future[None] | None = None
        self.idle_since = 0.0

    @property
    def is_open(self) -> bool:
        """Tell whether a request may be written."""
        return not self._transport.is_closing()

    async def ask(self, head: bytes, body: bytes, began: float, timeout_s: float) -> Reply:
        """Write a request and return its answer; once its head is there, whatever ends its body ends it well.

        Raises TimeoutError `timeout_s` after `began`, by the loop's clock, OSError where the connection ends, and
        AnswerError, if no head came. Afterwards `settle` must be called.
        """
        self._reply = None
        self._size = 0
        self._may_keep = False
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        self._waiter = waiter
        # One bare timer that ends the waiting: cheaper than asyncio.timeout, which cancels.
        timer = self._loop.call_at(began + timeout_s, self._expire, timeout_s)
        writing: asyncio.Task[None] | None = None
        try:
            if len(body) <= _ONE_WRITE:
                self._transport.write(head + body)
            else:
                writing = asyncio.create_task(self._write_in_pieces(head, body))
            return await waiter
        finally:
            timer.cancel()
            if writing is not None:
                self._may_keep = self._may_keep and writing.done()
                writing.cancel()

    def close(self) -> None:
        """End the connection, whatever the receiver does about it; over TLS it is told so."""
        # Closing alone waits: for the receiver to take what is unsent, and up to 30 s for it to end TLS.
        if self.is_open and not self._transport.get_write_buffer_size():
            self._transport.close()
        self._transport.abort()

    def settle(self) -> bool:
        """Tell whether the connection may be kept for another request, and close it if not.

        It may be if both directions came to their end, and the receiver said neither more than its answer nor that it
        closes.
        """
        self._waiter = None
        if self._may_keep and self.is_open and not self._transport.get_write_buffer_size():
            return True
        self.close()
        return False

    async def _write_in_pieces(self, head: bytes, body: bytes) -> None:
        view = memoryview(body)
        self._transport.write(head)
        for start in range(0, len(body), _PIECE):
            if self._room is not None:
                await self._room
            if self._transport.is_closing():
                return  # the reader has the answer if one came, or else the reason
            self._transport.write(view[start : start + _PIECE])

    def _expire(self, timeout_s: float) -> None:
        whose = f" from {self._proxy}" if self._proxy else ""
        self._end(TimeoutError(f"no answer{whose} within {timeout_s:g} s"))

    def _end(self, error: Exception) -> None:
        """End the waiting: for the rest of the body with what has come, for the head with `error`."""
        self._may_keep = False
        if self._waiter is None or self._waiter.done():
            return
        if self._reply is None:
            self._waiter.set_exception(error)
        else:
            self._waiter.set_result(self._reply)

    # What the transport brings

    def data_received(self, data: bytes) -> None:
        """Read on; what nobody asked for ends the connection."""
        if self._waiter is None or self._waiter.done():
            self._may_keep = False
            self.close()
            return
        self._head_size += len(data)
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._end(AnswerError("another protocol begins"))
        except HttpParserCallbackError as error:
            self._end(error.__context__ if isinstance(error.__context__, AnswerError) else AnswerError(str(error)))
        except HttpParserError as error:
            is_tls = self._size == len(data) and _TLS_RECORD.match(data)
            self._end(AnswerError("it is TLS, a URL that begins with https:// may be meant" if is_tls else _why(error)))
        else:
            if self._reply is None and self._head_size > HEAD_LIMIT:
                self._end(TooLongError(f"its head is longer than {HEAD_LIMIT} bytes"))
            elif self._size > ANSWER_LIMIT:
                self._end(TooLongError(f"no end within {ANSWER_LIMIT} bytes"))

    def connection_lost(self, error: Exception | None) -> None:
        """End what is waited for."""
        if isinstance(error, OSError):
            self._end(error)
        else:
            who = self._proxy or "the receiver"
            self._end(ConnectionResetError(errno.ECONNRESET, f"{who} closed the connection before its answer"))
        self.resume_writing()
        self._on_lost(self, error)

    def pause_writing(self) -> None:
        """Have writing wait: the receiver is slower."""
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let writing go on."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # What the parser finds

    def on_message_begin(self) -> None:
        """Begin an answer, or an interim one."""
        if self._reply is not None:
            raise AnswerError("more than one answer")
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one header."""
        if len(name) > LINE_LIMIT or len(value) > LINE_LIMIT:
            raise TooLongError(f"a header is longer than {LINE_LIMIT} bytes")
        if len(self._headers) == MOST_HEADERS:
            raise TooLongError(f"it has more than {MOST_HEADERS} headers")
        if b"\0" in value:  # the parser's leniency goes too far
            raise AnswerError("a header holds a NUL")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the head, unless it is that of an interim answer."""
        self._head_size = 0
        status = self._parser.get_status_code()
        if status < 100:
            raise AnswerError(f"{status} is no status")
        if status >= 200 or status == 101:
            self._reply = Reply(status, self._headers, self._remote_address)
            self._headers = []  # what may follow a body in chunks is none of them

    def on_body(self, chunk: bytes) -> None:
        """Keep the start of the body."""
        assert self._reply is not None
        self._reply.body += chunk
        if len(self._reply.body) >= READ_LIMIT:
            self._end(TooLongError())

    def on_message_complete(self) -> None:
        """Hand the answer over."""
        if self._reply is not None and self._waiter is not None and not self._waiter.done():
            self._may_keep = self._parser.should_keep_alive()
            self._waiter.set_result(self._reply)


def _why(error: HttpParserError) -> str:
    # The parser names protocols that nobody asked for.
    return "what came is no HTTP answer" if str(error).startswith("Expected HTTP/") else str(error)
