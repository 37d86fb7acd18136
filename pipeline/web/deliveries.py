"""Deliveries: the list of all, and one with every attempt."""

from aiohttp import web

from pipeline.model import DeliveryState
from pipeline.web import views
from pipeline.web.answers import json_answer, not_there, page
from pipeline.web.parameters import CURSOR, DELIVERY_STATE, DESTINATION, LIMIT
from pipeline.web.parts import PARTS, base_url


async def list_all(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/deliveries: all deliveries, newest first; `destination` and `state` narrow them."""
    parts = request.app[PARTS]
    limit = LIMIT.read(request)
    state = DELIVERY_STATE.read(request)
    found = await parts.store.list_deliveries(
        before=CURSOR.read(request),
        most=limit + 1,
        state=DeliveryState(state) if state else None,
        destination=DESTINATION.read(request),
    )
    items = [views.delivery(value, base_url(request, parts), parts.takers) for value in found]
    return page(request, items, limit, found[limit - 1].id if len(found) > limit else "")


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/deliveries/{id}: a delivery with its attempts, oldest first."""
    parts = request.app[PARTS]
    delivery_id = request.match_info["id"]
    found = await parts.store.get_delivery(delivery_id)
    if found is None:
        raise not_there(request, "delivery", delivery_id)
    attempts = await parts.store.list_attempts(delivery_id)
    shown = views.delivery(found, base_url(request, parts), parts.takers)
    return json_answer(shown | {"attempts": [views.attempt(value) for value in attempts]})
