"""Destinations: what is configured, what is owed to each, and when it last answered well."""

from collections.abc import Mapping

from aiohttp import web

from pipeline.model import DeliveryState, DestinationStatus
from pipeline.web.answers import json_answer
from pipeline.web.parts import PARTS, Parts
from pipeline.web.problems import ProblemError
from pipeline.web.views import View, moment

Counts = Mapping[tuple[str, DeliveryState], int]


async def list_all(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/destinations: all by name, and those that are configured no more but are owed something."""
    shown = await _shown(request.app[PARTS])
    return json_answer({"items": [shown[name] for name in sorted(shown)], "next_cursor": None})


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/destinations/{name}: how a destination stands."""
    name = request.match_info["name"]
    if (found := (await _shown(request.app[PARTS])).get(name)) is None:
        raise ProblemError(404, "Not found", f"there is no destination {name}")
    return json_answer(found)


async def _shown(parts: Parts) -> dict[str, View]:
    counts = await parts.store.open_deliveries()
    stored = {status.name: status for status in await parts.store.list_destinations()}
    names = set(parts.routes) | {destination for destination, _ in counts}
    return {name: _view(name, parts, stored.get(name), counts) for name in names}


def _view(name: str, parts: Parts, stored: DestinationStatus | None, counts: Counts) -> View:
    route = parts.routes.get(name)
    waiting = sum(counts.get((name, state), 0) for state in (DeliveryState.PENDING, DeliveryState.RETRYING))
    sending = counts.get((name, DeliveryState.SENDING), 0)
    return {
        "name": name,
        "kind": route.kind if route else (stored.kind if stored else None),
        "state": "active" if route else "unconfigured",
        "not_before": None,
        "in_flight": sending,
        "due": counts.get((name, DeliveryState.PENDING), 0) if route else 0,
        "held": 0 if route else waiting + sending,
        "last_success_at": moment(stored.last_success_at) if stored else None,
        "breaker": "closed",
    }
