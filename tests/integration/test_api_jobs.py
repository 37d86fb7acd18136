"""Jobs over HTTP: one with its ETag and waiting, its result in every state, runs, log lines, and the list of all."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.settings import FunctionSettings, RetrySpec
from pipeline.ids import IdSource
from pipeline.model import JobState, RunOutcome, RunState
from tests.support import samples
from tests.support.fake_clock import FakeClock, settled
from tests.support.pages import pages
from tests.support.service import QUICK, WAITING, Answer, Service, serving
from tests.support.stores import opened, running

FILES = {"waiting-background.py": WAITING, "quick-background.py": QUICK}


@asynccontextmanager
async def one_running(tmp_path: Path, **options: Any) -> AsyncIterator[tuple[Service, str]]:
    """Serve with one job that runs until `go`."""
    async with serving(tmp_path, FILES, **options) as service:
        job_id = await service.start_job("waiting-background")
        await service.until(job_id, "running")
        yield service, job_id


# One job


async def test_a_job_shows_where_it_is(tmp_path: Path) -> None:
    async with one_running(tmp_path) as (service, job_id):
        answer = await service.get(f"/v1/jobs/{job_id}")
        assert (answer.status, answer.headers["Retry-After"], answer.headers["Cache-Control"]) == (200, "1", "no-cache")
        shown = answer.json
        assert (shown["state"], shown["attempt"], shown["max_attempts"], shown["run"], shown["round"]) == (
            "running", 1, 3, 1, 1,
        )  # fmt: skip
        assert (shown["started_at"], shown["ended_at"], shown["next_attempt_at"]) == (
            "2026-01-05T12:00:00.000Z", None, None,
        )  # fmt: skip
        assert set(shown["deliveries"].values()) == {0}
        assert shown["links"]["self"] == f"{service.url}/v1/jobs/{job_id}"
        await service.clock.advance(2.5)
        service.go()
        await service.until(job_id, "succeeded")
        answer = await service.get(f"/v1/jobs/{job_id}")
        assert (answer.json["state"], answer.json["ended_at"]) == ("succeeded", "2026-01-05T12:00:02.500Z")
        assert "Retry-After" not in answer.headers
        assert b"went" not in answer.body


async def test_an_etag_is_of_the_body_and_304_has_none(tmp_path: Path) -> None:
    async with one_running(tmp_path) as (service, job_id):
        first, again = [await service.get(f"/v1/jobs/{job_id}") for _ in range(2)]
        assert first.headers["ETag"] == again.headers["ETag"]
        for named in (first.headers["ETag"], f'"other", {first.headers["ETag"]}', f"W/{first.headers['ETag']}", "*"):
            answer = await service.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": named})
            assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", first.headers["ETag"])
        assert (await service.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": '"other"'})).status == 200
        service.go()
        await service.until(job_id, "succeeded")
        answer = await service.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
        assert (answer.status, answer.json["state"]) == (200, "succeeded")
        assert answer.headers["ETag"] != first.headers["ETag"]


# Waiting


async def asking(service: Service, path: str, **options: Any) -> "asyncio.Task[Answer]":
    """Send a request that is held back, and return once it is."""
    before = len(service.clock.sleepers)
    task = asyncio.ensure_future(service.get(path, **options))
    async with asyncio.timeout(5):
        while len(service.clock.sleepers) == before:
            await asyncio.sleep(0.005)
    assert not task.done()
    return task


async def test_wait_answers_as_soon_as_the_state_is_final(tmp_path: Path) -> None:
    async with one_running(tmp_path) as (service, job_id):
        waiting = [await asking(service, f"/v1/jobs/{job_id}?wait=60") for _ in range(3)]
        service.go()
        answers = await asyncio.gather(*waiting)
        assert [(answer.status, answer.json["state"]) for answer in answers] == [(200, "succeeded")] * 3
        assert (await service.get(f"/v1/jobs/{job_id}?wait=60")).json["state"] == "succeeded"
        assert service.app._changes._waiting == {}


async def test_wait_ends_after_its_seconds_with_what_there_is(tmp_path: Path) -> None:
    async with one_running(tmp_path) as (service, job_id):
        waiting = await asking(service, f"/v1/jobs/{job_id}?wait=10")
        tag = (await service.get(f"/v1/jobs/{job_id}")).headers["ETag"]
        matching = await asking(service, f"/v1/jobs/{job_id}?wait=10", headers={"If-None-Match": tag})
        await service.clock.advance(9.9)
        await settled(100)
        assert not waiting.done()
        assert not matching.done()
        await service.clock.advance(0.2)
        assert (await waiting).json["state"] == "running"
        assert (await matching).status == 304
        service.go()


async def test_wait_with_a_tag_answers_every_change(tmp_path: Path) -> None:
    one_at_a_time = {"waiting-background": FunctionSettings(concurrency=1)}
    async with one_running(tmp_path, functions=one_at_a_time) as (service, first):
        second = await service.start_job("waiting-background")
        assert (await service.job(second)).state == "queued"
        tag = (await service.get(f"/v1/jobs/{second}")).headers["ETag"]
        waiting = await asking(service, f"/v1/jobs/{second}?wait=60", headers={"If-None-Match": tag})
        service.go(first)
        answer = await waiting
        assert (answer.status, answer.json["state"]) == (200, "running")
        waiting = await asking(service, f"/v1/jobs/{second}?wait=60", headers={"If-None-Match": answer.headers["ETag"]})
        service.go()
        assert (await waiting).json["state"] == "succeeded"


async def test_wait_with_an_old_tag_answers_at_once(tmp_path: Path) -> None:
    async with one_running(tmp_path) as (service, job_id):
        answer = await service.get(f"/v1/jobs/{job_id}?wait=60", headers={"If-None-Match": '"old"'})
        assert answer.json["state"] == "running"
        service.go()


@pytest.mark.parametrize("wait", ["-1", "61", "1.5", "x", "", "1e1", "%D9%A3", "00000000000030", "+3"])
async def test_a_bad_wait_is_400_and_says_which_parameter(tmp_path: Path, wait: str) -> None:
    async with serving(tmp_path, is_started=False) as service:
        answer = await service.get(f"/v1/jobs/{samples.new_id()}?wait={wait}")
        assert answer.status == 400
        assert [error["parameter"] for error in answer.json["errors"]] == ["wait"]


# The result


async def test_the_result_is_202_until_there_is_one(tmp_path: Path) -> None:
    async with one_running(tmp_path) as (service, job_id):
        answer = await service.get(f"/v1/jobs/{job_id}/result")
        assert (answer.status, answer.json) == (202, {"id": job_id, "state": "running"})
        assert (answer.headers["Retry-After"], answer.headers["Location"]) == ("1", f"/v1/jobs/{job_id}")
        service.go()
        await service.until(job_id, "succeeded")
        answer = await service.get(f"/v1/jobs/{job_id}/result")
        assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b'"went"', "application/json")
        assert answer.headers["X-Job-Id"] == job_id


async def test_the_result_is_the_function_s_own_answer_byte_for_byte(tmp_path: Path) -> None:
    source = """
        import base64
        def handler(event, context):
            return {
                "statusCode": 203,
                "headers": {"X-Odd": "1", "Content-Encoding": "br", "Connection": "close", "Transfer-Encoding": "x"},
                "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
                "body": base64.b64encode(bytes(range(256))).decode(),
                "isBase64Encoded": True,
            }
        """
    async with serving(tmp_path, {"odd-background.py": source}) as service:
        job_id = await service.start_job("odd-background")
        await service.until(job_id, "succeeded")
        answer = await service.get(f"/v1/jobs/{job_id}/result")
        assert (answer.status, answer.body) == (203, bytes(range(256)))
        assert (answer.headers["X-Odd"], answer.headers["Content-Encoding"]) == ("1", "br")
        assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
        assert "Content-Type" not in answer.headers
        assert "Transfer-Encoding" not in answer.headers
        assert answer.headers.get("Connection") != "close"


async def test_a_failed_job_answers_with_the_response_that_failed(tmp_path: Path) -> None:
    source = "def handler(event, context):\n    return {'statusCode': 507, 'body': 'full'}\n"
    once = {"full-background": FunctionSettings(retry=RetrySpec(waits=()))}
    async with serving(tmp_path, {"full-background.py": source}, functions=once) as service:
        job_id = await service.start_job("full-background")
        job = await service.until(job_id, "failed")
        assert job.reason == "bad_status"
        answer = await service.get(f"/v1/jobs/{job_id}/result", is_own=True)
        assert (answer.status, answer.body) == (507, b"full")


async def test_a_5xx_is_a_success_where_that_is_asked_for(tmp_path: Path) -> None:
    source = "def handler(event, context):\n    return {'statusCode': 500, 'body': 'fine'}\n"
    like_lambda = {"fine-background": FunctionSettings(retry_on_5xx=False)}
    async with serving(tmp_path, {"fine-background.py": source}, functions=like_lambda) as service:
        job_id = await service.start_job("fine-background")
        await service.until(job_id, "succeeded")
        assert (await service.get(f"/v1/jobs/{job_id}/result", is_own=True)).status == 500


async def test_a_job_that_failed_without_a_response_is_502_with_the_error(tmp_path: Path) -> None:
    source = "def handler(event, context):\n    raise KeyError('words')\n"
    once = {"f-background": FunctionSettings(retry=RetrySpec(waits=()))}
    async with serving(tmp_path, {"f-background.py": source}, functions=once) as service:
        job_id = await service.start_job("f-background")
        await service.until(job_id, "failed")
        answer = await service.get(f"/v1/jobs/{job_id}/result")
        assert (answer.status, answer.json["reason"], answer.json["errorType"]) == (502, "error", "KeyError")
        shown = (await service.get(f"/v1/jobs/{job_id}")).json
        assert (shown["reason"], shown["error"]["errorType"]) == ("error", "KeyError")


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.EXPIRED])
async def test_a_job_that_ended_without_an_answer_is_409(tmp_path: Path, state: JobState) -> None:
    async with opened(tmp_path / "data" / "sendoff.db") as rig:
        job = await running(rig.store)
        step = samples.job_step(state, RunState.CANCELLED)
        await rig.store.finish_run(job, 1, step, RunOutcome(state=RunState.CANCELLED), now=samples.NOW)
    async with serving(tmp_path, is_started=False) as service:
        answer = await service.get(f"/v1/jobs/{job.id}/result")
        assert (answer.status, answer.json["state"]) == (409, state)


async def test_an_id_older_than_the_retention_is_gone_and_an_unknown_one_is_not_there(tmp_path: Path) -> None:
    clock = FakeClock()
    old = [IdSource(FakeClock(clock.now() - timedelta(days=days)), random.Random(1)).new() for days in (6.99, 7.01)]
    async with serving(tmp_path, clock=clock, is_started=False) as service:
        below = ("", "/result", "/runs", "/logs", "/deliveries")
        for path in (*(f"/v1/jobs/{{}}{page}" for page in below), "/v1/deliveries/{}"):
            statuses = [(await service.get(path.format(each))).status for each in (*old, "x")]
            assert statuses == [404, 410, 404], path


# Runs and lines


async def test_the_current_run_is_the_last_of_the_runs(tmp_path: Path) -> None:
    async with one_running(tmp_path) as (service, job_id):
        (run,) = (await service.get(f"/v1/jobs/{job_id}/runs")).json["items"]
        assert (run["run"], run["attempt"], run["state"]) == (1, 1, "running")
        assert (run["ended_at"], run["duration_ms"]) == (None, None)
        await service.until_begun("waiting-background")
        await service.clock.advance(1.25)
        service.go()
        await service.until(job_id, "succeeded")
        (run,) = (await service.get(f"/v1/jobs/{job_id}/runs")).json["items"]
        assert (run["state"], run["duration_ms"]) == ("succeeded", 1250)


async def test_runs_are_paged_and_the_current_one_comes_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "data" / "sendoff.db") as rig:
        job = await running(rig.store, token=1, function="waiting-background")
        for token in range(1, 4):
            returned = RunOutcome(state=RunState.RETURNED)
            await rig.store.finish_run(job, token, samples.RETURNED, returned, now=samples.NOW)
            (claimed,) = await rig.store.claim_jobs(job.function, 1, now=samples.NOW, lease=samples.lease(token + 1))
            job = claimed.job
    async with serving(tmp_path, FILES, is_started=False) as service:
        for limit in (1, 2, 3, 4):
            found = await pages(service, f"/v1/jobs/{job.id}/runs?limit={limit}")
            assert [(run["run"], run["state"]) for run in found] == [
                (1, "returned"), (2, "returned"), (3, "returned"), (4, "running"),
            ]  # fmt: skip


async def test_log_lines_are_paged_oldest_first(tmp_path: Path) -> None:
    source = """
        import sys
        def handler(event, context):
            for number in range(5):
                print("line", number)
            print("oh", file=sys.stderr)
        """
    async with serving(tmp_path, {"chatty-background.py": source}) as service:
        job_id = await service.start_job("chatty-background")
        await service.until(job_id, "succeeded")
        lines = await pages(service, f"/v1/jobs/{job_id}/logs?limit=2")
        assert [line["number"] for line in lines] == [1, 2, 3, 4, 5, 6]
        assert [line["text"] for line in lines if line["stream"] == "stdout"] == [f"line {n}" for n in range(5)]
        assert [line["text"] for line in lines if line["stream"] == "stderr"] == ["oh"]


# The list


async def test_jobs_are_listed_newest_first_page_by_page(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        made = [await service.start_job(name) for name in ["quick-background", "waiting-background"] * 3]
        assert [job["id"] for job in await pages(service, "/v1/jobs")] == made[::-1]
        assert [job["id"] for job in await pages(service, "/v1/jobs?limit=4")] == made[::-1]
        quick = await pages(service, "/v1/jobs?limit=2&function=quick-background&state=queued")
        assert [job["id"] for job in quick] == made[-2::-2]
        assert await pages(service, "/v1/jobs?state=running") == []
        first = (await service.get("/v1/jobs?limit=2")).json
        await service.start_job("quick-background")
        second = (await service.get(f"/v1/jobs?limit=2&cursor={first['next_cursor']}")).json
        assert [job["id"] for job in second["items"]] == made[3:1:-1]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "limit=-1", "state=odd", "state=", "cursor=x", "cursor=!!!!", "cursor=",
     "cursor=%FF", "cursor=MQ", "cursor=ZG9uJ3Q"],
)  # fmt: skip
async def test_a_bad_parameter_is_400_and_named(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path, is_started=False) as service:
        for path in ("/v1/jobs", "/v1/deliveries"):
            answer = await service.get(f"{path}?{query}")
            assert answer.status == 400
            assert answer.json["errors"][0]["parameter"] == query.partition("=")[0]


async def test_the_limits_of_limit_are_taken(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        jobs = [await service.start_job("quick-background") for _ in range(51)]
        assert len((await service.get("/v1/jobs")).json["items"]) == 50
        assert len((await service.get("/v1/jobs?limit=1")).json["items"]) == 1
        assert len((await service.get("/v1/jobs?limit=500")).json["items"]) == 51
        assert (await service.job(jobs[0])).state == "queued"
