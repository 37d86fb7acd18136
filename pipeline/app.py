"""The one place where the parts are put together, started in order, and taken down in order."""

import asyncio
import random
from collections.abc import Awaitable, Mapping, Sequence

from aiohttp import web

from destinations.base import Kind
from pipeline.clock import Clock
from pipeline.config.settings import Config
from pipeline.crew import Crew
from pipeline.errors import StoreError
from pipeline.functions.pool import Pool
from pipeline.ids import IdSource
from pipeline.model import ClaimedDelivery
from pipeline.services.alerting import Alerting
from pipeline.services.batches import Batches, Doorbell
from pipeline.services.changes import Changes
from pipeline.services.deliveries.caretaker import Caretaker
from pipeline.services.deliveries.deliverer import Deliverer
from pipeline.services.deliveries.destination_lanes import DestinationLanes
from pipeline.services.deliveries.pausing import Pausing
from pipeline.services.deliveries.recorder import Recorder
from pipeline.services.deliveries.redelivery import Redelivery
from pipeline.services.deliveries.standing import Standing
from pipeline.services.deliveries.testing import Tester
from pipeline.services.deliveries.turns import Turns
from pipeline.services.deliveries.wishes import Wishes
from pipeline.services.fanout import FanOut
from pipeline.services.gauges import Gauges
from pipeline.services.jobs.children import Children
from pipeline.services.jobs.expirer import Expirer
from pipeline.services.jobs.intake import Intake
from pipeline.services.jobs.interventions import Interventions
from pipeline.services.jobs.progress import ProgressNotes
from pipeline.services.jobs.worker import Worker
from pipeline.services.leases import Leases
from pipeline.services.moments import NextMoment
from pipeline.services.promoter import Promoter
from pipeline.services.pruner import Pruner
from pipeline.services.pulse import Pulse
from pipeline.services.replays.replayer import Replays
from pipeline.services.replays.walk import ReplayWalk
from pipeline.services.rescuer import Rescuer
from pipeline.services.routes import Route, close_routes, open_routes
from pipeline.services.setup import Current, Setup
from pipeline.store import Store
from pipeline.store.engine.room import Room
from pipeline.telemetry import Telemetry
from pipeline.web.parts import Parts
from pipeline.web.routes import application

NODE = "local"
"""Who holds the leases. The embedded store has one service, so that all it finds leased at its start was its own."""

WRITING_S = 5.0
"""How long a drain waits for what has ended to be written: a full disk must not keep the service from going down."""


