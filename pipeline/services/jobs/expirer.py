"""The expirer: ends jobs that were not started within `max_age`. It sleeps until the next stored moment.

It only makes the end known: from that moment on no claim takes such a job, whether it was ended yet or not.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from pipeline.clock import Clock
from pipeline.lifecycle import after_expiry
from pipeline.model import ClaimedJob, Job
from pipeline.services.changes import Changes
from pipeline.services.deliveries.deliverer import Deliverer
from pipeline.services.fanout import FanOut
from pipeline.services.lane import Lanes
from pipeline.services.moments import NextMoment
from pipeline.services.patience import when_there_is_room
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.telemetry import Telemetry

_MOST = 200


class Expirer:
    """Ends what has waited too long; `next_expiry` is brought forward by whoever stores a job that may expire."""

    def __init__(
        self,
        *,
        next_expiry: NextMoment,
        store: Store,
        fan_out: FanOut,
        deliverer: Deliverer,
        lanes: Lanes[ClaimedJob],
        current: Current,
        changes: Changes,
        batch_ended: Callable[[str], None],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._next_expiry = next_expiry
        self._store = store
        self._fan_out = fan_out
        self._deliverer = deliverer
        self._lanes = lanes
        self._current = current
        self._changes = changes
        self._batch_ended = batch_ended
        self._clock = clock
        self._telemetry = telemetry

    async def serve(self) -> None:
        """Expire for ever."""
        while True:
            self._next_expiry.forget()
            await self._expire_all()
            await self._next_expiry.wait()

    async def _expire_all(self) -> None:
        while True:
            jobs, following = await when_there_is_room(
                lambda: self._store.overdue_jobs(_MOST, now=self._clock.now()), self._clock
            )
            await asyncio.gather(*map(self._expire, jobs))
            await self._lanes.recount_those({job.function for job in jobs}, self._store.queued_jobs)
            if len(jobs) < _MOST:
                self._next_expiry.expect(following)
                return

    async def _expire(self, job: Job) -> None:
        now, step, setup = self._clock.now(), after_expiry(job), self._current.setup
        offer = self._deliverer.offer
        ending = self._fan_out.ending(setup.goals, job, step, None, now, offer, callback=setup.callback)
        assert ending is not None, "an expired job owes a message"
        try:
            verb = partial(self._store.expire_job, job, step, now=now, ending=ending)
            claimed = await when_there_is_room(verb, self._clock)
        except BaseException:
            self._deliverer.withdraw(ending)
            raise
        if claimed is None:
            self._deliverer.withdraw(ending)
            return
        self._telemetry.emit("job.expired", job_id=job.id, function=job.function)
        self._deliverer.begin(ending, claimed, now)
        self._changes.notify(job.id)
        if job.batch_id is not None:
            self._batch_ended(job.batch_id)
