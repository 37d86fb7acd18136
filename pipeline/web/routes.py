"""The route table, and the aiohttp application made of it."""

from aiohttp import web

from pipeline.config.settings import ServiceSettings
from pipeline.web import batches, deliveries, destinations, events, functions, interventions, jobs, service
from pipeline.web.answers import UNTYPED
from pipeline.web.parts import PARTS, Parts
from pipeline.web.problems import answer_problems

# Functions first: theirs is the hot path.
ROUTES = (
    ("*", "/functions/{name}", functions.invoke),
    ("*", "/functions/{name}/{rest:.*}", functions.invoke),
    ("*", "/.netlify/functions/{name}", functions.invoke),
    ("*", "/.netlify/functions/{name}/{rest:.*}", functions.invoke),
    ("GET", "/v1/jobs", jobs.list_all),
    ("GET", "/v1/jobs/{id}", jobs.get),
    ("GET", "/v1/jobs/{id}/result", jobs.result),
    ("GET", "/v1/jobs/{id}/runs", jobs.runs),
    ("GET", "/v1/jobs/{id}/logs", jobs.logs),
    ("GET", "/v1/jobs/{id}/deliveries", jobs.deliveries),
    ("GET", "/v1/jobs/{id}/events", events.job),
    ("POST", "/v1/jobs/{id}/cancel", interventions.cancel),
    ("POST", "/v1/jobs/{id}/retry", interventions.retry),
    ("POST", "/v1/jobs/{id}/replay", interventions.replay),
    ("DELETE", "/v1/jobs/{id}", interventions.delete),
    ("POST", "/v1/batches", batches.post),
    ("GET", "/v1/batches", batches.list_all),
    ("GET", "/v1/batches/{id}", batches.get),
    ("GET", "/v1/batches/{id}/results", batches.results),
    ("GET", "/v1/batches/{id}/events", events.batch),
    ("GET", "/v1/batches/{id}/deliveries", batches.deliveries),
    ("POST", "/v1/batches/{id}/cancel", batches.cancel),
    ("POST", "/v1/batches/{id}/retry-failed", batches.retry_failed),
    ("GET", "/v1/deliveries", deliveries.list_all),
    ("GET", "/v1/deliveries/{id}", deliveries.get),
    ("GET", "/v1/destinations", destinations.list_all),
    ("GET", "/v1/destinations/{name}", destinations.get),
    ("GET", "/v1/functions", service.functions),
    ("GET", "/healthz", service.healthz),
    ("GET", "/readyz", service.readyz),
)
"""Method, path and handler of every route."""


def application(parts: Parts) -> web.Application:
    """Return the aiohttp application over `parts`."""
    # No limit of aiohttp's, which cannot change while the service runs: whoever reads a body bounds it.
    app = web.Application(middlewares=[answer_problems], client_max_size=0)
    app[PARTS] = parts
    for method, path, handler in ROUTES:
        if method == "GET":
            app.router.add_get(path, handler)  # and HEAD
        else:
            app.router.add_route(method, path, handler)
    app.on_response_prepare.append(_tidy)
    app.on_shutdown.append(_end_streams)
    return app


def runner(app: web.Application, service: ServiceSettings) -> web.AppRunner:
    """Return what serves `app`, on sites that are still to be added."""
    return web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=service.keepalive,
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
