"""A policy holds over restarts between any two attempts: none is made early, none is left out, none is made twice."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.settings import Exponential, RetrySpec
from pipeline.retry import policy
from tests.support.fake_clock import FakeClock
from tests.support.receiver import Receiver, answer, receiving
from tests.support.service import QUICK, Service, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}
POLICIES = {
    "default": RetrySpec(name="default"),
    "standard": RetrySpec(name="standard"),
    "svix": RetrySpec(name="svix"),
    "fast": RetrySpec(name="fast"),
    "waits": RetrySpec(waits=(7.0, 70.0)),
    "exponential": RetrySpec(exponential=Exponential(base=3.0, factor=2.0, max=20.0, attempts=5)),
}


def options(receiver: Receiver, retry: RetrySpec) -> dict[str, Any]:
    settings = {"retry": retry, "breaker": None, "disable_after": None}
    return {
        "functions": {"quick-background": sends_to("hook")},
        "destinations": {"hook": webhook(receiver.url, **settings)},
    }


async def due_at(service: Service, job_id: str, attempt: int) -> datetime:
    """Return when the attempt after this one is due, as the status says, once this one has failed."""
    await service.until_delivered(job_id, "retrying", attempt=attempt)
    (shown,) = (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"]
    return datetime.fromisoformat(shown["next_attempt_at"])


@pytest.mark.parametrize("name", POLICIES)
async def test_a_policy_survives_restarts_between_any_two_attempts(tmp_path: Path, name: str) -> None:
    rule = policy(POLICIES[name])
    clock = FakeClock()
    async with receiving(answer(500)) as receiver:
        settings = options(receiver, POLICIES[name])
        async with serving(tmp_path, FILES, clock=clock, grace_s=0.0, **settings) as service:
            job_id = await service.start_job("quick-background")
            failed_at = clock.now()
            due = await due_at(service, job_id, 1)
        for attempt in range(2, rule.max_attempts + 1):
            wait_s = rule.wait_s(attempt - 1)
            assert wait_s is not None
            assert wait_s <= (due - failed_at).total_seconds() <= wait_s * 1.2 + 0.001
            async with serving(tmp_path, FILES, clock=clock, grace_s=0.0, **settings) as service:
                await clock.advance((due - clock.now() - timedelta(milliseconds=10)).total_seconds())
                (early,) = await service.until_delivered(job_id, "retrying")
                assert (early.attempt, len(receiver.requests)) == (attempt - 1, attempt - 1)
                await clock.advance(0.1)
                failed_at = clock.now()
                if attempt < rule.max_attempts:
                    due = await due_at(service, job_id, attempt)
                else:
                    (dead,) = await service.until_delivered(job_id, "dead")
        assert (dead.attempt, dead.reason) == (rule.max_attempts, "http_error")
        assert [each.headers["x-sendoff-attempt"] for each in receiver.requests] == [
            str(number) for number in range(1, rule.max_attempts + 1)
        ]
        assert len({each.headers["webhook-id"] for each in receiver.requests}) == 1
