"""Accepting a job: the 202, the same again for a repeated key, and the answer itself for a caller who waits for it."""

from dataclasses import replace
from datetime import datetime
from hashlib import sha256

import orjson
from aiohttp import web

from pipeline import links
from pipeline.functions.catalog import Function
from pipeline.ids import made_at
from pipeline.model import JobDraft, Origin
from pipeline.store.transactions.idempotency import Earlier, IdempotencyKey
from pipeline.web import access, views
from pipeline.web.invocations.callbacks import destination_or_earlier
from pipeline.web.invocations.waiting import until_final
from pipeline.web.invocations.wishes import NO_PREFERENCES, NO_WISHES, Preferences, Wishes, check_timeout, wishes_in
from pipeline.web.outcome import answer_of
from pipeline.web.parts import PARTS, Parts, base_url
from pipeline.web.problems import ProblemError


async def accept(
    request: web.Request, function: Function, job_id: str, event: bytes, body: bytes, preferences: Preferences
) -> web.StreamResponse:
    """Make a job of an invocation and answer 202; with `wait` its own answer, if that is there in time."""
    parts = request.app[PARTS]
    wishes = wishes_in(request.headers, parts.clock.now())
    key = None if wishes.key is None else _key_of(request, function, wishes, body)
    origin = Origin(owner=access.owner(request), traceparent=wishes.traceparent)
    earlier = None
    if wishes.callback is not None:
        earlier, callback_to = await destination_or_earlier(wishes.callback, key, parts)
        origin = replace(origin, callback=wishes.callback, callback_to=callback_to)
    draft = _with_wishes(parts.worker.draft(job_id, function.name, event, origin=origin), wishes)
    if key is None:
        created_at = await parts.intake.accept(draft)
    else:
        if earlier is None:
            created_at, earlier = await parts.intake.accept_once(draft, key)
        if earlier is not None:
            draft, created_at = await _of_earlier(parts, draft, earlier)
    if preferences.wait_s:
        view = await until_final(parts, draft.id, preferences.wait_s)
        if view is not None and view.job.state.is_final:
            response = await answer_of(request, view.job)
            link = access.link_for_maker(request, draft.id)
            # The answer itself is not made shorter.
            response.headers.update(_job_headers(draft.id, replace(preferences, is_minimal=False), earlier, link))
            return response
    return accepted(request, parts, draft, created_at, preferences, earlier)


def accepted(
    request: web.Request,
    parts: Parts,
    draft: JobDraft,
    created_at: datetime,
    preferences: Preferences,
    earlier: Earlier | None = None,
) -> web.Response:
    """Return the 202 of a job."""
    link = access.link_for_maker(request, draft.id)
    headers = {"Retry-After": "1", "Cache-Control": "no-store"} | _job_headers(draft.id, preferences, earlier, link)
    if preferences.is_minimal:
        return web.Response(status=202, headers=headers)
    is_scheduled = draft.run_at is not None
    body = views.accepted(
        base_url(request, parts), draft.id, draft.function, draft.max_attempts, created_at, is_scheduled=is_scheduled
    )
    if link is not None:
        body["links"] |= {name: links.with_signature(body["links"][name], link) for name in ("self", "result")}
    headers["Content-Type"] = "application/json"
    return web.Response(status=202, body=orjson.dumps(body), headers=headers)


def _job_headers(job_id: str, preferences: Preferences, earlier: Earlier | None, link: str | None) -> dict[str, str]:
    location = f"/v1/jobs/{job_id}"
    headers = {
        "Location": location if link is None else links.with_signature(location, link),
        "X-Job-Id": job_id,
        "X-Call-Id": job_id,
        "x-nf-request-id": job_id,
        "Vary": "Prefer",
    }
    if preferences is not NO_PREFERENCES and (applied := preferences.applied):
        headers["Preference-Applied"] = applied
    if earlier is not None:
        headers["Idempotency-Replayed"] = "true"
    return headers


def _with_wishes(draft: JobDraft, wishes: Wishes) -> JobDraft:
    if wishes is NO_WISHES:  # as almost always
        return draft
    check_timeout(wishes, draft.timeout_s)
    return replace(
        draft,
        run_at=wishes.run_at,
        priority=wishes.priority,
        tags=wishes.tags,
        timeout_s=wishes.timeout_s or draft.timeout_s,
    )


def _key_of(request: web.Request, function: Function, wishes: Wishes, body: bytes) -> IdempotencyKey:
    line = [request.method, request.raw_path, *([wishes.callback] if wishes.callback else [])]
    fingerprint = sha256(b"%b\n" % " ".join(line).encode(errors="surrogateescape"))
    fingerprint.update(body)
    return IdempotencyKey(
        owner=access.owner(request) or "",
        scope=f"job:{function.name}",
        key=wishes.key or "",
        fingerprint=fingerprint.digest(),
    )


async def _of_earlier(parts: Parts, draft: JobDraft, earlier: Earlier) -> tuple[JobDraft, datetime]:
    """Return what the 202 of an earlier request said; raise the 422 for another request with the same key."""
    if not earlier.is_same:
        detail = "this Idempotency-Key was used for another request: a new request takes a new key"
        raise ProblemError(422, "Idempotency-Key reused", detail, headers={"Location": f"/v1/jobs/{earlier.made_id}"})
    view = await parts.store.get_job(earlier.made_id)
    if view is None:  # deleted since
        return replace(draft, id=earlier.made_id), made_at(earlier.made_id)
    job = view.job
    is_scheduled = job.due_at > job.created_at and job.run == 0
    run_at = job.due_at if is_scheduled else None
    return replace(draft, id=job.id, max_attempts=job.max_attempts, run_at=run_at), job.created_at
