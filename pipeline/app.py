"""The one place where the parts are put together, started in order, and taken down in order."""

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from errno import EACCES, EADDRINUSE
from types import MappingProxyType

from aiohttp import web

from destinations.base import Destination, Kind
from destinations.registry import make_destinations
from pipeline.clock import Clock
from pipeline.config.settings import Config, DestinationSettings
from pipeline.errors import ConfigurationError, StoreError
from pipeline.functions import interpreter
from pipeline.functions.catalog import Catalog
from pipeline.functions.pool import Pool
from pipeline.ids import IdSource
from pipeline.model import DeliveryState
from pipeline.retry import policy
from pipeline.services.changes import Changes
from pipeline.services.children import Children
from pipeline.services.deliverer import Deliverer
from pipeline.services.expirer import Expirer
from pipeline.services.fanout import FanOut, Route
from pipeline.services.intake import Intake
from pipeline.services.leases import Leases
from pipeline.services.moments import NextMoment
from pipeline.services.progress import ProgressNotes
from pipeline.services.promoter import Promoter
from pipeline.services.pruner import Pruner
from pipeline.services.rescuer import Rescuer
from pipeline.services.worker import Worker
from pipeline.store import Store
from pipeline.store.room import Room
from pipeline.telemetry import Telemetry
from pipeline.web.access import allowed_hosts, is_loopback
from pipeline.web.parts import Parts
from pipeline.web.routes import application

NODE = "local"
"""Who holds the leases. The embedded store has one service, so that all it finds leased at its start was its own."""

