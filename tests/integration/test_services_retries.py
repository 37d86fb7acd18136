"""Runs and deliveries over time: retries at their exact moments, promotion, and what the history shows of them."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.config.settings import FunctionSettings, RetrySpec
from pipeline.model import DeliveryState
from tests.support.receiver import OK, answer, receiving
from tests.support.service import Service, eventually, sends_to, serving, webhook

FAILS_TWICE = """
    def handler(event, context):
        print("attempt", context.attempt, "of", context.max_attempts)
        if context.attempt < 3:
            raise ValueError(f"attempt {context.attempt}")
        return {"attempt": context.attempt}
    """


async def test_a_run_is_tried_again_after_one_and_two_minutes_exactly(tmp_path: Path) -> None:
    async with serving(tmp_path, {"flaky-background.py": FAILS_TWICE}) as service:
        job_id = await service.start_job("flaky-background")
        for number, wait_s in ((1, 60), (2, 120)):
            job = await service.until(job_id, "retrying")
            assert (job.attempt, job.run) == (number, number)
            assert job.due_at == service.clock.now() + timedelta(seconds=wait_s)
            shown = (await service.get(f"/v1/jobs/{job_id}")).json
            assert (shown["state"], shown["reason"]) == ("retrying", "error")
            assert shown["error"]["errorMessage"] == f"attempt {number}"
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
