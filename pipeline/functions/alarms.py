"""Alarms: many moments to wait for, one task that sleeps. Setting one on the hot path costs no task and no timer."""

import asyncio
from collections.abc import Callable
from math import inf

from pipeline.clock import Clock

_LONGEST_SLEEP_S = 3600.0


class Alarm:
    """One alarm clock: set it, set it anew, stop it, as often as needed; `remove` it in the end."""

    __slots__ = ("_alarms", "_ring", "at")

    def __init__(self, alarms: "Alarms") -> None:
        self._alarms = alarms
        self._ring: Callable[[], None] | None = None
        self.at = inf

    def set(self, seconds: float, ring: Callable[[], None]) -> None:
        """Have `ring` called in `seconds` and forget what was set before; `ring` must not raise."""
        self._ring = ring
        self.at = self._alarms.clock.monotonic() + seconds
        if self.at < self._alarms.next_at:
            self._alarms.wake()

    def stop(self) -> None:
        """Call nobody."""
        self.at = inf

    def remove(self) -> None:
        """Stop for good."""
        self.at = inf
        self._alarms.discard(self)

    def ring(self) -> None:
        """Call who asked for it; for Alarms only."""
        self.at = inf
        if self._ring is not None:
            self._ring()


class Alarms:
    """All alarms of a pool and the task that watches them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.next_at = inf
        """The monotonic moment the watching task sleeps to."""
        self._alarms: set[Alarm] = set()
        self._sooner = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start watching."""
        self._task = asyncio.create_task(self._watch(), name="alarms")

    async def close(self) -> None:
        """Stop watching; no alarm rings afterwards."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def new(self) -> Alarm:
        """Return an alarm that is not set."""
        alarm = Alarm(self)
        self._alarms.add(alarm)
        return alarm

    def discard(self, alarm: Alarm) -> None:
        """Forget an alarm."""
        self._alarms.discard(alarm)

    def wake(self) -> None:
        """Have the task look again: an alarm was set before `next_at`."""
        self._sooner.set()

    async def _watch(self) -> None:
        while True:
            self._sooner.clear()
            now = self.clock.monotonic()
            for alarm in [alarm for alarm in self._alarms if alarm.at <= now]:
                alarm.ring()
            self.next_at = min((alarm.at for alarm in self._alarms), default=inf)
            await self.clock.sleep(max(0.0, min(self.next_at - now, _LONGEST_SLEEP_S)), self._sooner)
