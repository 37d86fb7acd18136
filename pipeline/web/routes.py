"""The route table, and the aiohttp application made of it."""

from functools import partial

from aiohttp import web

from pipeline.config.settings import ServiceSettings
from pipeline.web.access import POLICIES
from pipeline.web.answers import UNTYPED
from pipeline.web.entrance import enter
from pipeline.web.invocations import functions
from pipeline.web.openapi import served
from pipeline.web.openapi.document import document
from pipeline.web.parts import PARTS, Parts
from pipeline.web.policies import (
    ADMIN,
    CHANGE_BATCH,
    CHANGE_DELIVERY,
    CHANGE_JOB,
    FUNCTION,
    INVOKE,
    OPEN,
    READ,
    READ_BATCH,
    READ_DELIVERY,
    READ_JOB,
    READ_LINKED_BATCH,
    READ_LINKED_JOB,
)
from pipeline.web.protocol import Runner, expect
from pipeline.web.resources import (
    batches,
    deliveries,
    destinations,
    events,
    interventions,
    jobs,
    metrics,
    replays,
    service,
    submissions,
    usage,
)
from pipeline.web.row import Row

# Functions first: theirs is the hot path.
ROUTES: tuple[Row, ...] = (
    Row("*", "/functions/{name}", functions.invoke, FUNCTION),
    Row("*", "/functions/{name}/{rest:.*}", functions.invoke, FUNCTION),
    Row("*", "/.netlify/functions/{name}", functions.invoke, FUNCTION),
    Row("*", "/.netlify/functions/{name}/{rest:.*}", functions.invoke, FUNCTION),
    Row("GET", "/v1/jobs", jobs.list_all, READ),
    Row("GET", "/v1/jobs/{id}", jobs.get, READ_LINKED_JOB),
    Row("GET", "/v1/jobs/{id}/result", jobs.result, READ_LINKED_JOB),
    Row("GET", "/v1/jobs/{id}/runs", jobs.runs, READ_JOB),
    Row("GET", "/v1/jobs/{id}/logs", jobs.logs, READ_JOB),
    Row("GET", "/v1/jobs/{id}/deliveries", jobs.deliveries, READ_JOB),
    Row("GET", "/v1/jobs/{id}/events", events.job, READ_JOB),
    Row("POST", "/v1/jobs/{id}/cancel", interventions.cancel, CHANGE_JOB),
    Row("POST", "/v1/jobs/{id}/retry", interventions.retry, CHANGE_JOB),
    Row("POST", "/v1/jobs/{id}/replay", interventions.replay, CHANGE_JOB),
    Row("DELETE", "/v1/jobs/{id}", interventions.delete, ADMIN),
    Row("POST", "/v1/batches", submissions.post, INVOKE),
    Row("GET", "/v1/batches", batches.list_all, READ),
    Row("GET", "/v1/batches/{id}", batches.get, READ_BATCH),
    Row("GET", "/v1/batches/{id}/results", batches.results, READ_LINKED_BATCH),
    Row("GET", "/v1/batches/{id}/events", events.batch, READ_BATCH),
    Row("GET", "/v1/batches/{id}/deliveries", batches.deliveries, READ_BATCH),
    Row("POST", "/v1/batches/{id}/cancel", batches.cancel, CHANGE_BATCH),
    Row("POST", "/v1/batches/{id}/retry-failed", batches.retry_failed, CHANGE_BATCH),
    Row("GET", "/v1/deliveries", deliveries.list_all, READ),
    Row("GET", "/v1/deliveries/{id}", deliveries.get, READ_DELIVERY),
    Row("POST", "/v1/deliveries/{id}/cancel", deliveries.cancel, CHANGE_DELIVERY),
    Row("POST", "/v1/deliveries/{id}/replay", deliveries.replay, CHANGE_DELIVERY),
    Row("GET", "/v1/destinations", destinations.list_all, READ),
    Row("GET", "/v1/destinations/{name}", destinations.get, READ),
    Row("POST", "/v1/destinations/{name}/pause", destinations.pause, ADMIN),
    Row("POST", "/v1/destinations/{name}/resume", destinations.resume, ADMIN),
    Row("POST", "/v1/destinations/{name}/test", destinations.test, ADMIN),
    Row("POST", "/v1/destinations/{name}/replay", replays.begin, ADMIN),
    Row("GET", "/v1/destinations/{name}/replays", replays.of_destination, READ),
    Row("GET", "/v1/replays", replays.list_all, READ),
    Row("GET", "/v1/replays/{id}", replays.get, READ),
    Row("POST", "/v1/replays/{id}/cancel", replays.cancel, ADMIN),
    Row("GET", "/v1/functions", service.functions, READ),
    Row("GET", "/v1/usage", usage.get, READ),
    Row("GET", "/metrics", metrics.get, READ),
    Row("GET", "/healthz", service.healthz, OPEN),
    Row("GET", "/readyz", service.readyz, OPEN),
    Row("GET", "/.well-known/webhook-keys", destinations.webhook_keys, OPEN),
    Row("GET", "/openapi.json", served.get, OPEN),
)
"""Every route."""


def application(parts: Parts) -> web.Application:
    """Return the aiohttp application over `parts`."""
    # No limit of aiohttp's, which cannot change while the service runs: whoever reads a body bounds it.
    app = web.Application(middlewares=[enter], client_max_size=0)
    app[PARTS] = parts
    app[POLICIES] = {}
    for row in ROUTES:
        resource = app.router.add_resource(row.path)
        for method in ("GET", "HEAD") if row.method == "GET" else (row.method,):
            app[POLICIES][resource.add_route(method, row.handler, expect_handler=expect)] = row.policy
    app[served.RENDERED] = served.Rendered(partial(document, ROUTES))
    app.on_response_prepare.append(_tidy)
    app.on_shutdown.append(_end_streams)
    return app


def runner(app: web.Application, service: ServiceSettings) -> web.AppRunner:
    """Return what serves `app`, on sites that are still to be added."""
    return Runner(
        app,
        access_log=None,
        keepalive_timeout=service.keepalive,
        # What is refused before its body has come is read on for so long, so that its sender hears the answer.
        lingering_time=min(10.0, service.keepalive),
        shutdown_timeout=1.0,
        auto_decompress=False,  # gzip is undone where events are made, which bounds what comes out of it
    )


async def _end_streams(app: web.Application) -> None:
    app[PARTS].pool.watches.close()
    app[PARTS].changes.notify_all()


async def _tidy(_: web.Request, response: web.StreamResponse) -> None:
    # No word of what serves, and no type that a function did not give: aiohttp adds both.
    response.headers.pop("Server", None)
    if UNTYPED in response:
        response.headers.pop("Content-Type", None)
