"""Deliveries: the list of all, one with every attempt; cancelling and replaying it."""

from dataclasses import replace
from functools import partial

from aiohttp import web

from pipeline.explain import Situation, Turn, explain
from pipeline.model import Delivery, DeliveryState
from pipeline.web import documents, views
from pipeline.web.answers import json_answer, not_there, page
from pipeline.web.parameters import CURSOR, DELIVERY_STATE, DESTINATION, LIMIT
from pipeline.web.parts import PARTS, Parts, base_url
from pipeline.web.problems import ProblemError
from pipeline.web.resources import known, owed


async def list_all(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/deliveries: all deliveries, newest first; `destination` and `state` narrow them. `held` are those
    whose destination takes none now, and no others have that state.
    """
    parts = request.app[PARTS]
    limit, destination = LIMIT.read(request), DESTINATION.read(request)
    state = DELIVERY_STATE.read(request)
    found = await parts.store.list_deliveries(
        before=CURSOR.read(request),
        most=limit + 1,
        state=DeliveryState(state) if state else None,
        destination=destination,
        holding=replace(parts.takers.holding, unbegun=parts.lanes.unbegun.ids),
    )
    if not found:
        one = partial(parts.store.list_deliveries, before=None, most=1, destination=destination)
        await known.check_destination(request, destination, one)
    items = await owed.shown(request, found)
    return page(request, items, limit, found[limit - 1].id if len(found) > limit else "")


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/deliveries/{id}: a delivery with its attempts, oldest first, and why it is where it is."""
    return json_answer(await _shown(request))


async def cancel(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/deliveries/{id}/cancel: 202 and the delivery, which is not sent any more."""
    delivery = await _found(request)
    if not await request.app[PARTS].redelivery.cancel(delivery):
        raise await _wrong_state(request, "only one that waits, or is held, can be cancelled")
    return await _now(request)


async def replay(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/deliveries/{id}/replay: 202 and the delivery, which is sent now by the full schedule, as
    `webhook-id` tells its receiver; with `{"new_id": true}` as another one. Only one that was delivered, is dead, was
    cancelled or waits for its next attempt.
    """
    delivery = await _found(request)
    document = await documents.read(request, "delivery-replay-request")
    if not await request.app[PARTS].redelivery.replay(delivery, is_renewing=document.get("new_id", False)):
        raise await _wrong_state(
            request, "only one that was delivered, is dead, was cancelled or is retrying can be replayed"
        )
    return await _now(request)


async def _found(request: web.Request) -> Delivery:
    delivery_id = request.match_info["id"]
    found = await request.app[PARTS].store.get_delivery(delivery_id)
    if found is None:
        raise not_there(request, "delivery", delivery_id)
    return found


async def _shown(request: web.Request) -> views.View:
    parts, found = request.app[PARTS], await _found(request)
    attempts = await parts.store.list_attempts(found.id)
    turn = (await parts.turns.of([found])).get(found.id)
    found = parts.lanes.unbegun.shown(found)
    shown = views.delivery(found, base_url(request, parts), parts.takers, turn)
    told = explain(found, attempts[-1] if attempts else None, await _situation(parts, found, turn), parts.clock.now())
    return shown | {"attempts": [views.attempt(value) for value in attempts], "explain": told}


async def _situation(parts: Parts, delivery: Delivery, turn: Turn | None) -> Situation:
    name, takers = delivery.destination, parts.takers
    if not delivery.state.is_open:
        return Situation(held=takers.why_held(name, DeliveryState.PENDING))  # it would be, sent again
    counts, standing = parts.lanes.unbegun.counted(await parts.store.open_deliveries([name])), parts.standing
    route = parts.routes.get(name)
    return Situation(
        held=takers.why_held(name, delivery.state),
        paused_at=standing.paused_at(name),
        deferred_until=takers.deferred.get(name),
        probe_at=takers.broken.get(name),
        is_probing=name in takers.probing,
        health=standing.health(name),
        in_flight=counts.get((name, DeliveryState.SENDING), 0),
        due=counts.get((name, DeliveryState.PENDING), 0),
        concurrency=route.concurrency if route else None,
        shared=None if parts.lanes.slots.is_free(name) else parts.lanes.slots.all,
        turn=turn,
    )


async def _now(request: web.Request) -> web.Response:
    return json_answer(await _shown(request), 202, {"Location": f"/v1/deliveries/{request.match_info['id']}"})


async def _wrong_state(request: web.Request, detail: str) -> ProblemError:
    delivery = await _found(request)
    why = request.app[PARTS].takers.why_held(delivery.destination, delivery.state)
    state = DeliveryState.HELD if why else delivery.state
    shown = f"held, as its destination is {why}" if why else state
    return ProblemError(409, "Wrong state", f"the delivery is {shown}: {detail}", state=state)
