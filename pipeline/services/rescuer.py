"""The rescuer: renews this service's leases, kills what lost them, and takes back what a dead service left behind.

A lease belongs to the row and is renewed by the service, never by the user's code: nothing runs twice because time
passed.
"""

import asyncio
from collections.abc import Callable

from pipeline.clock import Clock
from pipeline.model import RunOutcome, RunState
from pipeline.services.deliveries.deliverer import Deliverer
from pipeline.services.deliveries.recorder import Recorder
from pipeline.services.jobs.worker import Worker
from pipeline.services.leases import Leases
from pipeline.services.patience import when_there_is_room
from pipeline.store import Store
from pipeline.telemetry import Telemetry

RENEW_S = 10.0
LOOK_S = 5.0


class Rescuer:
    """Keeps leases alive and rescues rows whose lease died."""

    def __init__(
        self,
        *,
        leases: Leases,
        store: Store,
        worker: Worker,
        deliverer: Deliverer,
        recorder: Recorder,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._leases = leases
        self._store = store
        self._worker = worker
        self._deliverer = deliverer
        self._recorder = recorder
        self._clock = clock
        self._telemetry = telemetry
        self._unheld: frozenset[tuple[str, int]] = frozenset()

    async def take_back(self) -> None:
        """Rescue all that this node held when it died; to be called before anything is claimed."""
        await self._lose(lambda _: True)

    async def _lose(self, is_lost: Callable[[tuple[str, int]], bool]) -> None:
        jobs = await self._store.leased_jobs(self._leases.owner)
        # Asked before any job is finished: what that begins to send is this service's own, and not lost.
        deliveries = await self._store.leased_deliveries(self._leases.owner)
        for job, token in jobs:
            if not is_lost((job.id, token)):
                continue
            self._telemetry.emit("run.rescued", job_id=job.id, run=job.run, function=job.function)
            await self._worker.finish(job, token, RunOutcome(state=RunState.LOST))
        for delivery, token in deliveries:
            if not is_lost((delivery.id, token)):
                continue
            self._telemetry.emit(
                "delivery.rescued",
                delivery_id=delivery.id,
                job_id=delivery.job_id,
                destination=delivery.destination,
            )
            await self._recorder.lost(delivery, token)

    async def serve(self) -> None:
        """Renew every 10 s and look for expired leases every 5 s, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew_for_ever())
            group.create_task(self._look_for_ever())

    async def _renew_for_ever(self) -> None:
        while True:
            await self._clock.sleep(RENEW_S)
            await self.renew()

    async def renew(self) -> None:
        """Renew this service's leases; drop the runs and sendings whose lease is gone."""
        jobs, deliveries = self._worker.held(), self._deliverer.held()
        renewed = await when_there_is_room(self._renewed, self._clock)
        self._worker.drop(jobs - renewed)
        self._deliverer.drop(deliveries - renewed)
        # Leased to this service, and in nobody's hand at two renewals: the answer to a claim was lost, or an end
        # failed.
        unheld = frozenset(renewed - jobs - deliveries)
        orphans = (unheld & self._unheld) - self._worker.held() - self._deliverer.held()
        self._unheld = unheld
        if orphans:
            await self._lose(orphans.__contains__)

    async def _renewed(self) -> set[tuple[str, int]]:
        return await self._store.renew_leases(self._leases.owner, expires_at=self._leases.expiry())

    async def _look_for_ever(self) -> None:
        while True:
            await self._clock.sleep(LOOK_S)
            await self.rescue()

    async def rescue(self) -> None:
        """Take back the rows whose lease has run out, whoever held it, unless they are in hand here."""
        now = self._clock.now()
        in_hand = self._worker.held() | self._deliverer.held()
        for job, token in await self._store.expired_jobs(now=now):
            if (job.id, token) not in in_hand:
                await self._worker.finish(job, token, RunOutcome(state=RunState.LOST))
        for delivery, token in await self._store.expired_deliveries(now=now):
            if (delivery.id, token) not in in_hand:
                await self._recorder.lost(delivery, token)
