"""What the handlers work with, put together by `app` and carried by the aiohttp application."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from pipeline.clock import Clock
from pipeline.config.settings import Config
from pipeline.functions.catalog import Catalog
from pipeline.functions.pool import Pool
from pipeline.ids import IdSource
from pipeline.services.changes import Changes
from pipeline.services.deliverer import Deliverer
from pipeline.services.fanout import Route
from pipeline.services.intake import Intake
from pipeline.services.progress import ProgressNotes
from pipeline.services.worker import Worker
from pipeline.store import Store
from pipeline.telemetry import Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a running service that its HTTP side needs."""

    config: Config
    catalog: Catalog
    store: Store
    intake: Intake
    pool: Pool
    worker: Worker
    deliverer: Deliverer
    routes: Mapping[str, Route]
    changes: Changes
    progress: ProgressNotes
    clock: Clock
    ids: IdSource
    telemetry: Telemetry
    allowed_hosts: frozenset[str] | None
    """Hosts that a request may name; None allows all."""


PARTS = web.AppKey("parts", Parts)


def base_url(request: web.Request) -> str:
    """Return where this service is reached, without a trailing slash: `public_url`, else as the request's Host names
    it.
    """
    service = request.app[PARTS].config.service
    if service.public_url:
        return service.public_url.rstrip("/")
    host = request.headers.get("Host") or f"127.0.0.1:{service.port}"
    return f"{request.scheme}://{host}"
