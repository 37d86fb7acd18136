"""What a worker process writes to stdout and stderr: read without blocking, the newest kept, split at the end."""

import asyncio
import os
import select
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pipeline.clock import Clock
from pipeline.model import Output

LIMIT = 8 * 1024 * 1024
LINE_LIMIT = 64 * 1024
MOST_LINES = 100_000
LARGE = 256 * 1024
_READ_SIZE = 64 * 1024
_CHUNK_COST = 256  # what a chunk costs besides its bytes, so that many tiny writes are bounded too

Line = tuple[datetime, str, str]
Chunk = tuple[datetime, str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawOutput:
    """The output of one run as it was read, oldest first."""

    chunks: tuple[Chunk, ...]
    dropped: int
    size: int

    @property
    def is_large(self) -> bool:
        """Tell whether splitting it into lines belongs in a thread."""
        return self.size > LARGE


class OutputPipes:
    """The read ends of a worker's stdout and stderr."""

    def __init__(self, stdout: int, stderr: int, *, clock: Clock, on_end: Callable[[], None]) -> None:
        """Take over both descriptors and begin to read; `on_end` is called once nobody can write to either any more."""
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._on_end = on_end
        self._open = {stdout: "stdout", stderr: "stderr"}
        self._poll = select.poll()
        self._chunks: deque[Chunk] = deque()
        self._size = 0
        self._dropped = 0
        for fd in self._open:
            os.set_blocking(fd, False)
            self._poll.register(fd, select.POLLIN)
            self._loop.add_reader(fd, self._read, fd)

    @property
    def has_ended(self) -> bool:
        """Tell whether both pipes are at their end, or closed."""
        return not self._open

    def take(self) -> RawOutput | None:
        """Return what was written since the last call, with what lies in the pipes now; None if that is nothing."""
        if self._open:
            for fd, _ in self._poll.poll(0):
                self._read(fd)
        if not self._chunks:
            return None
        raw = RawOutput(chunks=tuple(self._chunks), dropped=self._dropped, size=self._size)
        self._chunks.clear()
        self._size = self._dropped = 0
        return raw

    def close(self) -> None:
        """Close both, whoever still writes to them; what was read can be taken afterwards. Idempotent."""
        for fd in tuple(self._open):
            self._forget(fd)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, _READ_SIZE)
        except BlockingIOError:
            return
        if data:
            self._keep(self._open[fd], data)
            return
        self._forget(fd)
        if not self._open:
            self._on_end()

    def _keep(self, stream: str, data: bytes) -> None:
        self._chunks.append((self._clock.now(), stream, data))
        self._size += len(data) + _CHUNK_COST
        while self._size > LIMIT:
            _, _, oldest = self._chunks.popleft()
            self._size -= len(oldest) + _CHUNK_COST
            self._dropped += oldest.count(b"\n")

    def _forget(self, fd: int) -> None:
        del self._open[fd]
        self._poll.unregister(fd)
        self._loop.remove_reader(fd)
        os.close(fd)


def lines_of(raw: RawOutput) -> Output:
    """Split into lines; a line has the time of its end. Longer ones than 64 KiB become several, none is lost.

    Only the newest 100,000 lines are kept: a line costs more memory than its text.
    """
    lines: deque[Line] = deque(maxlen=MOST_LINES)
    begun = {"stdout": b"", "stderr": b""}
    made = 0
    for at, stream, data in raw.chunks:
        *whole, begun[stream] = (begun[stream] + data).split(b"\n")
        for text in whole:
            made += _add(lines, at, stream, text)
    for stream, text in begun.items():
        if text:
            made += _add(lines, raw.chunks[-1][0], stream, text)
    return Output(lines=tuple(lines), dropped=raw.dropped + made - len(lines))


def _add(lines: deque[Line], at: datetime, stream: str, text: bytes) -> int:
    if len(text) <= LINE_LIMIT:
        lines.append((at, stream, text.decode(errors="replace")))
        return 1
    pieces = _cut(text)
    lines.extend((at, stream, piece.decode(errors="replace")) for piece in pieces)
    return len(pieces)


def _cut(text: bytes) -> list[bytes]:
    """Cut into pieces of at most LINE_LIMIT bytes, not within a character of UTF-8."""
    pieces = []
    at = 0
    while len(text) - at > LINE_LIMIT:
        end = at + LINE_LIMIT
        while text[end] & 0xC0 == 0x80 and end > at + LINE_LIMIT - 3:
            end -= 1
        pieces.append(text[at:end])
        at = end
    pieces.append(text[at:])
    return pieces
