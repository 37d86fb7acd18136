"""Reloads of functions and of the service's own settings: what begins after it follows the new ones."""

import asyncio
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config.secret import Secret
from pipeline.config.settings import FunctionSettings, RetentionSettings, RetrySpec
from tests.support.receiver import OK, receiving
from tests.support.service import QUICK, WAITING, Answer, Service, holds, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}
SAYS = """
    import os
    def handler(event, context):
        return {{"statusCode": 200, "body": "{} " + os.environ.get("WHICH", "")}}
    """
FAILS = """
    def handler(event, context):
        raise ValueError("no")
    """


def said(answer: Answer) -> str:
    assert answer.status == 200, answer
    return answer.body.decode().strip()


# Functions


async def test_a_function_that_was_added_can_be_called(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        assert (await service.post("/functions/new")).status == 404
        assert await service.reload({"new.py": SAYS.format("new"), "late-background.py": QUICK})
        assert said(await service.post("/functions/new", is_own=True)) == "new"
        await service.until(await service.start_job("late-background"), "succeeded")
        names = [each["name"] for each in (await service.get("/v1/functions")).json["items"]]
        assert names == ["late-background", "new", "quick-background"]


async def test_a_function_that_was_removed_is_unknown_and_its_jobs_wait_until_it_returns(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        functions = {"waiting-background": sends_to("hook", concurrency=1)}
        hook = {"hook": webhook(receiver.url)}
        files = {"waiting-background.py": WAITING}
        async with serving(tmp_path, files, functions=functions, destinations=hook) as service:
            runs = await service.start_job("waiting-background")
            await service.until_begun("waiting-background")
            waits = await service.start_job("waiting-background")
            service.remove("waiting-background.py")
            # With its settings, too: what its run owes is what they said when it began.
            assert await service.reload(FILES, destinations=hook)
            assert (await service.post("/functions/waiting-background")).status == 404
            assert (await service.get("/readyz")).json == {
                "status": "ready", "missing_functions": {"waiting-background": 1}
            }  # fmt: skip
            service.go()
            await service.until(runs, "succeeded")
            await service.until_delivered(runs, "delivered")
            assert (await service.job(waits)).state == "queued"

            assert await service.reload(files, functions=functions, destinations=hook)
            job = await service.until(waits, "succeeded")
            assert (job.run, job.attempt, job.lost) == (1, 1, 0)
            assert (await service.get("/readyz")).json["missing_functions"] == {}
        assert len(receiver.requests) == 2


async def test_a_function_that_this_service_never_had_has_the_jobs_that_wait_in_the_store(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        jobs = [await service.start_job("quick-background") for _ in range(3)]
        service.remove("quick-background.py")
    async with serving(tmp_path) as service:
        assert (await service.get("/readyz")).json["missing_functions"] == {"quick-background": 3}
        gone = "/v1/jobs?function=quick-background"
        assert len((await service.get(gone)).json["items"]) == 3
        assert (await service.get(f"{gone}&state=failed")).json["items"] == []
        never = await service.get("/v1/jobs?function=never-background")
        assert (never.status, never.json["detail"]) == (404, "there is no function 'never-background'")
        assert await service.reload(FILES)
        for job_id in jobs:
            await service.until(job_id, "succeeded")


async def test_a_run_that_fails_after_its_function_went_is_retried_as_its_settings_said(tmp_path: Path) -> None:
    source = WAITING + '    raise ValueError("no")\n'
    functions = {"waiting-background": FunctionSettings(retry=RetrySpec(waits=(5.0,)))}
    async with serving(
        tmp_path, {"waiting-background.py": source.replace('return "went"', "pass")}, functions=functions
    ) as service:
        job_id = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        service.remove("waiting-background.py")
        assert await service.reload(FILES)
        service.go()
        job = await service.until(job_id, "retrying")
        assert (job.due_at - service.clock.now()).total_seconds() == 5
        await service.clock.advance(6)
        await service.until(job_id, "queued")


async def test_what_waits_for_a_worker_when_its_function_goes_is_told(tmp_path: Path) -> None:
    files = {"waiting.py": WAITING.replace('"went"', '{"statusCode": 200, "body": "went"}')}
    functions = {"waiting": FunctionSettings(concurrency=1, timeout=60.0)}
    async with serving(tmp_path, files, functions=functions) as service:
        runs = asyncio.ensure_future(service.post("/functions/waiting", is_own=True))
        await service.until_begun("waiting")
        waits = asyncio.ensure_future(service.post("/functions/waiting"))
        await holds(lambda: service.app.pool._lanes["waiting"].waiting)
        service.remove("waiting.py")
        assert await service.reload(FILES)
        assert (await waits).status == 404
        service.go()
        assert said(await runs) == "went"


async def test_a_job_in_hand_that_waits_for_a_worker_when_its_function_goes_is_returned_unspent(tmp_path: Path) -> None:
    files = {"waiting-background.py": WAITING}
    functions = {"waiting-background": FunctionSettings(concurrency=1)}
    async with serving(tmp_path, files, functions=functions) as service:
        service.app.worker.lanes["waiting-background"].size = 2  # as where it is of use to hold one ready
        runs = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        waits = await service.start_job("waiting-background")
        await holds(lambda: service.app.pool._lanes["waiting-background"].waiting)
        service.remove("waiting-background.py")
        assert await service.reload(FILES)
        job = await service.until(waits, "queued")
        assert (job.run, job.attempt, job.lost) == (1, 0, 0)
        service.go()
        await service.until(runs, "succeeded")
        assert await service.reload(files, functions=functions)
        job = await service.until(waits, "succeeded")
        assert (job.run, job.attempt) == (2, 1)


async def test_a_mended_file_takes_effect_and_a_run_under_way_ends_as_it_began(tmp_path: Path) -> None:
    files = {"waiting-background.py": WAITING, "f.py": SAYS.format("old")}
    async with serving(tmp_path, files) as service:
        assert said(await service.post("/functions/f", is_own=True)) == "old"
        job_id = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        assert await service.reload({"f.py": SAYS.format("new"), "waiting-background.py": QUICK})
        assert said(await service.post("/functions/f", is_own=True)) == "new"
        service.go()
        await service.until(job_id, "succeeded")
        assert (await service.get(f"/v1/jobs/{job_id}/result")).json == "went"
        after = await service.start_job("waiting-background")
        await service.until(after, "succeeded")
        assert (await service.get(f"/v1/jobs/{after}/result")).json == {"done": True}


async def test_a_module_beside_the_function_takes_effect(tmp_path: Path) -> None:
    files = {
        "f.py": "import _words\ndef handler(event, context):\n    return {'statusCode': 200, 'body': _words.SAID}\n"
    }
    async with serving(tmp_path, files | {"_words.py": "SAID = 'old'\n"}) as service:
        assert said(await service.post("/functions/f", is_own=True)) == "old"
        assert await service.reload({"_words.py": "SAID = 'newer'\n"})
        assert said(await service.post("/functions/f", is_own=True)) == "newer"


async def test_environment_and_kind_take_effect(tmp_path: Path) -> None:
    files = {"f.py": SAYS.format("is")}
    one = {"f": FunctionSettings(env={"WHICH": Secret("one")})}
    async with serving(tmp_path, files, functions=one) as service:
        assert said(await service.post("/functions/f", is_own=True)) == "is one"
        assert await service.reload(functions={"f": FunctionSettings(env={"WHICH": Secret("two")})})
        assert said(await service.post("/functions/f", is_own=True)) == "is two"
        assert await service.reload(functions={"f": FunctionSettings(background=True)})
        await service.until(await service.start_job("f"), "succeeded")


async def test_a_time_limit_takes_effect_for_what_comes(tmp_path: Path) -> None:
    async with serving(tmp_path, {"waiting-background.py": WAITING}) as service:
        assert (await service.job(await service.start_job("waiting-background"))).timeout_s == 900
        assert await service.reload(functions={"waiting-background": FunctionSettings(timeout=7.0)})
        job_id = await service.start_job("waiting-background")
        assert (await service.job(job_id)).timeout_s == 7
        service.go()
        await service.until(job_id, "succeeded")


async def test_concurrency_shrinks_without_ending_a_run_and_grows(tmp_path: Path) -> None:
    def slots(concurrency: int) -> dict[str, FunctionSettings]:
        return {"waiting-background": FunctionSettings(concurrency=concurrency)}

    async with serving(tmp_path, {"waiting-background.py": WAITING}, functions=slots(2)) as service:
        running = service.app.pool.running
        jobs = [await service.start_job("waiting-background") for _ in range(6)]
        await holds(lambda: running("waiting-background") == 2)
        assert await service.reload(functions=slots(1))
        assert running("waiting-background") == 2
        service.go(jobs[0])
        await service.until(jobs[0], "succeeded")
        service.go(jobs[1])
        await service.until(jobs[1], "succeeded")
        await holds(lambda: running("waiting-background") == 1)
        assert await service.reload(functions=slots(3))
        await holds(lambda: running("waiting-background") == 3)
        service.go()
        for job_id in jobs:
            job = await service.until(job_id, "succeeded")
            assert (job.run, job.attempt) == (1, 1)


async def test_a_retry_policy_takes_effect_at_the_next_failure(tmp_path: Path) -> None:
    files = {"f-background.py": FAILS}
    async with serving(tmp_path, files) as service:
        job_id = await service.start_job("f-background")
        assert (await service.until(job_id, "retrying")).max_attempts == 3
        assert await service.reload(functions={"f-background": FunctionSettings(retry=RetrySpec(waits=(9.0,)))})
        await service.clock.advance(61)
        job = await service.until(job_id, "failed")
        assert (job.attempt, job.max_attempts) == (2, 2)


# The service's own settings


async def ask_with_body(service: Service, size: int) -> int:
    return (await service.post("/functions/quick-background", data=b"x" * size)).status


async def ask_in_chunks(service: Service, size: int) -> int:
    async def chunks() -> Any:
        for _ in range(size // 100):
            yield b"x" * 100
            await asyncio.sleep(0)

    return (await service.post("/functions/quick-background", data=chunks())).status


@pytest.mark.parametrize("ask", [ask_with_body, ask_in_chunks])
async def test_a_body_limit_takes_effect(tmp_path: Path, ask: Any) -> None:
    async with serving(tmp_path, FILES) as service:
        assert await ask(service, 2000) == 202
        assert await service.reload(body_limit=1000)
        assert await ask(service, 2000) == 413
        assert await ask(service, 1000) == 202
        assert await service.reload(body_limit=100_000_000)
        assert await ask(service, 1_000_000) == 202


async def test_a_queue_limit_takes_effect(tmp_path: Path) -> None:
    functions = {"waiting-background": FunctionSettings(concurrency=1)}
    async with serving(tmp_path, {"waiting-background.py": WAITING}, functions=functions) as service:
        for _ in range(3):
            await service.start_job("waiting-background")
        assert await service.reload(functions=functions, queue_limit=2)
        assert (await service.post("/functions/waiting-background")).status == 429
        service.go()


async def test_a_retention_takes_effect(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("quick-background")
        await service.until(job_id, "succeeded")
        service.clock.turn(7200)
        assert await service.app.pruner.sweep() == 0
        assert await service.reload(retention=RetentionSettings(succeeded=3600.0))
        sweeping = asyncio.ensure_future(service.app.pruner.sweep())
        while not sweeping.done():
            await service.clock.advance(0.1)
        assert sweeping.result() == 1


async def test_a_public_url_takes_effect_in_links_and_for_hosts(tmp_path: Path) -> None:
    host = {"Host": "jobs.example.com"}
    async with receiving(OK) as receiver, serving(tmp_path, FILES) as service:
        assert (await service.post("/functions/quick-background", headers=host)).status == 403
        functions, hook = {"quick-background": sends_to("hook")}, {"hook": webhook(receiver.url)}
        public = "https://jobs.example.com"
        assert await service.reload(functions=functions, destinations=hook, public_url=public)
        answer = await service.post("/functions/quick-background", headers=host)
        job_id = answer.json["id"]
        assert answer.json["links"]["self"] == f"{public}/v1/jobs/{job_id}"
        await service.until_delivered(job_id, "delivered")
        assert f"{public}/v1/jobs/{job_id}".encode() in receiver.requests[0].body


async def test_a_result_limit_takes_effect(tmp_path: Path) -> None:
    source = "def handler(event, context):\n    return 'x' * 5000\n"
    once = {"f-background": FunctionSettings(retry=RetrySpec(waits=()))}
    async with serving(tmp_path, {"f-background.py": source}, functions=once) as service:
        await service.until(await service.start_job("f-background"), "succeeded")
        assert await service.reload(functions=once, result_limit=1000)
        assert (await service.until(await service.start_job("f-background"), "failed")).reason == "too_large"


async def test_a_disk_floor_takes_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimpleNamespace(f_frsize=4096, f_blocks=2**20, f_bavail=60 * 2**20 // 4096)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    async with serving(tmp_path, FILES) as service:
        await service.start_job("quick-background")
        assert await service.reload(disk_floor=100 * 2**20)
        await service.clock.advance(2)
        assert (await service.post("/functions/quick-background")).status == 503
        assert await service.reload(disk_floor=1)
        await service.clock.advance(2)
        await service.start_job("quick-background")


# What is said of it


async def test_what_changed_is_named_and_no_value_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    secret = "whsec_" + "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"
    before = {
        "kept": webhook("http://a.example"),
        "old": webhook("http://b.example"),
        "hook": webhook("http://c.example"),
    }
    async with serving(tmp_path, FILES | {"gone.py": QUICK, "same.py": QUICK}, destinations=before) as service:
        service.remove("gone.py")
        hook = webhook("http://d.example", secrets=(Secret(secret),))
        after = {"kept": before["kept"], "hook": hook, "new": webhook("http://e.example")}
        assert await service.reload(
            {"quick-background.py": WAITING, "more.py": QUICK},
            functions={"same": FunctionSettings(timeout=3.0, env={"KEY": Secret("hunter2")})},
            destinations=after,
            queue_limit=5,
        )
        (line,) = [record.getMessage() for record in caplog.records if "config.reloaded" in record.getMessage()]
        assert line == (
            'config.reloaded added="destinations.new functions.more" '
            'changed="destinations.hook(secrets,url) functions.quick-background(file_hash) '
            'functions.same(env,timeout) service(queue_limit)" removed="destinations.old functions.gone"'
        )
        assert await service.reload(
            functions={"same": FunctionSettings(timeout=3.0, env={"KEY": Secret("hunter2")})},
            destinations=after,
            queue_limit=5,
        )
        assert caplog.records[-1].getMessage().strip() == "config.reloaded"
        assert "hunter2" not in caplog.text
        assert secret not in caplog.text


async def test_a_service_that_drains_reloads_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path, FILES) as service:
        before = service.app.setup
        await service.app.drain(0.0, asyncio.Event())
        assert not await service.reload({"new.py": QUICK})
        assert service.app.setup is before
        assert 'config.refused reason="the service is shutting down' in caplog.text
