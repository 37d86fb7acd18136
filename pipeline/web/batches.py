"""Batches: taking one in, and what there is to read and to ask of it."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from hashlib import sha256
from operator import itemgetter
from typing import Any

import orjson
from aiohttp import web

from pipeline.functions import wire
from pipeline.functions.catalog import Function
from pipeline.model import Batch, BatchLine, BatchState, JobDraft, Origin
from pipeline.services.batches import progress_of
from pipeline.shapes import batch_links, error, rfc3339
from pipeline.store.batches import Added
from pipeline.store.idempotency import IdempotencyKey
from pipeline.values import value_of
from pipeline.web import access, owed, uploads, views
from pipeline.web.answers import etag_of, is_match, json_answer, not_there, page
from pipeline.web.callbacks import destination_or_earlier
from pipeline.web.items import Item, Reject
from pipeline.web.parameters import (
    AFTER_INDEX,
    BATCH_STATE,
    CURSOR,
    FUNCTION,
    LIMIT,
    MOST,
    MOST_ITEMS,
    OF_FUNCTION,
    UNTIL,
    WAIT,
)
from pipeline.web.parts import PARTS, Parts, base_url, client_ip
from pipeline.web.problems import ProblemError
from pipeline.web.wishes import Wishes, check_timeout, trace_of, wishes_in

_NDJSON = "application/x-ndjson"
_REASONS = {
    Added.DIFFERENT: "another item was sent under this index before; a changed batch takes a new Idempotency-Key",
    Added.CLOSED: "the batch takes no items any more: it was cancelled, or has ended",
}
_FULL = "the function's queue is full; send the batch again later, with the same Idempotency-Key"


# Taking in


async def post(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/batches: 202 and the batch once its items are stored, with those that were rejected."""
    parts = request.app[PARTS]
    form = uploads.form_of(request)
    wishes = wishes_in(request.headers, parts.clock.now())
    if wishes.run_at is not None:
        raise ProblemError(400, "Bad header", "X-Job-Delay and X-Job-Run-At are for single jobs: a batch runs at once")
    document = await uploads.read_document(request) if form == "application/json" else None
    name = _function_name(request, document)
    access.check_function(request, name)
    function = parts.catalog.get(name)
    check_timeout(wishes, parts.config.functions.of(name).limit_s(is_background=function.is_background))
    batch_id, is_repeated = await _begin(parts, function, wishes, access.owner(request))
    rejected: list[Reject] = []
    async with aclosing(uploads.portions(request, form, document)) as found:  # type: ignore[type-var]  # a generator
        async for portion in found:
            items = [item for item in portion if isinstance(item, Item) and item.index < MOST_ITEMS]
            rejected += [reject for reject in portion if isinstance(reject, Reject)]
            rejected += _beyond(portion)
            rejected += await _add(request, parts, function, batch_id, items, wishes)
    await parts.batches.close(batch_id)
    view, _ = await _view(request, batch_id)
    listed = [{"index": each.index, "detail": each.detail, "pointer": each.pointer} for each in rejected]
    listed.sort(key=itemgetter("index"))
    headers = {"Location": f"/v1/batches/{batch_id}", "Retry-After": "1", "X-Batch-Id": batch_id}
    headers |= {"Idempotency-Replayed": "true"} if is_repeated else {}
    return json_answer(view | {"rejected": listed}, 202, headers)


def _function_name(request: web.Request, document: dict[str, Any] | None) -> str:
    named = OF_FUNCTION.read(request) or (document or {}).get("function")
    if not named:
        raise ProblemError(400, "No function", "name the function: POST /v1/batches?function=NAME")
    return str(named)


async def _begin(parts: Parts, function: Function, wishes: Wishes, owner: str | None) -> tuple[str, bool]:
    key = earlier = callback_to = None
    url = wishes.callback
    if wishes.key is not None:
        # Its items may differ from one time to the next, and are looked at one by one; where it calls may not.
        fingerprint = b"" if url is None else sha256(url.encode()).digest()
        key = IdempotencyKey(owner=owner or "", scope=f"batch:{function.name}", key=wishes.key, fingerprint=fingerprint)
    batch_id = parts.ids.new()
    if url is not None:
        earlier, callback_to = await destination_or_earlier(url, key, parts)
    if earlier is None:
        earlier = await parts.batches.begin(
            batch_id,
            function.name,
            owner=owner,
            priority=wishes.priority,
            key=key,
            traceparent=wishes.traceparent,
            callback=url,
            callback_to=callback_to,
        )
    if earlier is not None and not earlier.is_same:
        detail = "this Idempotency-Key names a batch with another X-Callback-Url: send that one, or take a new key"
        raise ProblemError(
            422, "Idempotency-Key reused", detail, headers={"Location": f"/v1/batches/{earlier.made_id}"}
        )
    return (batch_id, False) if earlier is None else (earlier.made_id, True)


