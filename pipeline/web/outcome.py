"""What an ended job answers: the function's own status, headers and bytes, or why there are none."""

from aiohttp import web

from pipeline.model import Job, JobState
from pipeline.shapes import error
from pipeline.web.answers import replay
from pipeline.web.parts import PARTS
from pipeline.web.problems import ProblemError


async def answer_of(request: web.Request, job: Job) -> web.Response:
    """Return the answer of a job that has ended; raises the problem that stands for a result that is not there."""
    found = await request.app[PARTS].store.get_result(job.id)
    if found is None:
        raise _no_result(job)
    response = replay(found)
    response.headers["X-Job-Id"] = job.id
    return response


def _no_result(job: Job) -> ProblemError:
    headers = {"X-Job-Id": job.id, "Location": f"/v1/jobs/{job.id}"}
    if job.state is JobState.FAILED:
        detail = job.error.message if job.error else f"the job failed ({job.reason})"
        return ProblemError(
            502, "The job failed", detail, headers=headers, reason=job.reason, **(error(job.error) or {})
        )
    detail = f"the job is {job.state}: it has no result"
    return ProblemError(409, "No result", detail, headers=headers, state=job.state)
