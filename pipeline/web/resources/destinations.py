"""Destinations: what is configured, what is owed to each, and when it last answered well; pausing and resuming."""

from collections.abc import Collection, Mapping

import orjson
from aiohttp import web

from pipeline.config.units import rate_text
from pipeline.explain import Situation, reason_of
from pipeline.model import DeliveryState, DestinationStatus, JobState, LastFailure
from pipeline.services.deliveries.testing import Ended
from pipeline.services.routes import Route
from pipeline.web import documents, views
from pipeline.web.answers import json_answer, not_there
from pipeline.web.parameters import OF_DESTINATION
from pipeline.web.parts import PARTS, Parts
from pipeline.web.problems import ProblemError
from pipeline.web.resources.known import no_destination
from pipeline.web.views import View, moment

_TAKES_NONE = "it takes none until it is in the configuration again"

Counts = Mapping[tuple[str, DeliveryState], int]


async def list_all(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/destinations: all by name, and those that are configured no more but are owed something."""
    parts = request.app[PARTS]
    counts = await parts.store.open_deliveries()
    shown = await _shown(parts, set(parts.routes) | {name for name, _ in counts}, counts)
    return json_answer({"items": [shown[name] for name in sorted(shown)], "next_cursor": None})


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/destinations/{name}: how a destination stands."""
    return json_answer(await known(request))


async def pause(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/destinations/{name}/pause: 202 and the destination; what is owed to it is held until it is
    resumed, also over restarts. What is being sent ends as it began. One that is paused already stays so.
    """
    name = request.match_info["name"]
    await routed(request, _TAKES_NONE)
    await request.app[PARTS].pausing.pause(name)
    return json_answer(await known(request), 202, {"Location": f"/v1/destinations/{name}"})


async def resume(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/destinations/{name}/resume: 202 and the destination, to which all goes on, the oldest first and
    at a steady rate, whatever kept it: a pause, a breaker, what it asked for, or that it was disabled. What failed
    before, and is `retrying`, goes on at its next attempt.
    """
    name = request.match_info["name"]
    await routed(request, _TAKES_NONE)
    found = await known(request)
    if not await request.app[PARTS].pausing.resume(name):
        raise _wrong_state(name, found["state"], "there is nothing to resume")
    return json_answer(await known(request), 202, {"Location": f"/v1/destinations/{name}"})


async def test(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/destinations/{name}/test: what became of one message `webhook.test`, sent now and once, and
    stored nowhere. It tells of a job that never was, with the `result` that the body names, or again of the job that
    `job_id` names. A destination that is paused gets it, too.
    """
    name, parts = request.match_info["name"], request.app[PARTS]
    route = await routed(request, "there is nothing to test until it is in the configuration again")
    if route.kind == "function":
        detail = f"the destination {name} makes jobs, and sends nothing: call its function to test it"
        raise ProblemError(409, "Nothing to test", detail)
    if route.refusal_of is not None:
        detail = (
            f"the destination {name} has no address of its own, only those that callers name: invoke a background "
            "function with the header X-Callback-Url to test it"
        )
        raise ProblemError(409, "Nothing to test", detail)
    tested = await parts.tester.test(route, await _what_to_tell(request))
    return json_answer(views.destination_test(route, tested))


async def _what_to_tell(request: web.Request) -> bytes | Ended | None:
    """Return the result, or the ended job, that the body has a test tell of; None where it names nothing."""
    document = await documents.read(request, "destination-test-request")
    if "result" in document:
        return orjson.dumps(document["result"])
    if (job_id := document.get("job_id")) is None:
        return None
    store = request.app[PARTS].store
    if (found := await store.get_job(job_id)) is None:
        raise not_there(request, "job", job_id)
    job = found.job
    if not job.state.is_final or job.state is JobState.CANCELLED:
        detail = f"job {job_id} is {job.state}: only one that has succeeded, failed or expired can be told of"
        raise ProblemError(409, "Wrong state", detail, state=job.state)
    return Ended(job=job, result=await store.get_result(job_id), event=await store.get_event(job_id) or b"null")


async def routed(request: web.Request, without_it: str) -> Route:
    """Return the route of the destination that the path names; raises the 409, saying `without_it`, for one that is not
    configured any more, and the 404 for one that is not there at all.
    """
    name = request.match_info["name"]
    if (route := request.app[PARTS].routes.get(name)) is None:
        await known(request)
        raise _wrong_state(name, "unconfigured", without_it)
    return route


def _wrong_state(name: str, state: str, why: str) -> ProblemError:
    return ProblemError(409, "Wrong state", f"the destination {name} is {state}: {why}", state=state)


async def known(request: web.Request) -> View:
    """Return the destination that the path names, as it stands; raises the 404 for one that is not there at all."""
    parts, name = request.app[PARTS], request.match_info["name"]
    counts = await parts.store.open_deliveries([name])
    if name not in parts.routes and not counts:
        raise no_destination(request, name)
    return (await _shown(parts, {name}, counts))[name]


async def webhook_keys(request: web.Request) -> web.StreamResponse:
    """Answer GET /.well-known/webhook-keys: the public keys that verify webhooks signed by `v1a`, those of destinations
    whose secrets are asymmetric; the key of a secret that is over is not among them.
    """
    parts = request.app[PARTS]
    named, now = OF_DESTINATION.read(request), parts.clock.now()
    found = {
        key.text: {"key": key.text, "until": moment(key.until)}
        for name, route in sorted(parts.routes.items())
        if named in (None, name)
        for key in route.public_keys
        if key.until is None or now < key.until
    }
    return json_answer({"keys": list(found.values())})


async def _shown(parts: Parts, names: Collection[str], stored_counts: Counts) -> dict[str, View]:
    counts = parts.lanes.unbegun.counted(stored_counts)
    dead = await parts.store.destinations.count_dead(names)
    stored = {status.name: status for status in await parts.store.destinations.list()}
    return {name: _view(name, parts, stored.get(name), counts, dead.get(name, 0)) for name in names}


def _view(name: str, parts: Parts, stored: DestinationStatus | None, counts: Counts, dead: int) -> View:
    route, takers, standing = parts.routes.get(name), parts.takers, parts.standing
    reason, since = reason_of(
        Situation(
            held=takers.why_held(name, DeliveryState.PENDING),
            paused_at=standing.paused_at(name),
            health=standing.health(name),
        )
    )
    own = {state: count for (destination, state), count in counts.items() if destination == name}
    return {
        "name": name,
        "kind": route.kind if route else (stored.kind if stored else None),
        "state": takers.state_of(name),
        "reason": reason,
        "since": moment(since),
        "not_before": moment(takers.not_before(name)),
        "in_flight": own.get(DeliveryState.SENDING, 0),
        "due": own.get(DeliveryState.PENDING, 0) if name in takers else 0,
        "retrying": own.get(DeliveryState.RETRYING, 0) if name in takers else 0,
        "held": sum(count for state, count in own.items() if takers.why_held(name, state)),
        "dead": dead,
        "last_success_at": moment(stored.last_success_at) if stored else None,
        "last_error": stored and stored.last_failure and _failure(stored.last_failure),
        "breaker": takers.breaker_of(name),
        "concurrency": route and route.concurrency,
        "rate": None if route is None or route.rate is None else rate_text(route.rate),
        "spreading": _spreading(name, parts, own),
    }


def _spreading(name: str, parts: Parts, own: Mapping[DeliveryState, int]) -> str | None:
    """Return the pace of what has waited, while it is sent: not before its receiver wants any, and not any more once
    nothing waits.
    """
    pace = parts.lanes.spread_per_s(name)
    is_going = name in parts.takers and parts.takers.not_before(name) is None and own.get(DeliveryState.PENDING)
    return rate_text(round(pace, 1)) if pace is not None and is_going else None


def _failure(last: LastFailure) -> View:
    return {"at": moment(last.at), "delivery_id": last.delivery_id} | views.last_error(last.error)