class App:
    """A whole service: `start`, then `drain` and `stop`."""

    def __init__(
        self, config: Config, kinds: Mapping[str, Kind], *, clock: Clock, seed: random.Random, telemetry: Telemetry
    ) -> None:
        """Put the parts together; StoreError where the store cannot be used. Needs a running loop; starts nothing
        yet.
        """
        self.failure: asyncio.Future[StoreError] = asyncio.get_running_loop().create_future()
        self._clock = clock
        self._telemetry = telemetry
        telemetry.mask.learn(config.secrets)
        telemetry.mask.forget_old(config.secrets)
        self._current = current = Current(Setup.make(config, kinds))
        self._room = Room(config.store, config.service.disk_floor, clock)
        self._expect(current.setup)
        self.store = Store(config.store, self._fail, self._room, self._committed)
        self.pool = Pool(
            catalog=self.setup.catalog,
            settings=config.functions,
            result_limit=config.service.result_limit,
            clock=clock,
            mask=telemetry.mask,
        )
        self._ids = ids = IdSource(clock, seed)
        self._changes = changes = Changes(clock)
        leases = Leases(NODE, clock, ids)
        self._progress = ProgressNotes(self.store, changes, clock)
        self._promoter = Promoter(self.store, clock)
        next_expiry = NextMoment(clock)
        self._standing = Standing(self.store, current, clock)
        self._wishes = Wishes(store=self.store, current=current, clock=clock)
        next_end = NextMoment(clock)
        self._deliveries = DestinationLanes(
            leases=leases,
            store=self.store,
            current=current,
            standing=self._standing,
            start=self._send,
            clock=clock,
        )
        self.recorder = Recorder(
            store=self.store,
            lanes=self._deliveries,
            promoter=self._promoter,
            next_end=next_end,
            changes=changes,
            standing=self._standing,
            wishes=self._wishes,
            clock=clock,
            random=seed,
            telemetry=telemetry,
        )
        self.deliverer = Deliverer(
            leases=leases,
            lanes=self._deliveries,
            recorder=self.recorder,
            store=self.store,
            current=current,
            changes=changes,
            children=Children(
                store=self.store,
                worker=lambda: self.worker,
                next_expiry=next_expiry,
                clock=clock,
                ids=ids,
                current=current,
                telemetry=telemetry,
            ),
            standing=self._standing,
            clock=clock,
            telemetry=telemetry,
        )
        fan_out = FanOut(ids)
        doorbell = Doorbell(changes)
        self.worker = Worker(
            leases=leases,
            store=self.store,
            pool=self.pool,
            current=current,
            fan_out=fan_out,
            deliverer=self.deliverer,
            promoter=self._promoter,
            changes=changes,
            progress=self._progress,
            batch_ended=doorbell.ring,
            clock=clock,
            telemetry=telemetry,
        )
        self.expirer = Expirer(
            next_expiry=next_expiry,
            store=self.store,
            fan_out=fan_out,
            deliverer=self.deliverer,
            lanes=self.worker.lanes,
            current=current,
            changes=changes,
            batch_ended=doorbell.ring,
            clock=clock,
            telemetry=telemetry,
        )
        self.rescuer = Rescuer(
            leases=leases,
            store=self.store,
            worker=self.worker,
            deliverer=self.deliverer,
            recorder=self.recorder,
            clock=clock,
            telemetry=telemetry,
        )
        self.pruner = Pruner(store=self.store, current=current, clock=clock, telemetry=telemetry)
        self.intake = Intake(
            store=self.store,
            room=self._room,
            pool=self.pool,
            worker=self.worker,
            leases=leases,
            promoter=self._promoter,
            next_expiry=next_expiry,
            clock=clock,
            current=current,
            telemetry=telemetry,
        )
        self.interventions = Interventions(
            store=self.store,
            worker=self.worker,
            intake=self.intake,
            changes=changes,
            batch_ended=doorbell.ring,
            current=current,
            ids=ids,
            clock=clock,
            telemetry=telemetry,
        )
        self.batches = Batches(
            doorbell=doorbell,
            store=self.store,
            intake=self.intake,
            worker=self.worker,
            fan_out=fan_out,
            deliverer=self.deliverer,
            next_expiry=next_expiry,
            changes=changes,
            current=current,
            clock=clock,
            telemetry=telemetry,
        )
        self._caretaker = Caretaker(
            next_end=next_end,
            store=self.store,
            standing=self._standing,
            wishes=self._wishes,
            lanes=self._deliveries,
            changes=changes,
            clock=clock,
            telemetry=telemetry,
        )
        self._alerting = Alerting(
            wishes=self._wishes,
            store=self.store,
            fan_out=fan_out,
            deliverer=self.deliverer,
            current=current,
            ids=ids,
            clock=clock,
            telemetry=telemetry,
        )
        self._pausing = Pausing(standing=self._standing, lanes=self._deliveries, changes=changes, telemetry=telemetry)
        self._redelivery = Redelivery(
            store=self.store,
            lanes=self._deliveries,
            changes=changes,
            current=current,
            ids=ids,
            clock=clock,
            telemetry=telemetry,
        )
        self._replays = Replays(
            store=self.store,
            walk=ReplayWalk(store=self.store, current=current, standing=self._standing, ids=ids),
            lanes=self._deliveries,
            changes=changes,
            current=current,
            clock=clock,
            telemetry=telemetry,
        )
        self._pulse = Pulse(telemetry)
        self._gauges = Gauges(
            store=self.store,
            pool=self.pool,
            current=current,
            standing=self._standing,
            unbegun=self._deliveries.unbegun,
            is_draining=lambda: self.intake.is_draining,
            clock=clock,
        )
        self.crew = Crew(self._fail, telemetry)
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def setup(self) -> Setup:
        """Return what the service is set up to do now."""
        return self._current.setup

    @property
    def config(self) -> Config:
        """Return the configuration that counts now."""
        return self._current.setup.config

    def _send(self, claimed: ClaimedDelivery) -> None:
        self.deliverer.start(claimed)

    def _committed(self, writes: int, duration_s: float) -> None:
        self._telemetry.emit("store.committed", writes=writes, duration_s=duration_s)

    def _expect(self, setup: Setup) -> None:
        functions = {function.name: function.is_background for function in setup.catalog}
        self._telemetry.meters.expect(functions, setup.routes)

    def _fail(self, error: StoreError) -> None:
        if not self.failure.done():
            self.failure.set_result(error)

    def application(self, *, is_insecure: bool = False) -> web.Application:
        """Return the HTTP side, not bound to anything yet."""
        parts = Parts(
            current=self._current,
            store=self.store,
            intake=self.intake,
            pool=self.pool,
            worker=self.worker,
            interventions=self.interventions,
            batches=self.batches,
            standing=self._standing,
            pausing=self._pausing,
            redelivery=self._redelivery,
            lanes=self._deliveries,
            turns=Turns(store=self.store, standing=self._standing, lanes=self._deliveries, clock=self._clock),
            replays=self._replays,
            tester=Tester(current=self._current, clock=self._clock, ids=self._ids, telemetry=self._telemetry),
            changes=self._changes,
            progress=self._progress,
            gauges=self._gauges,
            clock=self._clock,
            ids=self._ids,
            telemetry=self._telemetry,
            is_insecure=is_insecure,
        )
        return application(parts)

    async def start(self) -> None:
        """Take back what a dead service left, then let work flow."""
        await self.pool.open()
        await open_routes(self.setup.routes.values(), self.config)
        await self._standing.load()
        await self._wishes.load()
        self._deliveries.follow_setup()
        await self._caretaker.spread_backlog()
        await self.rescuer.take_back()
        self.worker.lanes.recount(await self.store.queued_jobs())
        self._deliveries.recount(await self._deliveries.pending())
        self.crew.spawn(self._promote)
        lanes = (self.worker.lanes, self._deliveries, self._caretaker, self._alerting)
        ends = (self.expirer, self.batches, self._replays)
        for service in (*lanes, self._progress, *ends, self.rescuer, self.pruner, self._pulse):
            self.crew.spawn(service.serve)

    async def _promote(self) -> None:
        await self._promoter.serve(self.worker.lanes.add, self._deliveries.add)

    async def adopt(self, setup: Setup) -> None:
        """Put `setup`, whose new destinations are open, in the place of the current one.

        The change is one step, and none of those who follow the setup sees half of it. A destination that is no longer
        used is closed after the last sending that began with it.
        """
        before, self._current.setup = self._current.setup, setup
        service = setup.config.service
        self._room.floor = service.disk_floor
        self._expect(setup)
        self.pool.update(catalog=setup.catalog, settings=setup.config.functions, result_limit=service.result_limit)
        functions, destinations = self.worker.follow(), self._deliveries.follow_setup()
        self._changes.notify_all()  # a delivery may be held from here on, and so settled
        self._replays.wake()
        retiring = asyncio.ensure_future(self._retire(before.new_routes(setup)))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)
        await self.worker.lanes.count_new(functions, self.store.queued_jobs)
        await self._deliveries.count_new(destinations, self._deliveries.pending)

    async def _retire(self, routes: Sequence[Route]) -> None:
        try:
            await self.deliverer.passed()
        finally:
            await close_routes(routes)

    async def drain(self, grace_s: float, hurry: asyncio.Event) -> None:
        """Take no new work; give what runs up to `grace_s`, or until `hurry` is set, and give back the rest."""
        self._telemetry.emit("service.draining", grace_s=grace_s)
        self.intake.is_draining = True
        self.worker.lanes.stop()
        self._deliveries.stop()
        until = self._clock.monotonic() + grace_s
        await _first(self._drained(), self._clock.sleep(grace_s, hurry))
        await self.pool.close()
        # What is in hand now only has to be written; where it cannot be, the next start rescues it.
        await _first(self.worker.drained(), self._clock.sleep(WRITING_S))
        left = max(0.0, until - self._clock.monotonic())
        await _first(self.deliverer.drained(), self._clock.sleep(left, hurry))
        await _first(self.deliverer.break_off(), self._clock.sleep(WRITING_S))
        await _first(self.intake.close(), self._clock.sleep(WRITING_S))

    async def _drained(self) -> None:
        await asyncio.gather(self.worker.drained(), self.intake.drained())

    async def stop(self) -> None:
        """End all services and close the store; what was not drained is rescued at the next start."""
        await self.crew.stop()
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.pool.close()
        await close_routes(self.setup.routes.values())
        await self.store.close()


async def _first(*awaitables: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
