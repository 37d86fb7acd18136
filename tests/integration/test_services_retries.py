"""Runs and deliveries over time: retries at their exact moments, promotion, and what the history shows of them."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.config.settings import FunctionSettings, RetrySpec
from pipeline.services.lane import Lane
from tests.support.receiver import OK, answer, receiving, silence
from tests.support.service import QUICK, eventually, holds, sends_to, serving, webhook

FLAKY = """
    def handler(event, context):
        print("attempt", context.attempt, "of", context.max_attempts)
        if context.attempt < 3:
            raise ValueError(f"attempt {context.attempt}")
        return {"attempt": context.attempt}
    """
NEVER = """
    def handler(event, context):
        raise ValueError("never")
    """
REJECTED = """
    def handler(event, context):
        context.reject("no such document")
    """
UNAVAILABLE = answer(503, body=b"later")


# Runs


async def test_a_run_is_tried_again_after_one_and_two_minutes_exactly(tmp_path: Path) -> None:
    async with serving(tmp_path, {"flaky-background.py": FLAKY}) as service:
        job_id = await service.start_job("flaky-background")
        for number, wait_s in ((1, 60), (2, 120)):
            job = await service.until(job_id, "retrying", run=number)
            assert job.attempt == number
            assert job.due_at == service.clock.now() + timedelta(seconds=wait_s)
            shown = (await service.get(f"/v1/jobs/{job_id}")).json
            assert (shown["state"], shown["reason"]) == ("retrying", "error")
            assert shown["error"]["errorMessage"] == f"attempt {number}"
            assert shown["next_attempt_at"] == job.due_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            await service.clock.advance(wait_s - 0.5)
            assert (await service.job(job_id)).state == "retrying"
            await service.clock.advance(0.51)
        job = await service.until(job_id, "succeeded")
        assert (job.attempt, job.run, job.lost) == (3, 3, 0)
        assert (await service.get(f"/v1/jobs/{job_id}/result")).body == b'{"attempt":3}'
        runs = (await service.get(f"/v1/jobs/{job_id}/runs")).json["items"]
        assert [(run["run"], run["attempt"], run["state"], run["reason"]) for run in runs] == [
            (1, 1, "failed", "error"),
            (2, 2, "failed", "error"),
            (3, 3, "succeeded", None),
        ]
        lines = (await service.get(f"/v1/jobs/{job_id}/logs")).json["items"]
        assert [(line["number"], line["run"], line["text"]) for line in lines] == [
            (number, number, f"attempt {number} of 3") for number in (1, 2, 3)
        ]


async def test_a_job_that_fails_every_time_ends_after_its_attempts_and_says_so(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        functions = {"never-background": sends_to("archive", retry=RetrySpec(waits=(1.0,)))}
        destinations = {"archive": webhook(receiver.url)}
        files = {"never-background.py": NEVER}
        async with serving(tmp_path, files, functions=functions, destinations=destinations) as service:
            job_id = await service.start_job("never-background")
            await service.until(job_id, "retrying")
            await service.clock.advance(1.01)
            job = await service.until(job_id, "failed")
            assert (job.attempt, job.run, job.max_attempts, job.reason) == (2, 2, 2, "error")
            (delivery,) = await service.until_delivered(job_id, "delivered")
            assert delivery.type == "job.failed"
            assert len(receiver.requests) == 1
            assert b'"errorMessage":"never"' in receiver.requests[0].body


@pytest.mark.parametrize("source", [REJECTED, NEVER])
async def test_a_run_that_must_not_be_tried_again_is_the_last(tmp_path: Path, source: str) -> None:
    waits = (60.0,) if source is REJECTED else ()
    functions = {"f-background": FunctionSettings(retry=RetrySpec(waits=waits))}
    async with serving(tmp_path, {"f-background.py": source}, functions=functions) as service:
        job_id = await service.start_job("f-background")
        job = await service.until(job_id, "failed")
        assert (job.run, job.reason) == (1, "rejected" if source is REJECTED else "error")


async def test_a_job_that_waits_for_its_retry_survives_a_restart(tmp_path: Path) -> None:
    files = {"flaky-background.py": FLAKY}
    async with serving(tmp_path, files) as service:
        job_id, clock = await service.start_job("flaky-background"), service.clock
        await service.until(job_id, "retrying")
    await clock.advance(30)
    async with serving(tmp_path, files, clock=clock) as service:
        assert (await service.job(job_id)).state == "retrying"
        await clock.advance(25.5)  # the drain took five
        await service.until(job_id, "retrying", run=2)
    await clock.advance(1000)
    async with serving(tmp_path, files, clock=clock) as service:
        assert (await service.until(job_id, "succeeded")).attempt == 3


async def test_many_jobs_due_at_once_are_all_run(tmp_path: Path) -> None:
    source = """
        def handler(event, context):
            if context.attempt == 1:
                raise ValueError("once")
            return context.attempt
        """
    async with serving(tmp_path, {"once-background.py": source}) as service:
        jobs = [await service.start_job("once-background") for _ in range(30)]
        for job_id in jobs:
            await service.until(job_id, "retrying")
        await service.clock.advance(60.01)
        for job_id in jobs:
            assert (await service.until(job_id, "succeeded")).run == 2


# Deliveries


async def test_jitter_spreads_waits_evenly_over_a_fifth_more_and_shortens_none(tmp_path: Path) -> None:
    names = [f"hook{number}" for number in range(30)]
    async with receiving(answer(500)) as receiver:
        hooks = {name: webhook(receiver.url, waits=(100.0,), breaker=None) for name in names}
        functions = {"quick-background": sends_to(*names)}
        async with serving(
            tmp_path, {"quick-background.py": QUICK}, functions=functions, destinations=hooks
        ) as service:
            for _ in range(10):
                await service.start_job("quick-background")

            async def all_failed() -> list[float] | None:
                shown = (await service.get("/v1/deliveries?state=retrying&limit=500")).json["items"]
                moments = [datetime.fromisoformat(each["next_attempt_at"]) for each in shown]
                waits = [(moment - service.clock.now()).total_seconds() for moment in moments]
                return waits if len(waits) == 300 else None

            waits = sorted(await eventually(all_failed))
            assert (waits[0] >= 100, waits[-1] <= 120.001) == (True, True)
            assert len(set(waits)) > 280
            for tenth in range(10):  # about 30 each
                assert 10 < sum(100 + 2 * tenth <= wait < 102 + 2 * tenth for wait in waits) < 60


async def test_a_delivery_is_tried_again_by_its_policy_with_jitter_only_added(tmp_path: Path) -> None:
    async with (
        receiving(UNAVAILABLE, UNAVAILABLE, OK) as receiver,
        serving(
            tmp_path,
            {"quick-background.py": QUICK},
            functions={"quick-background": sends_to("archive")},
            destinations={"archive": webhook(receiver.url)},
        ) as service,
    ):
        job_id = await service.start_job("quick-background")
        for number, wait_s in ((1, 5.0), (2, 30.0)):
            (delivery,) = await service.until_delivered(job_id, "retrying", attempt=number)
            waited = (delivery.due_at - service.clock.now()).total_seconds()
            assert wait_s <= waited <= wait_s * 1.2
            await service.clock.advance(waited - 0.01)
            assert len(receiver.requests) == number
            await service.clock.advance(0.02)
        (delivery,) = await service.until_delivered(job_id, "delivered")
        shown = (await service.get(f"/v1/deliveries/{delivery.id}")).json
        assert (shown["state"], shown["attempt"], shown["max_attempts"]) == ("delivered", 3, 12)
        assert shown["last_error"] == {
            "class": "http_error",
            "message": "503 Service Unavailable",
            "status": 503,
        }
        assert [(each["number"], each["status"], each["class"], each["body"]) for each in shown["attempts"]] == [
            (1, 503, "http_error", "later"),
            (2, 503, "http_error", "later"),
            (3, 200, None, "ok"),
        ]
        moments = [(each["started_at"], each["next_attempt_at"]) for each in shown["attempts"]]
        assert all(due is None or due <= following[0] for (_, due), following in pairwise(moments))
        assert [request.headers["x-sendoff-attempt"] for request in receiver.requests] == ["1", "2", "3"]
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
        assert len({request.body for request in receiver.requests}) == 1


async def test_a_delivery_dies_when_its_attempts_are_spent_and_its_job_does_not_mind(tmp_path: Path) -> None:
    async with (
        receiving(UNAVAILABLE) as receiver,
        serving(
            tmp_path,
            {"quick-background.py": QUICK},
            functions={"quick-background": sends_to("archive")},
            destinations={"archive": webhook(receiver.url, waits=(1.0,))},
        ) as service,
    ):
        job_id = await service.start_job("quick-background")
        await service.until_delivered(job_id, "retrying")
        await service.clock.advance(1.3)
        (delivery,) = await service.until_delivered(job_id, "dead")
        assert (delivery.attempt, delivery.reason) == (2, "http_error")
        shown = (await service.get(f"/v1/jobs/{job_id}")).json
        assert shown["state"] == "succeeded"
        assert shown["deliveries"]["dead"] == 1
        last = (await service.get(f"/v1/deliveries/{delivery.id}")).json["attempts"][-1]
        assert (last["next_attempt_at"], last["why"]) == (None, "attempt 2 of 2 was the last")
        await service.clock.advance(3600)
        assert len(receiver.requests) == 2


@pytest.mark.parametrize(("status", "reason"), [(413, "rejected"), (410, "gone")])
async def test_a_final_answer_ends_a_delivery_at_once(tmp_path: Path, status: int, reason: str) -> None:
    async with (
        receiving(answer(status)) as receiver,
        serving(
            tmp_path,
            {"quick-background.py": QUICK},
            functions={"quick-background": sends_to("archive")},
            destinations={"archive": webhook(receiver.url)},
        ) as service,
    ):
        job_id = await service.start_job("quick-background")
        (delivery,) = await service.until_delivered(job_id, "dead")
        assert (delivery.attempt, delivery.reason) == (1, reason)


async def test_retry_after_holds_a_delivery_back_longer_than_its_policy(tmp_path: Path) -> None:
    async with (
        receiving(answer(503, "Retry-After: 600\r\n"), OK) as receiver,
        serving(
            tmp_path,
            {"quick-background.py": QUICK},
            functions={"quick-background": sends_to("archive")},
            destinations={"archive": webhook(receiver.url)},
        ) as service,
    ):
        job_id = await service.start_job("quick-background")
        (delivery,) = await service.until_delivered(job_id, "retrying")
        assert 600 <= (delivery.due_at - service.clock.now()).total_seconds() <= 720
        await service.clock.advance(721)
        await service.until_delivered(job_id, "delivered")


async def test_a_slow_receiver_delays_no_other(tmp_path: Path) -> None:
    async with (
        receiving(silence) as slow,
        receiving(OK) as quick,
        serving(
            tmp_path,
            {"quick-background.py": QUICK},
            functions={"quick-background": sends_to("slow", "quick")},
            destinations={"slow": webhook(slow.url, concurrency=1), "quick": webhook(quick.url)},
        ) as service,
    ):
        jobs = [await service.start_job("quick-background") for _ in range(5)]
        for job_id in jobs:
            await service.until(job_id, "succeeded")
        await holds(lambda: len(quick.requests) == 5)
        assert len(slow.requests) <= 1
        shown = (await service.get("/v1/destinations/slow")).json
        assert (shown["in_flight"], shown["due"], shown["last_success_at"]) == (1, 4, None)


async def test_what_is_held_ready_for_a_destination_is_not_sent_beyond_its_concurrency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lane, "_ahead", 20)
    answers = asyncio.Event()

    async def when_told(writer: asyncio.StreamWriter) -> None:
        await answers.wait()
        writer.write(OK)

    async with (
        receiving(when_told) as receiver,
        serving(
            tmp_path,
            {"quick-background.py": QUICK},
            functions={"quick-background": sends_to("hook")},
            destinations={"hook": webhook(receiver.url, concurrency=3)},
        ) as service,
    ):
        jobs = [await service.start_job("quick-background") for _ in range(12)]
        for job_id in jobs:
            await service.until(job_id, "succeeded")
        await holds(lambda: len(receiver.requests) == 3)
        await service.clock.advance(5)
        answers.set()
        durations = []
        for job_id in jobs:
            (delivery,) = await service.until_delivered(job_id, "delivered")
            shown = (await service.get(f"/v1/deliveries/{delivery.id}")).json
            durations += [attempt["duration_ms"] for attempt in shown["attempts"]]
    # The others' attempts had not begun.
    assert sorted(durations) == [0] * 9 + [5000] * 3
