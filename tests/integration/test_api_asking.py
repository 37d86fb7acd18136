"""What the headers of an invocation ask for: preferences, idempotency keys, and when and how the job runs."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.settings import FunctionSettings, RetrySpec
from pipeline.shapes import rfc3339
from tests.support.service import ECHO, QUICK, WAITING, Answer, Service, serving

FAILS = """
    def handler(event, context):
        raise ValueError("no words")
    """
FILES = {
    "quick-background.py": QUICK,
    "waiting-background.py": WAITING,
    "echo.py": ECHO,
    "fails.py": FAILS,
    "waiting.py": WAITING.replace('return "went"', 'return {"statusCode": 418, "body": "went"}'),
}
QUICK_URL = "/functions/quick-background"


async def post(service: Service, url: str = QUICK_URL, **headers: str) -> Answer:
    return await service.post(url, headers={name.replace("_", "-"): value for name, value in headers.items()})


# Preferences


async def test_any_function_is_made_a_job_on_request(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        answer = await post(service, "/functions/echo?a=1", Prefer="respond-async")
        assert answer.status == 202
        assert answer.headers["Preference-Applied"] == "respond-async"
        job = await service.until(answer.json["id"], "succeeded")
        assert (job.timeout_s, job.max_attempts) == (10.0, 3)
        result = await service.get(f"/v1/jobs/{job.id}/result", is_own=True)
        assert (result.status, result.json["queryStringParameters"]) == (200, {"a": "1"})


async def test_a_caller_who_waits_gets_the_answer_itself(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        asking = asyncio.ensure_future(
            service.post("/functions/waiting", headers={"Prefer": "respond-async, wait=20"}, is_own=True)
        )
        await service.until_begun("waiting")
        service.go()
        answer = await asking
        assert (answer.status, answer.body) == (418, b"went")
        assert answer.headers["Preference-Applied"] == "respond-async, wait=20"
        assert (await service.get(answer.headers["Location"])).json["state"] == "succeeded"


async def test_a_caller_who_waited_in_vain_gets_the_202(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        asking = asyncio.ensure_future(post(service, "/functions/waiting-background", Prefer="wait=5"))
        await service.until_begun("waiting-background")
        await service.clock.advance(5.01)
        answer = await asking
        assert (answer.status, answer.json["state"], answer.json["attempt"]) == (202, "queued", 0)
        service.go()
        await service.until(answer.json["id"], "succeeded")


async def test_a_failure_that_was_waited_for_is_the_problem_of_its_result(tmp_path: Path) -> None:
    functions = {"fails": FunctionSettings(retry=RetrySpec(waits=()))}
    async with serving(tmp_path, FILES, functions=functions) as service:
        answer = await post(service, "/functions/fails", Prefer="respond-async, wait=20")
        assert (answer.status, answer.json["reason"], answer.json["errorMessage"]) == (502, "error", "no words")
        assert answer.headers["Location"] == f"/v1/jobs/{answer.headers['X-Job-Id']}"


# Idempotency keys


async def test_the_same_key_gives_the_same_202_whatever_has_become_of_the_job(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        first = await service.post(QUICK_URL, headers={"Idempotency-Key": '"order-7"'}, data=b"{}")
        await service.until(first.json["id"], "succeeded")
        await service.clock.advance(5)
        again = await service.post(QUICK_URL, headers={"Idempotency-Key": "order-7"}, data=b"{}")
        assert (first.status, again.status) == (202, 202)
        assert again.json == first.json
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first.headers
        assert len((await service.get("/v1/jobs")).json["items"]) == 1


@pytest.mark.parametrize("change", [{"data": b"[]"}, {"url": QUICK_URL + "?a=1"}, {"method": "PUT"}])
async def test_another_request_with_the_same_key_is_422(tmp_path: Path, change: dict[str, Any]) -> None:
    facts: dict[str, Any] = {"method": "POST", "url": QUICK_URL, "data": b"{}"}
    async with serving(tmp_path, FILES, is_started=False) as service:
        first = await service.post(QUICK_URL, headers={"Idempotency-Key": "k"}, data=b"{}")
        facts |= change
        other = await service.ask(facts["method"], facts["url"], data=facts["data"], headers={"Idempotency-Key": "k"})
        assert (other.status, other.headers["Location"]) == (422, first.headers["Location"])
        assert len((await service.get("/v1/jobs")).json["items"]) == 1


async def test_a_key_belongs_to_a_function_and_ends_after_a_day(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        first = await post(service, Idempotency_Key="k")
        other = await post(service, "/functions/waiting-background", Idempotency_Key="k")
        assert other.json["id"] != first.json["id"]
        await service.clock.advance(86_401)
        later = await post(service, Idempotency_Key="k")
        assert later.json["id"] != first.json["id"]


async def test_a_hundred_requests_at_once_with_one_key_make_one_job(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        answers = await asyncio.gather(*(post(service, Idempotency_Key="once") for _ in range(100)))
        assert {answer.status for answer in answers} == {202}
        assert len({answer.json["id"] for answer in answers}) == 1
        assert len((await service.get("/v1/jobs")).json["items"]) == 1


@pytest.mark.parametrize("key", ["", '""', "a b", '"a', 'a"', "ä".encode().decode("latin-1"), "k" * 256])
async def test_a_bad_key_is_400(tmp_path: Path, key: str) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        answer = await post(service, Idempotency_Key=key)
        assert answer.status == 400
        assert answer.json["errors"][0]["header"] == "Idempotency-Key"


async def test_a_key_makes_a_job_of_a_synchronous_call_once(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        first = await post(service, "/functions/echo", Idempotency_Key="k", Prefer="respond-async")
        again = await post(service, "/functions/echo", Idempotency_Key="k", Prefer="respond-async")
        assert again.json == first.json


# When and how


@pytest.mark.parametrize("header", [("X-Job-Delay", "90"), ("X-Job-Delay", "1.5m"), ("X-Job-Run-At", None)])
async def test_a_delayed_job_is_scheduled_until_its_moment(tmp_path: Path, header: tuple[str, str | None]) -> None:
    async with serving(tmp_path, FILES) as service:
        at = service.clock.now() + timedelta(seconds=90)
        answer = await service.post(QUICK_URL, headers={header[0]: header[1] or at.isoformat()})
        assert (answer.status, answer.json["state"]) == (202, "scheduled")
        job_id = answer.json["id"]
        shown = (await service.get(f"/v1/jobs/{job_id}")).json
        assert shown["state"] == "scheduled"
        assert shown["run_at"] == shown["next_attempt_at"] == rfc3339(at)
        await service.clock.advance(89.9)
        assert (await service.job(job_id)).state == "scheduled"
        await service.clock.advance(0.2)
        await service.until(job_id, "succeeded")


async def test_a_moment_that_is_over_is_now(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        answer = await post(service, X_Job_Run_At="2020-01-01T00:00:00+02:00")
        assert answer.json["state"] == "queued"
        await service.until(answer.json["id"], "succeeded")


async def test_a_repeated_key_of_a_scheduled_job_says_scheduled(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        first = await post(service, X_Job_Delay="1h", Idempotency_Key="k")
        again = await post(service, X_Job_Delay="1h", Idempotency_Key="k")
        assert again.json == first.json


async def test_the_more_urgent_job_runs_first(tmp_path: Path) -> None:
    functions = {"waiting-background": FunctionSettings(concurrency=1)}
    async with serving(tmp_path, FILES, functions=functions) as service:
        first = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        normal = await service.start_job("waiting-background")
        urgent = await service.start_job("waiting-background", headers={"X-Job-Priority": "0"})
        service.go(first)
        await service.until(urgent, "running")
        assert (await service.job(normal)).state == "queued"
        service.go()
        await service.until(normal, "succeeded")


async def test_tags_are_shown_searched_and_sent_on(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        headers = [("X-Job-Tag", "invoice"), ("X-Job-Tag", "März"), ("X-Job-Tag", "invoice")]
        tagged = await service.start_job("quick-background", headers=headers)
        await service.start_job("quick-background")
        assert (await service.get(f"/v1/jobs/{tagged}")).json["tags"] == ["invoice", "März"]
        for query in ("tag=invoice", "tag=M%C3%A4rz&state=queued"):
            assert [job["id"] for job in (await service.get(f"/v1/jobs?{query}")).json["items"]] == [tagged]
        assert (await service.get("/v1/jobs?tag=nothing")).json["items"] == []


async def test_jobs_are_listed_from_a_moment_on(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        await service.start_job("quick-background")
        await service.clock.advance(60)
        moment = service.clock.now().isoformat()
        later = await service.start_job("quick-background")
        for text in (moment, moment.replace("+", "%2B"), moment.replace("+00:00", "Z"), "0s", "30s"):
            found = (await service.get(f"/v1/jobs?created_after={text}")).json["items"]
            assert [job["id"] for job in found] == [later]
        for long_ago in ("1582-10-15T00:00:00Z", "2m", "999999999d"):
            assert len((await service.get(f"/v1/jobs?created_after={long_ago}")).json["items"]) == 2
        for text in ("yesterday", "2", "-2h"):
            refused = await service.get(f"/v1/jobs?created_after={text}")
            assert (refused.status, refused.json["errors"][0]["parameter"]) == (400, "created_after")
            assert "or a span until now such as 24h" in refused.json["detail"]


async def test_a_timeout_may_only_be_lowered(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        job_id = await service.start_job("quick-background", headers={"X-Job-Timeout": "2m"})
        assert (await service.job(job_id)).timeout_s == 120.0
        assert (await post(service, X_Job_Timeout="16m")).status == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Job-Delay", "soon"),
        ("X-Job-Delay", "-1"),
        ("X-Job-Delay", "400d"),
        ("X-Job-Run-At", "tomorrow"),
        ("X-Job-Run-At", "2026-01-05T12:00:00"),
        ("X-Job-Run-At", "2126-01-05T12:00:00Z"),
        ("X-Job-Priority", "10"),
        ("X-Job-Priority", "high"),
        ("X-Job-Priority", "²".encode().decode("latin-1")),
        ("X-Job-Tag", ""),
        ("X-Job-Tag", "t" * 101),
        ("X-Job-Timeout", "0s"),
        ("X-Job-Timeout", "long"),
        ("X-Callback-Url", "https://example.com/"),
    ],
)
async def test_a_bad_header_is_400_and_named(tmp_path: Path, name: str, value: str) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        answer = await service.post(QUICK_URL, headers={name: value})
        assert answer.status == 400
        assert answer.json["errors"][0]["header"] == name
        assert (await service.get("/v1/jobs")).json["items"] == []


async def test_delay_and_moment_together_are_400(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        assert (await post(service, X_Job_Delay="1m", X_Job_Run_At="2026-02-05T12:00:00Z")).status == 400


async def test_an_answer_that_came_in_time_is_not_made_shorter(tmp_path: Path) -> None:
    async with serving(tmp_path, {"quick-background.py": QUICK}) as service:
        headers = {"Prefer": "wait=30, return=minimal"}
        answer = await service.post("/functions/quick-background", headers=headers)
        assert (answer.status, answer.headers["Preference-Applied"]) == (200, "wait=30")
