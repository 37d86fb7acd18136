"""What the handlers work with, put together by `app` and carried by the aiohttp application."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from pipeline.clock import Clock
from pipeline.config.settings import Config, ServiceSettings
from pipeline.functions.catalog import Catalog
from pipeline.functions.pool import Pool
from pipeline.ids import IdSource
from pipeline.services.batches import Batches
from pipeline.services.changes import Changes
from pipeline.services.deliveries.destination_lanes import DestinationLanes
from pipeline.services.deliveries.pausing import Pausing
from pipeline.services.deliveries.redelivery import Redelivery
from pipeline.services.deliveries.standing import Standing, Takers
from pipeline.services.deliveries.testing import Tester
from pipeline.services.deliveries.turns import Turns
from pipeline.services.gauges import Gauges
from pipeline.services.jobs.intake import Intake
from pipeline.services.jobs.interventions import Interventions
from pipeline.services.jobs.progress import ProgressNotes
from pipeline.services.jobs.worker import Worker
from pipeline.services.replays.replayer import Replays
from pipeline.services.routes import Route
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.store.reading.jobs import JobView
from pipeline.telemetry import Telemetry
from pipeline.web import forwarded


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a running service that its HTTP side needs."""

    current: Current
    store: Store
    intake: Intake
    pool: Pool
    worker: Worker
    interventions: Interventions
    batches: Batches
    standing: Standing
    pausing: Pausing
    redelivery: Redelivery
    turns: Turns
    lanes: DestinationLanes
    replays: Replays
    tester: Tester
    changes: Changes
    progress: ProgressNotes
    gauges: Gauges
    clock: Clock
    ids: IdSource
    telemetry: Telemetry
    is_insecure: bool
    """Whether a request may name any host."""

    @property
    def config(self) -> Config:
        """Return the configuration that counts now."""
        return self.current.setup.config

    @property
    def catalog(self) -> Catalog:
        """Return the functions that there are now."""
        return self.current.setup.catalog

    @property
    def routes(self) -> Mapping[str, Route]:
        """Return the destinations that are configured now."""
        return self.current.setup.routes

    @property
    def takers(self) -> Takers:
        """Return the destinations that take deliveries now."""
        return self.standing.takers

    def shown(self, view: JobView) -> JobView:
        """Return a job as it was read with what only this service knows: what its run last said, and which of its
        deliveries wait for a slot.
        """
        return self.lanes.unbegun.of_job(self.progress.shown(view))


PARTS = web.AppKey("parts", Parts)


def seen(request: web.Request, service: ServiceSettings) -> forwarded.Seen:
    """Return who asks, and by which address, as far as trusted proxies tell."""
    return forwarded.seen(request.remote or "", request.headers, service.trusted_proxies)


def client_ip(request: web.Request, parts: Parts) -> str:
    """Return the address of who asks."""
    service = parts.config.service
    return seen(request, service).client_ip if service.trusted_proxies else request.remote or ""


def base_url(request: web.Request, parts: Parts) -> str:
    """Return where this service is reached, without a trailing slash: `public_url`, else as a trusted proxy says, else
    as the request's Host names it.
    """
    service = parts.config.service
    if service.public_url:
        return service.public_url.rstrip("/")
    by = seen(request, service) if service.trusted_proxies else None
    host = (by and by.host) or request.headers.get("Host") or f"127.0.0.1:{service.port}"
    return f"{(by and by.scheme) or request.scheme}://{host}"
