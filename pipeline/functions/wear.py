"""Wear: whether a worker process has run often enough, or grown so much, that a fresh one should take its place."""

import os
from contextlib import suppress

from pipeline.clock import Clock
from pipeline.config.settings import FunctionSettings

_LOOK_S = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Wear:
    """What one process has behind it."""

    def __init__(self, settings: FunctionSettings, clock: Clock) -> None:
        self._runs_left = settings.max_runs
        self._limit = settings.memory
        self._clock = clock
        self._first: int | None = None
        self._has_grown = False
        self._next_look = 0.0

    @property
    def is_worn(self) -> bool:
        """Tell whether the process should be replaced before it is given another run."""
        return self._runs_left <= 0 or self._has_grown

    def ran(self, pid: int | None) -> None:
        """Note that a run has ended; at most once a second, look how much memory the process `pid` has.

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
        self._has_grown = used - self._first > (self._limit - self._first) / 2


def _resident(pid: int) -> int:
    with suppress(OSError), open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
        return int(file.read(200).split()[1]) * _PAGE
    return 0
