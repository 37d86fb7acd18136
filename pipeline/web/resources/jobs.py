"""Jobs: one with its ETag and waiting, its result, runs, deliveries and log lines, and the list of all."""

from functools import lru_cache, partial

import orjson
from aiohttp import web

from pipeline.model import Job, JobState
from pipeline.services.deliveries.standing import Takers
from pipeline.store.reading.jobs import JobView
from pipeline.web import views
from pipeline.web.answers import etag_of, is_match, json_answer, not_there, page
from pipeline.web.outcome import answer_of
from pipeline.web.parameters import (
    AFTER_LINE,
    BATCH,
    CREATED_AFTER,
    CURSOR,
    FOLLOW,
    FUNCTION,
    JOB_STATE,
    LAST,
    LIMIT,
    NUMBER_CURSOR,
    PARENT,
    TAG,
    UNTIL,
    WAIT,
)
from pipeline.web.parts import PARTS, Parts, base_url
from pipeline.web.resources import follow, known, owed
from pipeline.web.sharing import Sharing


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/jobs/{id}: the job; `?wait=` (seconds) holds the answer back until there is news.

    News is a changed ETag where If-None-Match names one, else the job's end; with `&until=settled` also the end of all
    its deliveries (a held one will not end by itself, and counts as settled). `?share=1h` adds a signed link that is
    good for so long.
    """
    parts, job_id = request.app[PARTS], request.match_info["id"]
    if request.query_string:
        return await _as_asked(request, parts, job_id)
    # As most ask, and often: with nothing to be read, and nobody to be woken up.
    view = await _view_of(request, parts, job_id)
    body, tag = _rendered(view, base_url(request, parts), parts.takers)
    return _job_answer(request, view.job, body, tag)


async def _as_asked(request: web.Request, parts: Parts, job_id: str) -> web.StreamResponse:
    seconds = WAIT.read(request)
    is_settling = UNTIL.read(request) == "settled"
    sharing = Sharing(request)
    until = parts.clock.monotonic() + seconds
    with parts.changes.subscribe(job_id) as changes:
        while True:
            view = await _view_of(request, parts, job_id)
            body, tag = _rendered(view, base_url(request, parts), parts.takers)
            if sharing.is_asked_for:
                body = orjson.dumps(sharing.added(orjson.loads(body)))
                tag = etag_of(body)
            left = until - parts.clock.monotonic()
            if left <= 0 or _is_news(request, view, tag, is_settling):
                return _job_answer(request, view.job, body, tag)
            await changes.next(left)


# Of a view that was read again unchanged nothing need be written anew.
@lru_cache(maxsize=1024)
def _rendered(view: JobView, base: str, takers: Takers) -> tuple[bytes, str]:
    body = orjson.dumps(views.job(view, base, takers))
    return body, etag_of(body)


def _is_news(request: web.Request, view: JobView, tag: str, is_settling: bool) -> bool:
    if "If-None-Match" in request.headers:
        return not is_match(request, tag)
    takers = request.app[PARTS].takers
    is_open = any(takers.goes_on(name, state) for name, state in view.deliveries)
    return view.job.state.is_final and not (is_settling and is_open)


def _job_answer(request: web.Request, job: Job, body: bytes, tag: str) -> web.Response:
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if not job.state.is_final:
        headers["Retry-After"] = "1"
    if is_match(request, tag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers | {"Content-Type": "application/json"})


async def view_of(request: web.Request, job_id: str) -> JobView:
    """Return a job as it is now; raises the 404 or 410 for one that is not there."""
    return await _view_of(request, request.app[PARTS], job_id)


async def _view_of(request: web.Request, parts: Parts, job_id: str) -> JobView:
    view = await parts.store.get_job(job_id)
    if view is None:
        raise not_there(request, "job", job_id)
    return parts.shown(view)


async def list_all(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/jobs: all jobs, newest first; `function`, `state` and `parent` narrow them."""
    parts = request.app[PARTS]
    limit, function = LIMIT.read(request), FUNCTION.read(request)
    state = JOB_STATE.read(request)
    found = await parts.store.list_jobs(
        before=CURSOR.read(request),
        most=limit + 1,
        function=function,
        state=JobState(state) if state else None,
        parent_id=PARENT.read(request),
        batch_id=BATCH.read(request),
        tag=TAG.read(request),
        since=CREATED_AFTER.read(request),
    )
    if not found:
        one = partial(parts.store.list_jobs, before=None, most=1, function=function)
        await known.check_function(request, function, one)
    now = [parts.shown(view) for view in found]
    items = [views.job(view, base_url(request, parts), parts.takers) for view in now]
    return page(request, items, limit, found[limit - 1].job.id if len(found) > limit else "")


async def result(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/jobs/{id}/result: the function's own status, headers and bytes, once there are any."""
    job = (await view_of(request, request.match_info["id"])).job
    if not job.state.is_final:
        headers = {"Retry-After": "1", "Location": f"/v1/jobs/{job.id}"}
        return json_answer({"id": job.id, "state": job.state}, 202, headers)
    response = await answer_of(request, job)
    tag = f'"{job.id}-{job.run}"'  # a run's result never changes
    if is_match(request, tag):
        return web.Response(status=304, headers={"ETag": tag})
    response.headers.setdefault("ETag", tag)
    return response


async def runs(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/jobs/{id}/runs: the runs of a job, oldest first, the current one last."""
    job = (await view_of(request, request.match_info["id"])).job
    limit = LIMIT.read(request)
    found = await request.app[PARTS].store.list_runs(job.id, after=NUMBER_CURSOR.read(request), most=limit + 1)
    items = [views.run(run) for run in found]
    current = views.current_run(job)
    # Between the two reads the run may have ended; then its own row is there already.
    if current is not None and len(items) <= limit and all(item["run"] != job.run for item in items):
        items.append(current)
    return page(request, items, limit, str(items[limit - 1]["run"]) if len(items) > limit else "")


async def logs(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/jobs/{id}/logs: the lines that its runs wrote, oldest first, those of the running run included;
    `?last=` shows the last ones alone, `?follow=1` streams them until the job ends.
    """
    parts = request.app[PARTS]
    job = (await view_of(request, request.match_info["id"])).job
    last_most = LAST.read(request)
    after = max(NUMBER_CURSOR.read(request), AFTER_LINE.read(request))
    limit = LIMIT.read(request)
    if last_most:
        last_lines = await follow.last_lines(parts, job, last_most)
        return json_answer({"items": [views.log_line(line) for line in last_lines], "next_cursor": None})
    if FOLLOW.read(request) == "1":
        return await follow.stream(request, job.id, after)
    found = await parts.store.list_log(job.id, after=after, most=limit + 1)
    found += await follow.running_lines(parts, job, found[-1].number if found else after, limit + 1 - len(found))
    last = str(found[limit - 1].number) if len(found) > limit else ""
    return page(request, [views.log_line(line) for line in found], limit, last)


async def deliveries(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/jobs/{id}/deliveries: the deliveries of a job, newest first."""
    parts = request.app[PARTS]
    job = (await view_of(request, request.match_info["id"])).job
    limit = LIMIT.read(request)
    found = await parts.store.list_deliveries(before=CURSOR.read(request), most=limit + 1, job_id=job.id)
    items = await owed.shown(request, found)
    return page(request, items, limit, found[limit - 1].id if len(found) > limit else "")
