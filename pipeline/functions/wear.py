"""Wear: whether a worker process has run often enough, or grown so much, that a fresh one should take its place."""

import os
from contextlib import suppress

from pipeline.clock import Clock
from pipeline.config.settings import FunctionSettings

YOUNG_S = 60.0
"""A process is not replaced for the number of its runs before it is so old: starting one costs as much as hundreds of
short runs, and what grows in that time is found by its memory.
"""
_LOOK_S = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Wear:
    """What one process has behind it."""

    def __init__(self, settings: FunctionSettings, clock: Clock) -> None:
        self.is_worn = False
        """Whether the process should be replaced before it is given another run."""
        self._runs_left = settings.max_runs
        self._limit = settings.memory
        self._clock = clock
        self._born = self._next_look = clock.monotonic()
        self._first: int | None = None

    def ran(self, pid: int | None) -> None:
        """Note that a run has ended; once a second at most, judge the process `pid` anew.

        It has grown where half of the room that its first run left it is used up. A function that loads a large model
        once is not taken for one that leaks.
        """
        self._runs_left -= 1
        now = self._clock.monotonic()
        if now < self._next_look or pid is None:
            return
        self._next_look = now + _LOOK_S
        used = _resident(pid)
        if self._first is None:
            self._first = used
        has_grown = used - self._first > (self._limit - self._first) / 2
        self.is_worn = has_grown or (self._runs_left <= 0 and now - self._born >= YOUNG_S)


def _resident(pid: int) -> int:
    with suppress(OSError), open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
        return int(file.read(200).split()[1]) * _PAGE
    return 0
