"""The service itself: is it alive, is it ready, which functions does it have."""

from aiohttp import web

from pipeline.web.answers import json_answer
from pipeline.web.parts import PARTS


async def healthz(_: web.Request) -> web.StreamResponse:
    """Answer GET /healthz: the process answers."""
    return json_answer({"status": "ok"})


async def readyz(request: web.Request) -> web.StreamResponse:
    """Answer GET /readyz: 200 where new work is taken, 503 while draining; names functions that are gone with jobs
    waiting.
    """
    parts = request.app[PARTS]
    queued = await parts.store.queued_jobs()
    known = {function.name for function in parts.catalog}
    missing = {name: count for name, count in queued.items() if name not in known}
    status = "draining" if parts.intake.is_draining else "ready"
    facts = {"status": status, "missing_functions": missing}
    return json_answer(
        facts, 503 if parts.intake.is_draining else 200, {"Retry-After": "5"} if parts.intake.is_draining else None
    )


async def functions(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/functions: the functions by name, and where their messages go."""
    parts = request.app[PARTS]
    items = [
        {
            "name": function.name,
            "background": function.is_background,
        }
        | {key: [target.to for target in targets] for key, targets in parts.config.functions.of(function.name).targets}
        for function in sorted(parts.catalog, key=lambda function: function.name)
    ]
    return json_answer({"items": items, "next_cursor": None})
