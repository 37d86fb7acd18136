"""The tail of a job: the lines of its running run as they are written, for those who follow it. Nothing of it is there
while nobody does.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from pipeline.functions.lines import Line
from pipeline.functions.output import RawOutput
from pipeline.mask import Masker

_SLICE = 256 * 1024


class Tail:
    """One reader of one run's output. One that is slower than the run misses what was dropped meanwhile."""

    def __init__(self, run: int, raw: RawOutput) -> None:
        self.run = run
        self._raw = raw
        self._splitter = raw.start.copy()
        self._read = raw.dropped

    @property
    def has_news(self) -> bool:
        """Tell whether something was written that was not read yet."""
        return self._read < self._raw.dropped + len(self._raw.chunks)

    def listen(self, wake: asyncio.Event) -> None:
        """Have `wake` set whenever something is written, and at the end."""
        self._raw.readers.add(wake)

    def leave(self, wake: asyncio.Event) -> None:
        """Undo `listen`."""
        self._raw.readers.discard(wake)

    def read(self, after: int) -> list[tuple[int, Line]] | None:
        """Return some of the lines behind the first `after` of the run, each with how many came before it, and go on
        from there at the next call; None once there is nothing more yet.
        """
        found: list[tuple[int, Line]] = []
        size = 0
        if self._read < self._raw.dropped:
            self._splitter = self._raw.start.copy()
            self._read = self._raw.dropped
        begun = self._read
        for chunk in islice(self._raw.chunks, begun - self._raw.dropped, None):
            before = self._splitter.made
            if before < after:
                ahead = self._splitter.copy()
                ahead.skip(chunk)
                if ahead.made <= after:
                    self._splitter = ahead
                    self._read += 1
                    continue
            lines = self._splitter.feed(chunk)
            self._read += 1
            found += [item for item in enumerate(lines, start=before) if item[0] >= after]
            size += len(chunk[2])
            if size >= _SLICE:
                break
        return found if self._read > begun else None


class Watch:
    """One who follows a job, from run to run."""

    def __init__(self, wake: asyncio.Event) -> None:
        self.tail: Tail | None = None
        """That of the current run, or of the last one."""
        self._wake = wake

    def attach(self, tail: Tail | None) -> None:
        """Read this tail from now on, and no other."""
        if self.tail is not None:
            self.tail.leave(self._wake)
        self.tail = tail
        if tail is not None:
            tail.listen(self._wake)
        self._wake.set()

    def end(self) -> None:
        """Wake up who waits for the last time."""
        self._wake.set()


class Watches:
    """Who follows which job."""

    def __init__(self, mask: Masker) -> None:
        self.mask = mask
        """What takes the secrets out of every run's output, followed or not."""
        self.is_closed = False
        """Whether the service stops, and all who follow should come to an end."""
        self._watches: dict[str, set[Watch]] = {}

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._watches

    @contextmanager
    def open(self, job_id: str, wake: asyncio.Event) -> Iterator[Watch]:
        """Enter a context in which the watch is told of every run of the job that begins; whatever happens sets
        `wake`.
        """
        watch = Watch(wake)
        watches = self._watches.setdefault(job_id, set())
        watches.add(watch)
        try:
            yield watch
        finally:
            watch.attach(None)
            watches.discard(watch)
            if not watches and self._watches.get(job_id) is watches:
                del self._watches[job_id]

    def begin(self, job_id: str, run: int, raw: RawOutput) -> None:
        """Tell all who follow a job of the run that begins, and where its output comes in."""
        for watch in self._watches.get(job_id, ()):
            watch.attach(Tail(run, raw))

    def close(self) -> None:
        """Have all who follow come to an end."""
        self.is_closed = True
        for watches in self._watches.values():
            for watch in watches:
                watch.end()
