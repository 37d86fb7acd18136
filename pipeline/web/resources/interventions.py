"""What may be asked of a job that is there: cancel, try again, replay, delete."""

from typing import assert_never

from aiohttp import web

from pipeline.model import Job
from pipeline.store.transactions.interventions import Deletion
from pipeline.web import access, views
from pipeline.web.answers import json_answer, not_there
from pipeline.web.invocations.accepting import accepted
from pipeline.web.invocations.wishes import NO_PREFERENCES
from pipeline.web.parts import PARTS, base_url
from pipeline.web.problems import ProblemError
from pipeline.web.resources.jobs import view_of


async def cancel(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/jobs/{id}/cancel: 202 and the job; a run under way is ended as at its time limit."""
    job = (await view_of(request, request.match_info["id"])).job
    if not await request.app[PARTS].interventions.cancel(job):
        raise await _wrong_state(request, job.id, "only a job that has not ended can be cancelled")
    return await _now(request, job.id)


async def retry(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/jobs/{id}/retry: 202 and the job, which is queued again, in its next round."""
    job = (await view_of(request, request.match_info["id"])).job
    if not await request.app[PARTS].interventions.retry(job):
        detail = "only a job that failed, was cancelled or expired can be tried again; replay makes a new one"
        raise await _wrong_state(request, job.id, detail)
    return await _now(request, job.id)


async def replay(request: web.Request) -> web.StreamResponse:
    """Answer POST /v1/jobs/{id}/replay: 202 and a new job, with the event of this one."""
    parts = request.app[PARTS]
    job = (await view_of(request, request.match_info["id"])).job
    draft = await parts.interventions.replay(job, access.owner(request))
    return accepted(request, parts, draft, parts.clock.now(), NO_PREFERENCES)


async def delete(request: web.Request) -> web.StreamResponse:
    """Answer DELETE /v1/jobs/{id}: 204 once the job is gone, with all that belongs to it."""
    job_id = request.match_info["id"]
    match await request.app[PARTS].interventions.delete(job_id):
        case Deletion.DONE:
            return web.Response(status=204)
        case Deletion.UNKNOWN:
            raise not_there(request, "job", job_id)
        case Deletion.NOT_ENDED:
            raise await _wrong_state(request, job_id, "only a job that has ended can be deleted; cancel it first")
        case Deletion.OWES:
            detail = "a delivery of the job is still open; wait until it is delivered or dead (?until=settled)"
            raise await _wrong_state(request, job_id, detail)
        case never:
            assert_never(never)


async def _now(request: web.Request, job_id: str) -> web.Response:
    parts, view = request.app[PARTS], await view_of(request, job_id)
    headers = {"Location": f"/v1/jobs/{job_id}"} | ({} if view.job.state.is_final else {"Retry-After": "1"})
    return json_answer(views.job(view, base_url(request, parts), parts.takers), 202, headers)


async def _wrong_state(request: web.Request, job_id: str, detail: str) -> ProblemError:
    job: Job = (await view_of(request, job_id)).job
    return ProblemError(409, "Wrong state", f"the job is {job.state}: {detail}", state=job.state)
