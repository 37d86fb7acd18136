"""Cancelling, trying again, replaying and deleting jobs, by the API."""

import asyncio
from pathlib import Path

import pytest

from pipeline.config.settings import FunctionSettings, RetrySpec
from tests.support import samples
from tests.support.receiver import OK, answer, receiving
from tests.support.service import QUICK, WAITING, Service, sends_to, serving, webhook

FAILS = """
    import os
    def handler(event, context):
        print("attempt", context.attempt)
        if not os.path.exists("works"):
            raise ValueError("no words")
        return {"body": event["body"]}
    """
CLEANS_UP = """
    import asyncio, os
    async def handler(event, context):
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            open("cleaned", "w").close()
            raise
    """
FILES = {
    "quick-background.py": QUICK,
    "waiting-background.py": WAITING,
    "fails-background.py": FAILS,
    "async-background.py": CLEANS_UP,
}
ONCE = {"fails-background": FunctionSettings(retry=RetrySpec(waits=()))}


async def post(service: Service, job_id: str, verb: str) -> int:
    return (await service.post(f"/v1/jobs/{job_id}/{verb}")).status


# Cancel


async def test_a_waiting_job_is_cancelled_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        for headers in ({}, {"X-Job-Delay": "1h"}):
            job_id = await service.start_job("quick-background", headers=headers)
            answer = await service.post(f"/v1/jobs/{job_id}/cancel")
            assert (answer.status, answer.json["state"]) == (202, "cancelled")
            assert answer.json["ended_at"]
            assert (await service.get(f"/v1/jobs/{job_id}/result")).status == 409
            assert await post(service, job_id, "cancel") == 409


