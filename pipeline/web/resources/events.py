"""Event streams of jobs and batches (server-sent events): what a page, or a terminal, shows live.

job        the job, whole: first of all, and whenever it has changed
delivery   one of its deliveries, whole, whenever that has changed
log        a line that a run wrote; its number is the event's id, where a reader that was cut off goes on
batch      the batch, whole, a few times a second at the most
settled    nothing more will come; the stream ends
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from pipeline.store.reading.jobs import JobView
from pipeline.web import views
from pipeline.web.invocations.wishes import bad_header
from pipeline.web.parameters import AFTER_LINE, MOST
from pipeline.web.parts import PARTS, Parts, base_url
from pipeline.web.resources import batches, owed
from pipeline.web.resources.follow import KEEPALIVE_S, lines_of, streamed
from pipeline.web.resources.jobs import view_of

_TYPE = "text/event-stream"
_PING = b": ping\n\n"
_SETTLED = b"event: settled\ndata: {}\n\n"
_QUEUED = 16
_PAUSE_S = 0.25
"""A batch of ten thousand jobs changes more often than anybody can see."""

Put = Callable[[bytes], Awaitable[None]]
Events = AsyncGenerator[bytes, None]


async def job(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/jobs/{id}/events: the job and all that changes, until no delivery of it is open.

    `Last-Event-ID` (or `?after=`) names the last log line that was seen.
    """
    job_id = (await view_of(request, request.match_info["id"])).job.id
    after = _last_seen(request)
    return await streamed(request, _TYPE, _of_job(request, job_id, after))


async def batch(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/batches/{id}/events: the batch whenever it has changed, until it has ended."""
    batch_id = (await batches.view_of(request, request.match_info["id"])).id
    return await streamed(request, _TYPE, _of_batch(request, batch_id))


def _last_seen(request: web.Request) -> int:
    after = AFTER_LINE.read(request)
    text = request.headers.get("Last-Event-ID")
    if not text:
        return after
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise bad_header("Last-Event-ID", f"expected the number of a log line, got {text!r}")
    return int(text)


async def _of_job(request: web.Request, job_id: str, after: int) -> Events:
    tellers = (partial(_tell_state, request, job_id), partial(_tell_lines, request.app[PARTS], job_id, after))
    async with _merged(*tellers) as events:
        async for event in events:
            yield event
    yield _SETTLED


async def _tell_state(request: web.Request, job_id: str, put: Put) -> None:
    parts = request.app[PARTS]
    seen: dict[str, bytes] = {}
    with parts.changes.subscribe(job_id) as changes:
        while True:
            view = await parts.store.get_job(job_id)
            if view is None:
                return
            view = parts.shown(view)
            for kind, key, value in await _parts_of(request, view):
                data = orjson.dumps(value)
                if seen.get(key) != data:
                    seen[key] = data
                    await put(_event(kind, data))
            is_open = any(parts.takers.goes_on(name, state) for name, state in view.deliveries)
            if (view.job.state.is_final and not is_open) or parts.pool.watches.is_closed:
                return
            if not await changes.next(KEEPALIVE_S):
                await put(_PING)


async def _parts_of(request: web.Request, view: JobView) -> list[tuple[str, str, Any]]:
    parts = request.app[PARTS]
    found = await parts.store.list_deliveries(before=None, most=MOST, job_id=view.job.id) if view.deliveries else []
    return [
        ("job", "job", views.job(view, base_url(request, parts), parts.takers)),
        *(("delivery", each["id"], each) for each in await owed.shown(request, found[::-1])),
    ]


async def _tell_lines(parts: Parts, job_id: str, after: int, put: Put) -> None:
    async with aclosing(lines_of(parts, job_id, after)) as found:
        async for lines in found:
            if lines:
                await put(b"".join([_event("log", orjson.dumps(views.log_line(line)), line.number) for line in lines]))


async def _of_batch(request: web.Request, batch_id: str) -> Events:
    parts = request.app[PARTS]
    seen = b""
    with parts.changes.subscribe(batch_id) as changes:
        while True:
            found = await parts.store.batches.get(batch_id)
            if found is None:
                break
            shown = batches.shown(request, *found)
            if (facts := orjson.dumps(shown | {"eta_s": None})) != seen:
                seen = facts
                yield _event("batch", orjson.dumps(shown))
            if found[0].state.is_final or parts.pool.watches.is_closed:
                break
            await parts.clock.sleep(_PAUSE_S)
            if not await changes.next(KEEPALIVE_S):
                yield _PING
    yield _SETTLED


def _event(kind: str, data: bytes, number: int | None = None) -> bytes:
    number_line = b"" if number is None else b"id: %d\n" % number
    return b"event: %b\n%bdata: %b\n\n" % (kind.encode(), number_line, data)


@asynccontextmanager
async def _merged(*tellers: Callable[[Put], Awaitable[None]]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Run tellers beside each other; yield what they tell until all of them are done."""
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUED)

    async def run() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for tell in tellers:
                    group.create_task(tell(queue.put))  # type: ignore[arg-type]  # they are coroutines
        finally:
            await queue.put(None)

    async def told() -> AsyncIterator[bytes]:
        while (event := await queue.get()) is not None:
            yield event
        await running

    running = asyncio.ensure_future(run())
    try:
        yield told()
    finally:
        running.cancel()
        while not queue.empty():
            queue.get_nowait()  # a teller may be waiting for room
        await asyncio.gather(running, return_exceptions=True)
