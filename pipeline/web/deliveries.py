"""Deliveries: the list of all, and one with every attempt."""

from aiohttp import web

from pipeline.model import DeliveryState
from pipeline.web import views
from pipeline.web.answers import (
    DEFAULT_LIMIT,
    MOST,
    choice,
    id_cursor,
    json_answer,
    not_there,
    page,
    whole_number,
)
from pipeline.web.parts import PARTS, base_url

_STATES = [str(state) for state in DeliveryState if state is not DeliveryState.HELD]


async def list_all(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/deliveries: all deliveries, newest first; `destination` and `state` narrow them."""
    parts = request.app[PARTS]
    limit = whole_number(request, "limit", DEFAULT_LIMIT, 1, MOST)
    state = choice(request, "state", _STATES)
    found = await parts.store.list_deliveries(
        before=id_cursor(request),
        most=limit + 1,
        state=DeliveryState(state) if state else None,
        destination=request.query.get("destination"),
    )
    items = [views.delivery(value, base_url(request), parts.routes) for value in found]
    return page(request, items, limit, found[limit - 1].id if len(found) > limit else "")


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/deliveries/{id}: a delivery with its attempts, oldest first."""
    parts = request.app[PARTS]
    delivery_id = request.match_info["id"]
    found = await parts.store.get_delivery(delivery_id)
    if found is None:
        raise not_there(request, "delivery", delivery_id)
    attempts = await parts.store.list_attempts(delivery_id)
    shown = views.delivery(found, base_url(request), parts.routes)
    return json_answer(shown | {"attempts": [views.attempt(value) for value in attempts]})