async def test_a_retrying_job_is_cancelled_and_never_runs_again(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("fails-background")
        await service.until(job_id, "retrying")
        assert await post(service, job_id, "cancel") == 202
        await service.clock.advance(3600)
        assert (await service.job(job_id)).run == 1
        assert (await service.job(job_id)).state == "cancelled"


async def test_a_plain_run_is_killed_and_its_job_cancelled_without_a_message(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        settings = {"waiting-background": sends_to("hook")}
        destinations = {"hook": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=settings, destinations=destinations) as service:
            job_id = await service.start_job("waiting-background")
            await service.until_begun("waiting-background")
            answer = await service.post(f"/v1/jobs/{job_id}/cancel")
            assert answer.status == 202
            job = await service.until(job_id, "cancelled")
            assert (job.reason, job.attempt) == (None, 1)
            (run,) = (await service.get(f"/v1/jobs/{job_id}/runs")).json["items"]
            assert run["state"] == "cancelled"
            assert (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"] == []
        assert receiver.requests == []


async def test_an_async_run_may_clean_up_first(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("async-background")
        await service.until_begun("async-background")
        assert await post(service, job_id, "cancel") == 202
        await service.until(job_id, "cancelled")
        assert (tmp_path / "functions" / "cleaned").exists()


async def test_who_waits_hears_of_the_cancellation(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        job_id = await service.start_job("quick-background")
        waiting = asyncio.ensure_future(service.get(f"/v1/jobs/{job_id}?wait=60"))
        await asyncio.sleep(0.05)
        await post(service, job_id, "cancel")
        assert (await waiting).json["state"] == "cancelled"


async def test_an_ended_job_is_not_cancelled(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("quick-background")
        await service.until(job_id, "succeeded")
        answer = await service.post(f"/v1/jobs/{job_id}/cancel")
        assert (answer.status, answer.json["state"]) == (409, "succeeded")


# Retry


async def test_a_failed_job_is_tried_again_in_place_with_a_message_of_its_own(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        settings = {"fails-background": sends_to("hook", retry=RetrySpec(waits=()))}
        async with serving(
            tmp_path, FILES, functions=settings, destinations={"hook": webhook(receiver.url)}
        ) as service:
            job_id = await service.start_job("fails-background", data=b"words")
            await service.until(job_id, "failed")
            (tmp_path / "functions" / "works").touch()
            answer = await service.post(f"/v1/jobs/{job_id}/retry")
            assert answer.status == 202
            assert (answer.json["round"], answer.json["reason"], answer.json["error"]) == (2, None, None)
            job = await service.until(job_id, "succeeded")
            assert (job.attempt, job.run, job.round) == (1, 2, 2)
            runs = (await service.get(f"/v1/jobs/{job_id}/runs")).json["items"]
            assert [(run["run"], run["round"], run["state"]) for run in runs] == [(1, 1, "failed"), (2, 2, "succeeded")]
            lines = (await service.get(f"/v1/jobs/{job_id}/logs")).json["items"]
            assert [(line["number"], line["run"], line["text"]) for line in lines] == [
                (1, 1, "attempt 1"), (2, 2, "attempt 1")
            ]  # fmt: skip
            deliveries = await service.until_delivered(job_id, "delivered")
            assert {each.type for each in deliveries} == {"job.failed", "job.succeeded"}
            assert len({each.message_id for each in deliveries}) == 2


async def test_a_cancelled_job_can_be_tried_again(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("quick-background", headers={"X-Job-Delay": "1h"})
        await post(service, job_id, "cancel")
        assert await post(service, job_id, "retry") == 202
        await service.until(job_id, "succeeded")


@pytest.mark.parametrize("verb", ["retry", "delete"])
async def test_only_what_has_ended_badly_is_tried_again_and_only_what_has_ended_deleted(
    tmp_path: Path, verb: str
) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("waiting-background")
        method, path = ("DELETE", "") if verb == "delete" else ("POST", "/retry")
        answer = await service.ask(method, f"/v1/jobs/{job_id}{path}")
        assert answer.status == 409
        assert "cancel" in answer.json["detail"]
        service.go()
        await service.until(job_id, "succeeded")
        assert (await service.ask(method, f"/v1/jobs/{job_id}{path}")).status == (204 if verb == "delete" else 409)


# Replay


async def test_a_replay_is_a_new_job_with_the_same_event(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "works").touch()
    async with serving(tmp_path, FILES) as service:
        first = await service.start_job("fails-background", data=b"words", headers={"X-Job-Tag": "a"})
        await service.until(first, "succeeded")
        answer = await service.post(f"/v1/jobs/{first}/replay")
        assert answer.status == 202
        second = answer.json["id"]
        assert answer.headers["Location"] == f"/v1/jobs/{second}"
        job = await service.until(second, "succeeded")
        assert (job.origin.replay_of, job.tags) == (first, ("a",))
        assert (await service.get(f"/v1/jobs/{second}")).json["replay_of"] == first
        for each in (first, second):
            assert (await service.get(f"/v1/jobs/{each}/result", is_own=True)).json == {"body": "d29yZHM="}


# Delete


async def test_a_deleted_job_is_gone_with_its_pages(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("quick-background")
        await service.until(job_id, "succeeded")
        assert (await service.ask("DELETE", f"/v1/jobs/{job_id}")).status == 204
        for page in ("", "/result", "/runs", "/logs", "/deliveries", "/events"):
            assert (await service.get(f"/v1/jobs/{job_id}{page}")).status == 404
        assert (await service.ask("DELETE", f"/v1/jobs/{job_id}")).status == 404


async def test_a_job_that_still_owes_a_delivery_is_not_deleted(tmp_path: Path) -> None:
    async with receiving(answer(503)) as receiver:
        settings, hooks = {"quick-background": sends_to("hook")}, {"hook": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=settings, destinations=hooks) as service:
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, "retrying")
            refused = await service.ask("DELETE", f"/v1/jobs/{job_id}")
            assert (refused.status, "delivery" in refused.json["detail"]) == (409, True)


@pytest.mark.parametrize("verb", ["cancel", "retry", "replay"])
async def test_what_is_not_there_is_404_and_what_is_too_old_410(tmp_path: Path, verb: str) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        for job_id, status in ((samples.new_id(), 404), ("00000000-0001-7000-8000-000000000000", 410), ("x", 404)):
            assert await post(service, job_id, verb) == status


async def test_a_draining_service_takes_no_retry_and_no_replay(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, functions=ONCE) as service:
        job_id = await service.start_job("fails-background")
        await service.until(job_id, "failed")
        service.app.intake.is_draining = True
        for verb in ("retry", "replay"):
            assert await post(service, job_id, verb) == 503
        assert (await service.job(job_id)).state == "failed"
        service.app.intake.is_draining = False