def _beyond(portion: uploads.Portion) -> list[Reject]:
    detail = f"a batch holds at most {MOST_ITEMS} items; send the rest as another batch"
    return [
        Reject(index=item.index, detail=detail)
        for item in portion
        if isinstance(item, Item) and item.index >= MOST_ITEMS
    ]


async def _add(
    request: web.Request, parts: Parts, function: Function, batch_id: str, items: list[Item], wishes: Wishes
) -> list[Reject]:
    if not items:
        return []
    drafts = [_draft(request, parts, function, batch_id, item, wishes) for item in items]
    added = await parts.batches.add(batch_id, drafts)
    if added is None:
        return [Reject(index=item.index, detail=_FULL) for item in items]
    return [
        Reject(index=item.index, detail=_REASONS[became])
        for item, became in zip(items, added, strict=True)
        if became in _REASONS
    ]


def _draft(
    request: web.Request, parts: Parts, function: Function, batch_id: str, item: Item, wishes: Wishes
) -> JobDraft:
    job_id = parts.ids.new()
    path = f"/.netlify/functions/{function.name}"
    own_trace = [value for name, value in item.headers if name == "traceparent"]
    passed_on = [] if own_trace or wishes.traceparent is None else [("traceparent", wishes.traceparent)]
    event = wire.event_json(
        method="POST",
        path=path,
        raw_query="",
        raw_url=base_url(request, parts) + path,
        headers=[*access.without_keys(request, item.headers), *passed_on],
        body=item.body,
        request_id=job_id,
        client_ip=client_ip(request, parts),
        peer_ip=request.remote or "",
        body_limit=parts.config.service.body_limit,
    )
    draft = parts.worker.draft(job_id, function.name, event)
    return replace(
        draft,
        priority=wishes.priority,
        tags=tuple(dict.fromkeys((*wishes.tags, *item.tags))),
        timeout_s=wishes.timeout_s or draft.timeout_s,
        batch_id=batch_id,
        batch_index=item.index,
        origin=Origin(
            owner=access.owner(request),
            key=item.key,
            digest=item.digest,
            traceparent=trace_of(own_trace) if own_trace else wishes.traceparent,
        ),
    )


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
            view, batch = await _view(request, batch_id)
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
    return (await _view(request, batch_id))[1]


async def _view(request: web.Request, batch_id: str) -> tuple[views.View, Batch]:
    parts = request.app[PARTS]
    found = await parts.store.batches.get(batch_id)
    if found is None:
        raise not_there(request, "batch", batch_id)
    return shown(request, *found), found[0]


def shown(request: web.Request, batch: Batch, running: int) -> views.View:
    """Return a batch as it is shown."""
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
        "progress": {"done": batch.ended, "total": batch.total, "note": None},
        "eta_s": None if eta_s is None else round(eta_s, 1),
        "callback": views.callback(batch.callback),
        "created_at": rfc3339(batch.created_at),
        "ended_at": views.moment(batch.ended_at),
        "links": batch_links(base_url(request, parts), batch.id),
    }


async def list_all(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/batches: batches, newest first."""
    limit = LIMIT.read(request)
    state = BATCH_STATE.read(request)
    found = await request.app[PARTS].store.batches.list_all(
        before=CURSOR.read(request),
        most=limit + 1,
        function=FUNCTION.read(request),
        state=BatchState(state) if state else None,
    )
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
    return json_answer((await _view(request, batch.id))[0], 202, {"Location": f"/v1/batches/{batch.id}"})


async def retry_failed(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/batches/{id}/retry-failed: 202 and the batch, whose failed and expired jobs are queued again."""
    batch = await view_of(request, request.match_info["id"])
    if not await request.app[PARTS].batches.retry_failed(batch):
        detail = f"the batch is {batch.state}: none of its jobs has failed or expired"
        raise ProblemError(409, "Nothing failed", detail, state=batch.state)
    return json_answer((await _view(request, batch.id))[0], 202, {"Location": f"/v1/batches/{batch.id}"})
