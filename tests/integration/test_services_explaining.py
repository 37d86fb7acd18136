"""What `explain` says of a delivery, of a whole service: the moment that it names is that of the next attempt."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.settings import BreakerSpec
from tests.support.receiver import OK, Receiver, answer, receiving
from tests.support.service import QUICK, Service, eventually, holds, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}
DOWN = answer(500)
NEAR_S = 0.009
"""So near to the moment that was named something comes; turns are 20 ms apart at the least."""
QUICK_BREAKER = BreakerSpec(failures=1, deliveries=1)


def options(receiver: Receiver, **changes: Any) -> dict[str, Any]:
    """Return a service that sends to a receiver, which it tries again after 100 s."""
    return {
        "functions": {"quick-background": sends_to("hook")},
        "destinations": {"hook": webhook(receiver.url, **{"waits": (100.0,) * 3, "breaker": None, **changes})},
    }


async def told(service: Service, job_id: str, sign: str) -> str:
    """Return what is said of a job's delivery, once it says `sign`."""

    async def look() -> str | None:
        found = (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"]
        if not found:
            return None
        said = str((await service.get(f"/v1/deliveries/{found[0]['id']}")).json["explain"])
        return said if sign in said else None

    return await eventually(look)


async def begun(service: Service) -> str:
    return await service.start_job("quick-background")


def moment_in(said: str) -> datetime:
    """Return the moment of the next attempt that a sentence names."""
    found = re.search(r"Attempt \d+ of \d+ is made at (?:about )?(\S+Z)", said)
    assert found, said
    return datetime.fromisoformat(found[1])


async def comes_then(service: Service, receiver: Receiver, said: str) -> None:
    """See that nothing is sent before the moment that a sentence names, and something is from then on."""
    before, left_s = len(receiver.requests), (moment_in(said) - service.clock.now()).total_seconds()
    await service.clock.advance(left_s - 0.01)
    assert len(receiver.requests) == before
    await service.clock.advance(0.02)
    await holds(lambda: len(receiver.requests) > before)


async def test_while_it_waits_for_its_next_attempt(tmp_path: Path) -> None:
    async with receiving(DOWN, OK) as receiver, serving(tmp_path, FILES, **options(receiver)) as service:
        job_id = await begun(service)
        said = await told(service, job_id, "Attempt 2 of 4")
        assert said.startswith("Attempt 1 of 4 failed with http_error")
        await comes_then(service, receiver, said)
        await told(service, job_id, "Delivered at")


@pytest.mark.parametrize("wait_s", [30, 500])
async def test_while_the_receiver_wants_nothing(tmp_path: Path, wait_s: int) -> None:
    busy = answer(429, f"Retry-After: {wait_s}\r\n")
    async with receiving(busy, OK) as receiver, serving(tmp_path, FILES, **options(receiver)) as service:
        first = await begun(service)
        await service.until_delivered(first, "retrying")
        second = await begun(service)
        said = await told(service, second, "asked to be left alone until then")
        assert (moment_in(said) - service.clock.now()).total_seconds() == wait_s
        await comes_then(service, receiver, said)
        await told(service, second, "Delivered at")


async def test_while_its_breaker_is_open_and_half_open(tmp_path: Path) -> None:
    settings = {"breaker": QUICK_BREAKER, "waits": (1.0,) * 9}
    async with (
        receiving(DOWN, DOWN, OK) as receiver,
        serving(tmp_path, FILES, **options(receiver, **settings)) as service,
    ):
        first = await begun(service)
        await told(service, first, "the breaker of hook is open")
        second = await begun(service)
        said = await told(service, second, "the breaker of hook is open")
        assert "or after that" in said
        await comes_then(service, receiver, said)  # the probe, which fails
        said = await told(service, first, "2 attempts at it in a row failed")
        await comes_then(service, receiver, said)
        for job_id in (first, second):
            await told(service, job_id, "Delivered at")


async def waiting(service: Service, count: int) -> list[dict[str, Any]]:
    """Return what waits to be sent, the oldest first, as soon as it is so many."""

    async def look() -> list[dict[str, Any]] | None:
        found = (await service.get("/v1/deliveries?state=pending&limit=500")).json["items"]
        return found[::-1] if len(found) == count else None

    return await eventually(look)


async def comes_at_its_turn(service: Service, receiver: Receiver, delivery: dict[str, Any], nth: int) -> None:
    """See that a delivery comes when it is said to, as the nth, and not before: the list and the sentence name one
    moment.
    """
    said = str((await service.get(f"/v1/deliveries/{delivery['id']}")).json["explain"])
    assert abs((moment_in(said) - datetime.fromisoformat(delivery["next_attempt_at"])).total_seconds()) < 0.002
    turn_s = 0.021 if "50 a second" in said else 10.001
    left_s = (moment_in(said) - service.clock.now()).total_seconds() - NEAR_S
    while left_s > turn_s:  # one comes, and is waited for: the clock goes faster than the store writes
        before = len(receiver.requests)
        await service.clock.advance(turn_s)
        await holds(lambda before=before: len(receiver.requests) > before)  # type: ignore[misc]
        left_s -= turn_s
    await service.clock.advance(left_s)
    await holds(lambda: len(receiver.requests) >= nth - 1)
    await service.app.store.deliveries.cancel("none")  # what was being claimed, has been
    assert (await service.get(f"/v1/deliveries/{delivery['id']}")).json["state"] == "pending"
    await service.clock.advance(2 * NEAR_S)
    await holds(lambda: len(receiver.requests) == nth)


async def test_while_it_waits_for_its_turn(tmp_path: Path) -> None:
    async with receiving(OK) as receiver, serving(tmp_path, FILES, **options(receiver, rate=0.1)) as service:
        jobs = [await begun(service) for _ in range(8)]
        found = await waiting(service, 7)
        last = await told(service, found[-1]["job_id"], "6 go before it, at 6 a minute.")
        assert 60 < (moment_in(last) - service.clock.now()).total_seconds() <= 70
        await comes_at_its_turn(service, receiver, found[0], 2)
        found = await waiting(service, 6)
        await comes_at_its_turn(service, receiver, found[3], 6)
        await service.clock.advance(10.1)
        await told(service, found[-1]["job_id"], "its turn is the next, at 6 a minute.")
        await service.clock.advance(10.1)
        for job_id in jobs:
            await told(service, job_id, "Delivered at")


async def test_while_what_was_held_is_spread(tmp_path: Path) -> None:
    async with receiving(OK) as receiver, serving(tmp_path, FILES, **options(receiver, concurrency=100)) as service:
        await service.post("/v1/destinations/hook/pause")
        for _ in range(60):
            await begun(service)
        await until_held(service, 60)
        await service.post("/v1/destinations/hook/resume")
        (*_, last) = await waiting(service, 54)  # a tenth of a second's worth, and one, went at once
        await told(service, last["job_id"], "53 go before it, at 50 a second.")
        await comes_at_its_turn(service, receiver, last, 60)


async def test_while_what_waits_until_its_receiver_wants_it_is_to_be_spread(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"waits": (3600.0,), "concurrency": 100}
    busy = answer(429, "Retry-After: 100\r\n")
    async with receiving(busy, OK) as receiver, serving(tmp_path, FILES, **options(receiver, **settings)) as service:
        await service.until_delivered(await begun(service), "retrying")
        for _ in range(60):
            await begun(service)
        (*_, last) = await waiting(service, 60)
        said = await told(service, last["job_id"], "then 59 go before it, at 50 a second.")
        left_s = (moment_in(said) - service.clock.now()).total_seconds()
        assert left_s == pytest.approx(100 + (60 - 6) / 50, abs=0.002)  # 6 go at once
        await service.clock.advance(100.001)
        await holds(lambda: len(receiver.requests) == 1 + 6)
        last["next_attempt_at"] = (await service.get(f"/v1/deliveries/{last['id']}")).json["next_attempt_at"]
        assert abs((datetime.fromisoformat(last["next_attempt_at"]) - moment_in(said)).total_seconds()) < 0.005
        await comes_at_its_turn(service, receiver, last, 1 + 60)


async def until_held(service: Service, count: int) -> None:
    async def look() -> bool | None:
        return (await service.get("/v1/destinations/hook")).json["held"] == count or None

    await eventually(look)


@pytest.mark.parametrize(
    ("how", "sign"), [("paused", "paused by an operator since"), ("disabled", "it answered 410 Gone")]
)
async def test_while_it_is_held(tmp_path: Path, how: str, sign: str) -> None:
    replies = [answer(410), OK] if how == "disabled" else [OK]
    async with receiving(*replies) as receiver, serving(tmp_path, FILES, **options(receiver)) as service:
        if how == "disabled":
            await service.until_delivered(await begun(service), "dead")
        else:
            await service.post("/v1/destinations/hook/pause")
        job_id = await begun(service)
        said = await told(service, job_id, sign)
        assert "`sendoff destinations resume hook` has it sent." in said
        await service.clock.advance(100_000)
        assert len(receiver.requests) == len(replies) - 1
        await service.post("/v1/destinations/hook/resume")
        await told(service, job_id, "Delivered at")


async def test_while_its_destination_is_not_configured(tmp_path: Path) -> None:
    async with receiving(DOWN, OK) as receiver:
        settings = options(receiver)
        async with serving(tmp_path, FILES, **settings) as service:
            job_id = await begun(service)
            await service.until_delivered(job_id, "retrying")
            assert await service.reload()
            await told(service, job_id, "hook is not in the configuration any more")
            await service.clock.advance(1000)
            assert len(receiver.requests) == 1
            assert await service.reload(**settings)
            await told(service, job_id, "Delivered at")


async def test_once_it_is_dead(tmp_path: Path) -> None:
    async with (
        receiving(DOWN, DOWN, OK) as receiver,
        serving(tmp_path, FILES, **options(receiver, waits=(5.0,))) as service,
    ):
        job_id = await begun(service)
        await comes_then(service, receiver, await told(service, job_id, "Attempt 2 of 2"))
        said = await told(service, job_id, "It is dead")
        again = re.search(r"`sendoff replay (\S+)` sends it again", said)
        assert again
        await service.clock.advance(100_000)
        assert len(receiver.requests) == 2
        await service.post(f"/v1/deliveries/{again[1]}/replay")
        await told(service, job_id, "Delivered at")
