"""Deliveries as they are shown now, several at a time."""

from collections.abc import Sequence

from aiohttp import web

from pipeline.model import Delivery
from pipeline.web import views
from pipeline.web.parts import PARTS, base_url


async def shown(request: web.Request, found: Sequence[Delivery]) -> list[views.View]:
    """Return deliveries as they are shown, each with the moment of its next attempt."""
    parts = request.app[PARTS]
    base, takers, turns = base_url(request, parts), parts.takers, await parts.turns.of(found)
    return [views.delivery(parts.lanes.unbegun.shown(each), base, takers, turns.get(each.id)) for each in found]
