"""Batches: what there is to read and to ask of one; `submissions` take them in."""

from collections.abc import AsyncIterator, Sequence
from functools import partial

import orjson
from aiohttp import web

from pipeline.model import Batch, BatchLine, BatchState, Reject
from pipeline.services.batches import progress_of
from pipeline.shapes import batch_links, error, rfc3339
from pipeline.values import value_of
from pipeline.web import views
from pipeline.web.answers import etag_of, is_match, json_answer, not_there, page
from pipeline.web.parameters import (
    AFTER_INDEX,
    BATCH_STATE,
    CURSOR,
    FUNCTION,
    LIMIT,
    MOST,
    UNTIL,
    WAIT,
)
from pipeline.web.parts import PARTS, Parts, base_url
from pipeline.web.problems import ProblemError
from pipeline.web.resources import known, owed

_NDJSON = "application/x-ndjson"


# Reading


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/batches/{id}: the batch; `?wait=` (seconds) holds the answer back until there is news.

    News is a changed ETag where If-None-Match names one, else the batch's end; with `&until=settled` also the end of
    its own deliveries. The time that is left is not news.
    """
    parts = request.app[PARTS]
    seconds = WAIT.read(request)
    is_settling = UNTIL.read(request) == "settled"
    batch_id = request.match_info["id"]
    until = parts.clock.monotonic() + seconds
    with parts.changes.subscribe(batch_id) as changes:
        while True:
            view, batch = await seen(request, batch_id)
            tag = etag_of(orjson.dumps(view | {"eta_s": None}))
            left = until - parts.clock.monotonic()
            if left <= 0 or await _is_news(request, batch, tag, is_settling=is_settling):
                break
            await changes.next(left)
    headers = {"ETag": tag, "Cache-Control": "no-cache"} | ({} if batch.state.is_final else {"Retry-After": "1"})
    if is_match(request, tag):
        return web.Response(status=304, headers=headers)
    return json_answer(view, 200, headers)


async def _is_news(request: web.Request, batch: Batch, tag: str, *, is_settling: bool) -> bool:
    if "If-None-Match" in request.headers:
        return not is_match(request, tag)
    if not batch.state.is_final:
        return False
    return not is_settling or not await _owes(request.app[PARTS], batch.id)


async def _owes(parts: Parts, batch_id: str) -> bool:
    found = await parts.store.list_deliveries(before=None, most=MOST, job_id=batch_id)
    return any(parts.takers.goes_on(each.destination, each.state) for each in found)


async def view_of(request: web.Request, batch_id: str) -> Batch:
    """Return a batch as it is now; raises the 404 or 410 for one that is not there."""
    return (await seen(request, batch_id))[1]


async def seen(request: web.Request, batch_id: str) -> tuple[views.View, Batch]:
    """Return a batch as it is shown now, and the batch; raises the 404 or 410 for one that is not there."""
    parts = request.app[PARTS]
    found = await parts.store.batches.get(batch_id)
    if found is None:
        raise not_there(request, "batch", batch_id)
    batch, running = found
    view = shown(request, batch, running)
    first = await parts.store.batches.list_rejected(batch_id) if batch.rejected_total else ()
    return view | {"rejected": listed(first)}, batch


def listed(rejected: Sequence[Reject]) -> list[views.View]:
    """Return the items that are not in a batch as they are shown."""
    return [{"index": each.index, "detail": each.detail, "pointer": each.pointer} for each in rejected]


def shown(request: web.Request, batch: Batch, running: int) -> views.View:
    """Return a batch as it is shown, but for the items that are not in it."""
    parts = request.app[PARTS]
    waiting, eta_s = progress_of(batch, running, parts.clock.now())
    return {
        "id": batch.id,
        "function": batch.function,
        "state": batch.state,
        "total": batch.total,
        "open": waiting,
        "running": running,
        "succeeded": batch.succeeded,
        "failed": batch.failed,
        "cancelled": batch.cancelled,
        "expired": batch.expired,
        "rejected_total": batch.rejected_total,
        "progress": {"done": batch.ended, "total": batch.total, "note": None},
        "eta_s": None if eta_s is None else round(eta_s, 1),
        "callback": views.callback(batch.callback),
        "created_at": rfc3339(batch.created_at),
        "ended_at": views.moment(batch.ended_at),
        "links": batch_links(base_url(request, parts), batch.id),
    }


async def list_all(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/batches: batches, newest first."""
    parts = request.app[PARTS]
    limit, function = LIMIT.read(request), FUNCTION.read(request)
    state = BATCH_STATE.read(request)
    found = await parts.store.batches.list_all(
        before=CURSOR.read(request),
        most=limit + 1,
        function=function,
        state=BatchState(state) if state else None,
    )
    if not found:
        one = partial(parts.store.batches.list_all, before=None, most=1, function=function)
        await known.check_function(request, function, one)
    items = [shown(request, batch, running) for batch, running in found]
    return page(request, items, limit, found[limit - 1][0].id if len(found) > limit else "")


async def deliveries(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/batches/{id}/deliveries: what the batch itself owes, newest first; not what its jobs owe."""
    parts = request.app[PARTS]
    batch = await view_of(request, request.match_info["id"])
    limit = LIMIT.read(request)
    found = await parts.store.list_deliveries(before=CURSOR.read(request), most=limit + 1, job_id=batch.id)
    items = await owed.shown(request, found)
    return page(request, items, limit, found[limit - 1].id if len(found) > limit else "")


async def results(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/batches/{id}/results: a line of JSON for each job that has ended, by index.

    `?after=` (an index) leaves out what stands before; of a batch that still runs, what has ended so far comes.
    """
    batch = await view_of(request, request.match_info["id"])
    after = AFTER_INDEX.read(request)
    headers = {"Content-Type": _NDJSON, "Cache-Control": "no-store", "X-Batch-State": batch.state}
    if request.method == "HEAD":
        return web.Response(headers=headers)
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    async for piece in _lines(request.app[PARTS], batch.id, after):
        await response.write(piece)
    await response.write_eof()
    return response


async def _lines(parts: Parts, batch_id: str, after: int) -> AsyncIterator[bytes]:
    while lines := await parts.store.batches.list_lines(batch_id, after=after, most=100):
        after = lines[-1].index
        yield b"".join([orjson.dumps(_line(line)) + b"\n" for line in lines if line.state.is_final])


def _line(line: BatchLine) -> views.View:
    shown_line = {
        "index": line.index,
        "key": line.key,
        "job_id": line.job_id,
        "state": line.state,
        "reason": line.reason,
    }
    if line.result is not None:
        return shown_line | value_of(line.result).members
    return shown_line | {"error": error(line.error)}


# What may be asked


async def cancel(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/batches/{id}/cancel: 202 and the batch; what runs is ended as at its time limit."""
    batch = await view_of(request, request.match_info["id"])
    if not await request.app[PARTS].batches.cancel(batch):
        raise ProblemError(409, "Wrong state", f"the batch is {batch.state}: it has ended", state=batch.state)
    return json_answer((await seen(request, batch.id))[0], 202, {"Location": f"/v1/batches/{batch.id}"})


async def retry_failed(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/batches/{id}/retry-failed: 202 and the batch, whose failed and expired jobs are queued again."""
    batch = await view_of(request, request.match_info["id"])
    if not await request.app[PARTS].batches.retry_failed(batch):
        detail = f"the batch is {batch.state}: none of its jobs has failed or expired"
        raise ProblemError(409, "Nothing failed", detail, state=batch.state)
    return json_answer((await seen(request, batch.id))[0], 202, {"Location": f"/v1/batches/{batch.id}"})
