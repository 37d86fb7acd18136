"""Waiting for a job to end, as long as a caller will."""

from pipeline.store.reading.jobs import JobView
from pipeline.web.parts import Parts


async def until_final(parts: Parts, job_id: str, seconds: float) -> JobView | None:
    """Return a job once it has ended, or as it is after `seconds`; None for one that is not there."""
    until = parts.clock.monotonic() + seconds
    with parts.changes.subscribe(job_id) as changes:
        while True:
            view = await parts.store.get_job(job_id)
            left = until - parts.clock.monotonic()
            if view is None or view.job.state.is_final or left <= 0:
                return view
            await changes.next(left)
