"""Pacing: so many a second, evenly, over the whole life of a service or until a backlog is gone."""

from pipeline.clock import Clock

_BURST_S = 0.1
"""What is due in so short a time may go at once: each claim costs a commit."""
_JUDGED_EVERY_S = 2.0
_NEARLY = 0.75
_RAISE = 1.25
_COMES_WITHIN_S = 60.0
"""What of a backlog has not become due by then never will: it was cancelled, or has ended otherwise."""


class Pacer:
    """Counts out turns at a rate. What is not taken is not saved up, but for a tenth of a second's worth, and one."""

    def __init__(self, rate: float, clock: Clock) -> None:
        """Count out `rate` turns a second."""
        self.rate = rate
        self._clock = clock
        self._saved = self._room
        self._at = clock.monotonic()

    @property
    def _room(self) -> float:
        return self.rate * _BURST_S + 1.0

    def is_over(self, waiting: int) -> bool:
        """Tell whether no turns are to be counted out any more, where `waiting` wait for one now."""
        return False

    def take(self, wanted: int) -> int:
        """Take up to so many turns that have come; return how many."""
        now = self._clock.monotonic()
        self._saved = min(self._room, self._saved + (now - self._at) * self.rate)
        self._at = now
        taken = min(wanted, int(self._saved))
        self._saved -= taken
        return taken

    def give_back(self, count: int) -> None:
        """Give back turns that nobody used after all."""
        self._saved += count

    def comes_in_s(self, number: int) -> float:
        """Return how long it is until so many turns have come, where each is taken as it comes."""
        saved = min(self._room, self._saved + (self._clock.monotonic() - self._at) * self.rate)
        return max(0.0, (number - saved) / self.rate)

    def wait_s(self) -> float:
        """Return how long it is until the next turn comes."""
        # A little later than that, since a timer may fire early.
        return max(0.0, (1.0 - self._saved) / self.rate) + 0.001


class BacklogPacer(Pacer):
    """Counts out turns until a backlog is gone, with all that has come meanwhile, which would else be a burst.

    While others come about as fast as it counts, which would never end, it counts faster step by step.
    """

    def __init__(self, rate: float, clock: Clock, waiting: int, *, to_come: int = 0) -> None:
        """Count out `rate` turns a second at first: of the backlog so many are `waiting`, and others, `to_come`, are
        about to.
        """
        super().__init__(rate, clock)
        self._waited = waiting + to_come
        self._left = to_come
        self._ends_at = self._at + _COMES_WITHIN_S
        self._taken = 0
        self._judged_at = self._at

    def is_over(self, waiting: int) -> bool:
        """Tell whether the backlog is gone; what of it is about to come is not among those that wait."""
        self._judge(waiting)
        return waiting == 0 and (self._left <= 0 or self._clock.monotonic() >= self._ends_at)

    def take(self, wanted: int) -> int:
        """Take up to so many turns that have come; return how many."""
        taken = super().take(wanted)
        self._left -= taken
        self._taken += taken
        return taken

    def give_back(self, count: int) -> None:
        """Give back turns that nobody used after all."""
        super().give_back(count)
        self._left += count
        self._taken -= count

    def _judge(self, waiting: int) -> None:
        now = self._clock.monotonic()
        if (passed_s := now - self._judged_at) < _JUDGED_EVERY_S:
            return
        came = self._taken + waiting - self._waited
        # Where turns are left over it is not the pace that holds them up.
        if self._taken >= _NEARLY * self.rate * passed_s and came >= _NEARLY * self._taken:
            self.rate *= _RAISE
        self._judged_at, self._waited, self._taken = now, waiting, 0
