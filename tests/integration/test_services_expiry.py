"""`max_age`: a job that is not started in time ends, `on_failure` hears of it, and nothing else is held up by it."""

import asyncio
import json
from pathlib import Path

from destinations.function import Settings as FunctionDestination
from pipeline.config.settings import DestinationSettings, FunctionSettings, RetrySpec, Target
from tests.support.receiver import OK, receiving
from tests.support.service import QUICK, WAITING, Service, eventually, holds, sends_to, serving, webhook

FILES = {"waiting-background.py": WAITING}
FAILING = """
    def handler(event, context):
        raise ValueError("not yet")
    """


def limited(*destinations: str, max_age: float | None = 10.0, **changes: object) -> dict[str, FunctionSettings]:
    """Return settings under which one job runs, and the others wait for at most ten seconds."""
    return {"waiting-background": sends_to(*destinations, concurrency=1, max_age=max_age, **changes)}


async def busy(service: Service) -> str:
    """Have the only slot taken, and return the job that took it."""
    job_id = await service.start_job("waiting-background")
    await service.until_begun("waiting-background")
    return job_id


async def test_a_job_that_is_not_started_in_time_expires_and_on_failure_hears_of_it(tmp_path: Path) -> None:
    async with (
        receiving(OK) as receiver,
        serving(
            tmp_path, FILES, functions=limited("archive"), destinations={"archive": webhook(receiver.url)}
        ) as service,
    ):
        running = await busy(service)
        job_id = await service.start_job("waiting-background")
        await service.clock.advance(9.9)
        assert (await service.job(job_id)).state == "queued"
        await service.clock.advance(0.2)
        await service.until_delivered(job_id, "delivered")
        shown = (await service.get(f"/v1/jobs/{job_id}")).json
        assert (shown["state"], shown["reason"], shown["error"], shown["attempt"]) == ("expired", None, None, 0)
        assert (shown["run"], shown["started_at"], shown["ended_at"]) == (0, None, "2026-01-05T12:00:10.100Z")
        (request,) = receiver.requests
        message = json.loads(request.body)
        assert (message["type"], message["data"]["job"]["state"]) == ("job.failed", "expired")
        assert message["data"]["job"]["reason"] is None
        assert (await service.get(f"/v1/jobs/{job_id}/result")).status == 409
        assert [job["id"] for job in (await service.get("/v1/jobs?state=expired")).json["items"]] == [job_id]
        service.go()
        assert (await service.until(running, "succeeded")).run == 1


async def test_who_waits_for_a_job_hears_that_it_expired(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, functions=limited()) as service:
        await busy(service)
        job_id = await service.start_job("waiting-background")
        await service.clock.advance(5)
        before = len(service.clock.sleepers)
        asking = asyncio.ensure_future(service.get(f"/v1/jobs/{job_id}?wait=60"))
        await holds(lambda: len(service.clock.sleepers) > before)
        await service.clock.advance(5.01)
        assert (await asking).json["state"] == "expired"


async def test_what_expired_does_not_fill_the_queue(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, functions=limited(), queue_limit=2) as service:
        await busy(service)
        expired = [await service.start_job("waiting-background") for _ in range(2)]
        assert (await service.post("/functions/waiting-background")).status == 429
        await service.clock.advance(10.01)
        for job_id in expired:
            await service.until(job_id, "expired")

        async def accepted() -> str | None:  # once the room that they leave is counted
            answer = await service.post("/functions/waiting-background")
            return str(answer.json["id"]) if answer.status == 202 else None

        again = [await eventually(accepted) for _ in range(2)]
        assert (await service.post("/functions/waiting-background")).status == 429
        service.go()
        for job_id in again:
            await service.until(job_id, "succeeded")


async def test_a_job_that_expired_while_the_service_was_down_is_never_run(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, functions=limited(), is_started=False) as service:
        old, clock = await service.start_job("waiting-background"), service.clock
        await clock.advance(11)
        young = await service.start_job("waiting-background")
    (tmp_path / "functions" / "go").touch()
    async with serving(tmp_path, FILES, functions=limited(), clock=clock) as service:
        assert (await service.until(young, "succeeded")).run == 1
        assert (await service.until(old, "expired")).run == 0


async def test_a_job_waits_for_its_retry_however_old_it_is(tmp_path: Path) -> None:
    functions = {"f-background": FunctionSettings(max_age=5.0, retry=RetrySpec(waits=(60.0,)))}
    async with serving(tmp_path, {"f-background.py": FAILING}, functions=functions) as service:
        job_id = await service.start_job("f-background")
        await service.until(job_id, "retrying")
        await service.clock.advance(60.01)
        assert (await service.until(job_id, "failed")).run == 2


async def test_no_further_try_comes_after_the_max_age_of_the_policy(tmp_path: Path) -> None:
    functions = {"f-background": FunctionSettings(retry=RetrySpec(waits=(60.0,) * 5, max_age=150.0))}
    async with serving(tmp_path, {"f-background.py": FAILING}, functions=functions) as service:
        job_id = await service.start_job("f-background")
        await service.until(job_id, "retrying", run=1)
        await service.clock.advance(60.01)
        await service.until(job_id, "retrying", run=2)
        await service.clock.advance(60.01)
        job = await service.until(job_id, "failed")
        assert (job.run, job.attempt, job.max_attempts, job.reason) == (3, 3, 6, "error")


async def test_a_child_expires_as_its_own_function_says(tmp_path: Path) -> None:
    files = FILES | {"quick-background.py": QUICK}
    functions = limited() | {"quick-background": FunctionSettings(on_success=(Target(to="next"),))}
    following = DestinationSettings(
        name="", kind="function", options=FunctionDestination(function="waiting-background")
    )
    async with serving(tmp_path, files, functions=functions, destinations={"next": following}) as service:
        await busy(service)
        parent = await service.start_job("quick-background")
        await service.until_delivered(parent, "delivered")
        (child,) = (await service.get(f"/v1/jobs?parent={parent}")).json["items"]
        assert child["state"] == "queued"
        await service.clock.advance(10.01)
        await service.until(child["id"], "expired")


async def test_without_max_age_a_job_waits_as_long_as_it_takes(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, functions=limited(max_age=None)) as service:
        await busy(service)
        job_id = await service.start_job("waiting-background")
        await service.clock.advance(800)
        assert (await service.job(job_id)).state == "queued"
        service.go()
        await service.until(job_id, "succeeded")
