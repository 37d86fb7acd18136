"""Submissions: taking a batch in, piece by piece."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from hashlib import sha256
from operator import attrgetter
from typing import Any

from aiohttp import web

from pipeline.functions import wire
from pipeline.functions.catalog import Function
from pipeline.model import JobDraft, Origin, Reject
from pipeline.store.transactions.batches import Added
from pipeline.store.transactions.idempotency import Earlier, IdempotencyKey
from pipeline.web import access
from pipeline.web.answers import json_answer
from pipeline.web.invocations import uploads
from pipeline.web.invocations.callbacks import destination_or_earlier
from pipeline.web.invocations.items import Item
from pipeline.web.invocations.wishes import Wishes, check_timeout, trace_of, wishes_in
from pipeline.web.parameters import MOST_ITEMS, OF_FUNCTION
from pipeline.web.parts import PARTS, Parts, base_url, client_ip
from pipeline.web.problems import ProblemError
from pipeline.web.resources import batches

_REASONS = {
    Added.DIFFERENT: "another item was sent under this index before; a changed batch takes a new Idempotency-Key",
    Added.CLOSED: "the batch takes no items any more: it was cancelled, or has ended",
}
_EMPTY = (
    'there is no item in it: send NDJSON, an item such as {"body": ...} a line, one document {"items": [...]}, or files'
)
_MOST_REJECTED = 2 * MOST_ITEMS
"""An upload of which more can be in no batch is broken off: each of these is kept until it is answered."""
_FULL = "the function's queue is full; send the batch again later, with the same Idempotency-Key"
_TOO_MANY = (
    f"more than {_MOST_REJECTED:,} of its items are none, or are more than a batch holds, which is {MOST_ITEMS:,}: the "
    "rest was not read"
)

Begin = Callable[[], Awaitable[tuple[str, bool]]]
"""What stores a batch, unless its key has made one; it returns the id, and whether that was so."""


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
    begin = await _beginning(parts, function, wishes, access.owner(request))
    async with aclosing(uploads.portions(request, form, document)) as found:  # type: ignore[type-var]  # a generator
        batch_id, is_repeated, rejected = await _take_in(request, function, wishes, begin, found)
    await parts.batches.close(batch_id, rejected)
    view, _ = await batches.seen(request, batch_id)
    headers = {"Location": f"/v1/batches/{batch_id}", "Retry-After": "1", "X-Batch-Id": batch_id}
    headers |= {"Idempotency-Replayed": "true"} if is_repeated else {}
    return json_answer(view | {"rejected": batches.listed(rejected)}, 202, headers)


async def _take_in(
    request: web.Request, function: Function, wishes: Wishes, begin: Begin, found: AsyncIterator[uploads.Portion]
) -> tuple[str, bool, list[Reject]]:
    """Store what comes; return the batch's id, whether it was there before, and what is not in it, by index.

    It is begun with the first that comes: of an upload without items nothing is left.
    """
    parts, begun, rejected = request.app[PARTS], None, list[Reject]()
    try:
        async for portion in found:
            begun = begun or await begin()
            items = [item for item in portion if isinstance(item, Item) and item.index < MOST_ITEMS]
            rejected += [reject for reject in portion if isinstance(reject, Reject)]
            rejected += _beyond(portion)
            rejected += await _add(request, parts, function, begun[0], items, wishes)
            if len(rejected) > _MOST_REJECTED:
                raise ProblemError(413, "Too many items", _TOO_MANY)
    except ProblemError:
        if begun is not None:
            await parts.batches.cut_off(begun[0], _by_index(rejected))
        raise
    if begun is None:
        raise ProblemError(400, "No items", _EMPTY)
    return *begun, _by_index(rejected)


def _by_index(rejected: list[Reject]) -> list[Reject]:
    return sorted(rejected, key=attrgetter("index"))


def _function_name(request: web.Request, document: dict[str, Any] | None) -> str:
    named = OF_FUNCTION.read(request) or (document or {}).get("function")
    if not named:
        raise ProblemError(400, "No function", "name the function: POST /v1/batches?function=NAME")
    return str(named)


async def _beginning(parts: Parts, function: Function, wishes: Wishes, owner: str | None) -> Begin:
    """Check what can be checked before anything is read; return what begins the batch."""
    parts.intake.admit(function.name)
    key = earlier = callback_to = None
    url = wishes.callback
    if wishes.key is not None:
        # Its items may differ from one time to the next, and are looked at one by one; where it calls may not.
        fingerprint = b"" if url is None else sha256(url.encode()).digest()
        key = IdempotencyKey(owner=owner or "", scope=f"batch:{function.name}", key=wishes.key, fingerprint=fingerprint)
    batch_id = parts.ids.new()
    if url is not None:
        earlier, callback_to = await destination_or_earlier(url, key, parts)
    return partial(
        _begun,
        batch_id,
        earlier,
        partial(
            parts.batches.begin,
            batch_id,
            function.name,
            owner=owner,
            priority=wishes.priority,
            key=key,
            traceparent=wishes.traceparent,
            callback=url,
            callback_to=callback_to,
        ),
    )


async def _begun(
    batch_id: str, earlier: Earlier | None, begin: Callable[[], Awaitable[Earlier | None]]
) -> tuple[str, bool]:
    earlier = earlier or await begin()
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
