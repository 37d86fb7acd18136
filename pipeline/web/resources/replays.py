"""Replays of destinations: begun, counted, watched, cancelled."""

from collections import Counter
from datetime import datetime
from typing import Any

from aiohttp import web

from pipeline.model import Replay, ReplayOf, ReplayState
from pipeline.shapes import moment_or_span_of
from pipeline.web import documents
from pipeline.web.answers import json_answer, not_there, page
from pipeline.web.parameters import CURSOR, LIMIT
from pipeline.web.parts import PARTS, Parts, base_url
from pipeline.web.problems import ProblemError
from pipeline.web.resources import destinations
from pipeline.web.views import View, delivery_counts, moment

RATE = "50/s"


async def begin(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/destinations/{name}/replay: 202 and the replay, which sends again what the destination was owed
    in a span of time, a few at a time, also over restarts; of a dry run 200, and how many there are.
    """
    parts, name = request.app[PARTS], request.match_info["name"]
    await destinations.routed(request, "there is nothing to replay to until it is in the configuration again")
    document = await documents.read(request, "replay-request")
    replay = _made(parts, name, document)
    if document.get("dry_run"):
        return json_answer(_counts(replay, await parts.replays.count(replay)))
    if (other := await parts.replays.begin(replay)) is not None:
        detail = f"replay {other.id} of {name} is running: wait until it has ended, or cancel it"
        raise ProblemError(409, "Replay running", detail, state=other.state)
    return json_answer(await _shown(request, replay), 202, {"Location": f"/v1/replays/{replay.id}"})


async def list_all(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/replays: the replays of all destinations, newest first."""
    return await _page(request, None)


async def of_destination(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/destinations/{name}/replays: the replays of a destination, newest first."""
    name = request.match_info["name"]
    answer = await _page(request, name)
    if not await request.app[PARTS].store.replays.list_all(before=None, most=1, destination=name):
        await destinations.known(request)  # what is not there at all is 404; one that has gone may have had some
    return answer


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/replays/{id}: a replay, how far it got, and what became of the deliveries that it opened."""
    return json_answer(await _shown(request, await _found(request)))


async def cancel(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/replays/{id}/cancel: 202 and the replay, which opens nothing more. What it has opened is sent."""
    parts, found = request.app[PARTS], await _found(request)
    if not await parts.replays.cancel(found):
        state = (await _found(request)).state
        raise ProblemError(
            409, "Wrong state", f"the replay is {state}: only a running one can be cancelled", state=state
        )
    shown = await _shown(request, await _found(request))
    return json_answer(shown, 202, {"Location": f"/v1/replays/{found.id}"})


async def _shown(request: web.Request, replay: Replay) -> View:
    """Return a replay with what became of the deliveries that it opened, which lists do not count."""
    parts = request.app[PARTS]
    counts = await parts.store.replays.opened_by(replay.id)
    return _view(replay, base_url(request, parts)) | {"deliveries": delivery_counts(counts, parts.takers)}


def _made(parts: Parts, destination: str, document: dict[str, Any]) -> Replay:
    now = parts.clock.now()
    since, until = _moment(document, "since", now) or now, _moment(document, "until", now)
    if since >= now:  # as `0h` is: nothing has come to be owed since
        raise documents.refused(f"expected a moment that has passed, got {moment(since)}: it is {moment(now)}", "since")
    if until is not None and until < since:
        raise documents.refused(
            f"expected a moment not before `since`, which is {moment(since)}, got {moment(until)}", "until"
        )
    return Replay(
        id=parts.ids.new(),
        destination=destination,
        since=since,
        until=min(until or now, now),
        of=frozenset(map(ReplayOf, document.get("states", [ReplayOf.DEAD]))),
        rate=document.get("rate", RATE),
        is_renewing=document.get("new_id", False),
        state=ReplayState.RUNNING,
        created_at=now,
    )


def _moment(document: dict[str, Any], field: str, now: datetime) -> datetime | None:
    if field not in document:
        return None
    at = moment_or_span_of(document[field], now)
    assert at is not None  # the schema's formats are checked by the same readers
    return at


async def _page(request: web.Request, destination: str | None) -> web.Response:
    parts, limit = request.app[PARTS], LIMIT.read(request)
    found = await parts.store.replays.list_all(before=CURSOR.read(request), most=limit + 1, destination=destination)
    items = [_view(value, base_url(request, parts)) for value in found]
    return page(request, items, limit, found[limit - 1].id if len(found) > limit else "")


async def _found(request: web.Request) -> Replay:
    replay_id = request.match_info["id"]
    found = await request.app[PARTS].store.replays.get(replay_id)
    if found is None:
        raise not_there(request, "replay", replay_id)
    return found


def _counts(replay: Replay, counts: Counter[ReplayOf]) -> View:
    return {
        "destination": replay.destination,
        "since": moment(replay.since),
        "until": moment(replay.until),
        "states": {each.value: counts[each] for each in _in_order(replay)},
        "total": counts.total(),
    }


def _view(value: Replay, base: str) -> View:
    own = f"{base}/v1/replays/{value.id}"
    return {
        "id": value.id,
        "destination": value.destination,
        "since": moment(value.since),
        "until": moment(value.until),
        "states": _in_order(value),
        "rate": value.rate,
        "new_id": value.is_renewing,
        "state": value.state,
        "total": value.total,
        "done": value.done,
        "skipped": value.skipped,
        "created_at": moment(value.created_at),
        "ended_at": moment(value.ended_at),
        "links": {
            "self": own,
            "destination": f"{base}/v1/destinations/{value.destination}",
            "cancel": f"{own}/cancel",
        },
    }


def _in_order(replay: Replay) -> list[ReplayOf]:
    return [each for each in ReplayOf if each in replay.of]
