"""The metrics, for Prometheus and what reads its format."""

import asyncio

from aiohttp import web

from pipeline.web.parts import PARTS


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /metrics: [all metrics](metrics.md) as Prometheus' text, or as OpenMetrics where `Accept` asks."""
    parts = request.app[PARTS]
    readings = await parts.gauges.read()
    accept = request.headers.get("Accept", "")
    # Some milliseconds where there are many functions and destinations.
    body, content_type = await asyncio.to_thread(parts.telemetry.meters.exposition, readings, accept)
    return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
