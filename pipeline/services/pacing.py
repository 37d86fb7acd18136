"""Pacing: so many a second, evenly, over the whole life of a service or for a backlog of a known length."""

from pipeline.clock import Clock

_BURST_S = 0.1
"""What is due in so short a time may go at once: each claim costs a commit."""


class Pacer:
    """Counts out turns at a rate. What is not taken is not saved up, but for a tenth of a second's worth, and one."""

    def __init__(self, rate: float, clock: Clock, most: int | None = None) -> None:
        """Count out `rate` turns a second; `most` in all, if that is said."""
        self.rate = rate
        self._clock = clock
        self._most = most
        self._room = rate * _BURST_S + 1.0
        self._saved = self._room
        self._at = clock.monotonic()

    @property
    def is_over(self) -> bool:
        """Tell whether all turns have been taken that were to be counted out."""
        return self._most is not None and self._most <= 0

    def take(self, wanted: int) -> int:
        """Take up to so many turns that have come; return how many."""
        now = self._clock.monotonic()
        self._saved = min(self._room, self._saved + (now - self._at) * self.rate)
        self._at = now
        taken = min(wanted, int(self._saved))
        self._saved -= taken
        if self._most is not None:
            self._most -= taken
        return taken

    def give_back(self, count: int) -> None:
        """Give back turns that nobody used after all."""
        self._saved += count
        if self._most is not None:
            self._most += count

    def wait_s(self) -> float:
        """Return how long it is until the next turn comes."""
        # A little later than that, since a timer may fire early.
        return max(0.0, (1.0 - self._saved) / self.rate) + 0.001
