"""The service's end of a worker's channel: frames over a non-blocking stream socket.

A frame is a header (kind, run, length of the head, length of the body), a small JSON head, and a body of raw bytes.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from struct import Struct

HEADER = Struct("!BIII")
HEAD_LIMIT = 1024 * 1024
_FIRST_READ = 8 * 1024  # enough for most; a larger buffer costs more to make than to fill
_READ_SIZE = 64 * 1024
_COPY_LIMIT = 64 * 1024
_LAST_READS = 64


class Kind(IntEnum):
    """What a frame says; its numbers are repeated in each worker program."""

    CALL = 1
    """Service to worker: run this. Head: the call's facts; body: the event."""
    READY = 2
    """The module is loaded. Head: whether the handler is async; none means that it is not."""
    UNLOADED = 3
    """The module cannot be loaded, the worker ends. Head: the error."""
    STARTED = 4
    """The handler is about to be called: the run's clock starts."""
    VALUE = 5
    """The handler returned a JSON value. Body: the JSON."""
    RESPONSE = 6
    """The handler returned a response. Head: status and headers; body: the decoded body."""
    FAILED = 7
    """The run failed. Head: reason, error, and whether for good."""
    CANCEL = 8
    """Service to worker: cancel the task of this run, which is an async handler's."""
    PROGRESS = 9
    """How far the run is. Head: done, total, note."""


OnFrame = Callable[[int, int, bytes, bytes], None]


class Channel:
    """Writes calls and reads what a worker answers; everything happens in callbacks of the loop."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        body_limit: int,
        on_frame: OnFrame,
        on_rubbish: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        """Take over `sock` and begin to read.

        `on_frame(kind, run, head, body)` is called for each frame, `on_rubbish` once for what is none or longer than
        `body_limit`, `on_end` once when the worker has closed its end.
        """
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._body_limit = body_limit
        self._on_frame = on_frame
        self._on_rubbish = on_rubbish
        self._on_end = on_end
        self._chunks: list[bytes] = []
        self._missing = 0
        self._unsent: deque[memoryview] = deque()
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._read)

    @property
    def is_closed(self) -> bool:
        """Tell whether the channel was closed, by either side."""
        return self._socket.fileno() < 0

    def send(self, kind: int, run: int, head: bytes, body: bytes) -> bool:
        """Write a frame, at once as far as the socket takes it; return False where the worker is gone."""
        if self.is_closed:
            return False
        start = HEADER.pack(kind, run, len(head), len(body)) + head
        if self._unsent:  # the frame of another run is still on its way
            self._unsent.append(memoryview(start + body))
            return True
        try:
            is_small = len(body) <= _COPY_LIMIT
            sent = self._socket.send(start + body) if is_small else self._socket.sendmsg((start, body))
        except BlockingIOError:
            sent = 0
        except OSError:
            return False
        if sent < len(start) + len(body):
            self._unsent.append(memoryview(start + body)[sent:])
            self._loop.add_writer(self._socket.fileno(), self._write)
        return True

    def drain(self) -> None:
        """Read what is left, after the worker has ended."""
        for _ in range(_LAST_READS):
            if self.is_closed or not self._read():
                return

    def close(self) -> None:
        """Close our end; no callback comes afterwards. Idempotent."""
        if not self.is_closed:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
        self._unsent.clear()
        self._chunks.clear()

    def _write(self) -> None:
        try:
            while self._unsent:
                left = self._unsent[0][self._socket.send(self._unsent[0]) :]
                self._unsent.popleft()
                if left:
                    self._unsent.appendleft(left)
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()  # the reader is told as well, and says what happened
        self._loop.remove_writer(self._socket.fileno())

    def _read(self) -> bool:
        """Read once, which bounds the time taken from others; return whether there was anything."""
        try:
            chunk = self._socket.recv(_READ_SIZE if self._chunks else _FIRST_READ)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            self._on_end()
            return False
        if self._chunks:
            self._chunks.append(chunk)
            self._missing -= len(chunk)
            if self._missing > 0:
                return True
            chunk = b"".join(self._chunks)
            self._chunks.clear()
        self._split(chunk)
        return True

    def _split(self, chunk: bytes) -> None:
        """Hand on the whole frames in `chunk`; keep the rest until what is missing has come."""
        at = 0
        while (rest := len(chunk) - at) >= HEADER.size:
            kind, run, head_size, body_size = HEADER.unpack_from(chunk, at)
            if head_size > HEAD_LIMIT or body_size > self._body_limit:
                self.close()
                self._on_rubbish()
                return
            head_at = at + HEADER.size
            body_at = head_at + head_size
            end = body_at + body_size
            if end > len(chunk):
                self._keep(chunk, at, end - len(chunk))
                return
            self._on_frame(kind, run, chunk[head_at:body_at], chunk[body_at:end])
            if self.is_closed:
                return
            at = end
        if rest:
            self._keep(chunk, at, HEADER.size - rest)

    def _keep(self, chunk: bytes, at: int, missing: int) -> None:
        self._chunks.append(chunk[at:] if at else chunk)
        self._missing = missing
