"""What a worker process writes to stdout and stderr: read without blocking, the newest kept, split at the end."""

import asyncio
import os
import select
from collections import deque
from collections.abc import Callable

from pipeline.clock import Clock
from pipeline.functions.lines import Chunk, Line, Splitter
from pipeline.mask import Masker
from pipeline.model import Output

LIMIT = 8 * 1024 * 1024
MOST_LINES = 100_000
LARGE = 256 * 1024
_READ_SIZE = 64 * 1024
_CHUNK_COST = 256  # what a chunk costs besides its bytes, so that many tiny writes are bounded too


class RawOutput:
    """The output of one run as it is read, oldest first; those who read it meanwhile are woken up."""

    __slots__ = ("chunks", "dropped", "readers", "size", "start")

    def __init__(self, mask: Masker) -> None:
        self.chunks: deque[Chunk] = deque()
        self.dropped = 0
        """How many chunks older than those were dropped."""
        self.start = Splitter(mask)
        """Where the first chunk goes on: it has made the lines that were dropped."""
        self.size = 0
        self.readers: set[asyncio.Event] = set()

    @property
    def is_large(self) -> bool:
        """Tell whether splitting it into lines belongs in a thread."""
        return self.size > LARGE

    def add(self, chunk: Chunk) -> None:
        """Keep a chunk; the oldest go once all have more than 8 MB."""
        self.chunks.append(chunk)
        self.size += len(chunk[2]) + _CHUNK_COST
        while self.size > LIMIT:
            oldest = self.chunks.popleft()
            self.size -= len(oldest[2]) + _CHUNK_COST
            self.dropped += 1
            self.start.skip(oldest)
        for reader in self.readers:
            reader.set()


class OutputPipes:
    """The read ends of a worker's stdout and stderr."""

    def __init__(self, stdout: int, stderr: int, *, clock: Clock, mask: Masker, on_end: Callable[[], None]) -> None:
        """Take over both descriptors and begin to read; `on_end` is called once nobody can write to either any more."""
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._mask = mask
        self._on_end = on_end
        self._open = {stdout: "stdout", stderr: "stderr"}
        self._poll = select.poll()
        self.raw = RawOutput(mask)
        """What was written since the last `take`."""
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
        raw = self.raw
        if not raw.chunks and not raw.readers:
            return None
        self.raw = RawOutput(self._mask)
        return raw if raw.chunks else None

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
            self.raw.add((self._clock.now(), self._open[fd], data))
            return
        self._forget(fd)
        if not self._open:
            self._on_end()

    def _forget(self, fd: int) -> None:
        del self._open[fd]
        self._poll.unregister(fd)
        self._loop.remove_reader(fd)
        os.close(fd)


def lines_of(raw: RawOutput) -> Output:
    """Split into lines. Only the newest 100,000 are kept: a line costs more memory than its text."""
    splitter = raw.start.copy()
    lines: deque[Line] = deque(maxlen=MOST_LINES)
    for chunk in raw.chunks:
        lines.extend(splitter.feed(chunk))
    if raw.chunks:
        lines.extend(splitter.end(raw.chunks[-1][0]))
    return Output(lines=tuple(lines), dropped=splitter.made - len(lines))
