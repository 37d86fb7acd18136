"""In-process wake-ups for those who wait for a job to change; they only save waiting, the store says what is so."""

import asyncio
from collections import defaultdict

from pipeline.clock import Clock


class Changes:
    """Who waits for which job."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def notify(self, job_id: str) -> None:
        """Wake all who wait for this job."""
        for event in self._waiting.get(job_id, ()):
            event.set()

    def notify_all(self) -> None:
        """Wake all who wait for any job."""
        for job_id in self._waiting:
            self.notify(job_id)

    def subscribe(self, job_id: str) -> "Subscription":
        """Return a context that notices every change of the job from the moment it is entered."""
        return Subscription(job_id, self._waiting, self._clock)


class Subscription:
    """One who waits. Enter before reading the store, or a change in between goes unseen."""

    def __init__(self, job_id: str, waiting: defaultdict[str, set[asyncio.Event]], clock: Clock) -> None:
        self._job_id = job_id
        self._waiting = waiting
        self._clock = clock
        self._event = asyncio.Event()

    def __enter__(self) -> "Subscription":
        self._waiting[self._job_id].add(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        others = self._waiting[self._job_id]
        others.discard(self._event)
        if not others:
            del self._waiting[self._job_id]

    @property
    def event(self) -> asyncio.Event:
        """What `next` waits for; others may set it, too."""
        return self._event

    async def next(self, seconds: float) -> bool:
        """Wait up to `seconds` for a change since the last call; tell whether there was one."""
        await self._clock.sleep(seconds, self._event)
        changed = self._event.is_set()
        self._event.clear()
        return changed