BACKLOG = 1024
"""Connections that may wait to be accepted. They wait from the moment of binding, so that two services cannot both
have it.
"""

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
        self.config = config
        self.failure: asyncio.Future[StoreError] = asyncio.get_running_loop().create_future()
        self._clock = clock
        self._telemetry = telemetry
        telemetry.mask.learn(config.secrets)
        self.catalog = Catalog.load(config.functions)
        check_functions(config, self.catalog)
        self._destinations = make_destinations(config.destinations, kinds)
        routes = _routes(config.destinations, self._destinations)
        room = Room(config.store, config.service.disk_floor, clock)
        self.store = Store(config.store, self._fail, room)
        self.pool = Pool(
            catalog=self.catalog,
            settings=config.functions,
            result_limit=config.service.result_limit,
            clock=clock,
            mask=telemetry.mask,
        )
        ids = IdSource(clock, seed)
        leases = Leases(NODE, clock, ids)
        changes = Changes(clock)
        self._progress = ProgressNotes(self.store, changes, clock)
        self._promoter = Promoter(self.store, clock)
        next_expiry = NextMoment(clock)
        self.deliverer = Deliverer(
            leases=leases,
            base_url=_base_url(config),
            store=self.store,
            routes=routes,
            promoter=self._promoter,
            changes=changes,
            children=Children(
                worker=lambda: self.worker,
                next_expiry=next_expiry,
                clock=clock,
                ids=ids,
                base_url=_base_url(config),
                queue_limit=config.service.queue_limit,
            ),
            clock=clock,
            random=seed,
            telemetry=telemetry,
        )
        fan_out = FanOut(config.functions, routes, ids)
        self.worker = Worker(
            leases=leases,
            store=self.store,
            pool=self.pool,
            catalog=self.catalog,
            functions=config.functions,
            fan_out=fan_out,
            deliverer=self.deliverer,
            promoter=self._promoter,
            changes=changes,
            progress=self._progress,
            clock=clock,
            telemetry=telemetry,
        )
        self.expirer = Expirer(
            next_expiry=next_expiry,
            store=self.store,
            fan_out=fan_out,
            deliverer=self.deliverer,
            lanes=self.worker.lanes,
            changes=changes,
            clock=clock,
            telemetry=telemetry,
        )
        self.rescuer = Rescuer(
            leases=leases,
            store=self.store,
            worker=self.worker,
            deliverer=self.deliverer,
            clock=clock,
            telemetry=telemetry,
        )
        self.pruner = Pruner(store=self.store, retention=config.service.retention, clock=clock, telemetry=telemetry)
        self.intake = Intake(
            store=self.store,
            room=room,
            pool=self.pool,
            worker=self.worker,
            leases=leases,
            next_expiry=next_expiry,
            clock=clock,
            queue_limit=config.service.queue_limit,
        )
        self._routes, self._changes, self._ids = routes, changes, ids
        self._tasks: set[asyncio.Task[None]] = set()

    def _fail(self, error: StoreError) -> None:
        if not self.failure.done():
            self.failure.set_result(error)

    def application(self, *, is_insecure: bool = False) -> web.Application:
        """Return the HTTP side, not bound to anything yet."""
        parts = Parts(
            config=self.config,
            catalog=self.catalog,
            store=self.store,
            intake=self.intake,
            pool=self.pool,
            worker=self.worker,
            deliverer=self.deliverer,
            routes=self._routes,
            changes=self._changes,
            progress=self._progress,
            clock=self._clock,
            ids=self._ids,
            telemetry=self._telemetry,
            allowed_hosts=allowed_hosts(self.config.service, is_insecure=is_insecure),
        )
        return application(parts)

    async def start(self) -> None:
        """Take back what a dead service left, then let work flow."""
        await self.pool.open()
        for destination in self._destinations.values():
            await destination.open()
        await self.rescuer.take_back()
        await self._count_backlogs()
        self._spawn(self._promote)
        for service in (self.worker, self.deliverer, self._progress, self.expirer, self.rescuer, self.pruner):
            self._spawn(service.serve)

    async def _count_backlogs(self) -> None:
        for name, count in (await self.store.queued_jobs()).items():
            if (lane := self.worker.lanes.get(name)) is not None:
                lane.recount(count)
        for (name, state), count in (await self.store.open_deliveries()).items():
            if state is DeliveryState.PENDING and (sending := self.deliverer.lanes.get(name)) is not None:
                sending.recount(count)

    async def _promote(self) -> None:
        await self._promoter.serve(self.worker.add, self.deliverer.add)

    def _spawn(self, serve: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(serve())
        self._tasks.add(task)
        task.add_done_callback(self._on_service_end)

    def _on_service_end(self, task: "asyncio.Future[None]") -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        # A service that ended in error cannot be trusted to have left no gap: a restart rescues everything.
        failure = _of_store(error)
        if failure is None:
            self._telemetry.failed("task.failed", error)
        self._fail(failure or StoreError(f"a service ended: {error!r}"))

    async def drain(self, grace_s: float, hurry: asyncio.Event) -> None:
        """Take no new work; give what runs up to `grace_s`, or until `hurry` is set, and give back the rest."""
        self._telemetry.emit("service.draining", grace_s=grace_s)
        self.intake.is_draining = True
        self.worker.stop()
        self.deliverer.stop()
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
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pool.close()
        for destination in self._destinations.values():
            await destination.close()
        await self.store.close()


def _of_store(error: BaseException) -> StoreError | None:
    """Return the store's error where there is nothing else behind `error`; it is told by the one line at the end."""
    if isinstance(error, BaseExceptionGroup):
        found = [_of_store(each) for each in error.exceptions]
        return None if None in found else found[0]
    return error if isinstance(error, StoreError) else None


async def _first(*awaitables: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _routes(
    settings: Mapping[str, DestinationSettings], destinations: Mapping[str, Destination]
) -> Mapping[str, Route]:
    return MappingProxyType(
        {
            name: Route(
                name=name,
                kind=configured.kind,
                destination=destinations[name],
                concurrency=configured.options.concurrency,
                policy=policy(configured.options.retry),
            )
            for name, configured in settings.items()
        }
    )


def _base_url(config: Config) -> str:
    service = config.service
    if service.public_url:
        return service.public_url.rstrip("/")
    host = "127.0.0.1" if service.host in ("0.0.0.0", "::", "") else service.host  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{service.port}" if ":" in host else f"http://{host}:{service.port}"


def bind(config: Config, *, is_insecure: bool) -> tuple[Config, socket.socket]:
    """Bind the configured address; return the configuration with the port that was got, and the socket, not listening
    yet.

    Raises ConfigurationError for an address that may not, or cannot, be bound.
    """
    check_address(config, is_insecure=is_insecure)
    service = config.service
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            service.host, service.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        path = "service.port" if error.errno in (EADDRINUSE, EACCES) else "service.host"
        message = f"cannot listen on {service.host}:{service.port}: {error.strerror}"
        raise ConfigurationError([config.fault(path, message)]) from error
    port = listener.getsockname()[1]
    return replace(config, service=replace(service, port=port)), listener


def check_address(config: Config, *, is_insecure: bool) -> None:
    """Raise ConfigurationError for an address that may not be bound."""
    host = config.service.host
    if not (is_insecure or is_loopback(host)):
        message = (
            f"expected a loopback address such as 127.0.0.1, as there are no keys, got {host}; "
            "serve --insecure lets anyone in"
        )
        raise ConfigurationError([config.fault("service.host", message)])


def check_functions(config: Config, catalog: Catalog) -> None:
    """Raise ConfigurationError for destinations whose function is not in the catalogue, and for an interpreter that
    cannot run functions.
    """
    names = {function.name for function in catalog}
    wanted = {
        name: settings.options.function
        for name, settings in config.destinations.items()
        if settings.kind == "function" and settings.options.function not in names
    }
    faults = [
        config.fault(
            f"destinations.{name}.function",
            f"expected a function in {config.functions.directory}, got {function!r}, which is not there",
        )
        for name, function in wanted.items()
    ]
    if config.functions.python is not None and (wrong := interpreter.fault_of(config.functions.python)):
        faults.append(config.fault("functions.python", wrong))
    if faults:
        raise ConfigurationError(faults)
