"""A destination that only fails is left alone, tried with one attempt at a time, and goes on by itself."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from orjson import loads

from pipeline.config.settings import BreakerSpec, RetrySpec
from tests.support.fake_clock import START, FakeClock
from tests.support.receiver import OK, Receiver, answer, receiving
from tests.support.service import QUICK, Service, eventually, holds, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}
DOWN = answer(500)


def options(*destinations: tuple[str, Receiver], **changes: Any) -> dict[str, Any]:
    """Return a service whose function sends to receivers; every wait is 10 s, which jitter makes 12 at most."""
    settings = {"waits": (10.0,) * 30, **changes}
    return {
        "functions": {"quick-background": sends_to(*(name for name, _ in destinations))},
        "destinations": {name: webhook(receiver.url, **settings) for name, receiver in destinations},
    }


def _telling(oncall: Receiver, service: dict[str, Any]) -> dict[str, Any]:
    destinations = service["destinations"] | {"oncall": webhook(oncall.url, breaker=None)}
    return service | {"destinations": destinations, "alerts": ["oncall"]}


async def breaker(service: Service, name: str = "hook") -> str:
    return str((await service.get(f"/v1/destinations/{name}")).json["breaker"])


async def opened(service: Service, receiver: Receiver) -> list[str]:
    """Have five deliveries fail twice; return their jobs."""
    jobs = [await service.start_job("quick-background") for _ in range(5)]
    for job_id in jobs:
        await service.until_delivered(job_id, "retrying", attempt=1)
    assert await breaker(service) == "closed"
    await service.clock.advance(12)
    for job_id in jobs:
        await service.until_delivered(job_id, "retrying", attempt=2)
    assert (await breaker(service), len(receiver.requests)) == ("open", 10)
    return jobs


async def test_it_opens_waits_tries_once_and_closes_with_the_first_success(tmp_path: Path) -> None:
    async with (
        receiving(*[DOWN] * 11, OK) as receiver,
        serving(tmp_path, FILES, **options(("hook", receiver))) as service,
    ):
        jobs = await opened(service, receiver)
        shown = (await service.get("/v1/destinations/hook")).json
        assert (shown["state"], shown["not_before"]) == ("active", "2026-01-05T12:00:42.000Z")
        jobs.append(await service.start_job("quick-background"))
        await service.until(jobs[-1], "succeeded")
        await service.clock.advance(29)
        for job_id, attempt in zip(jobs, [2, 2, 2, 2, 2, 0], strict=True):
            await service.until_delivered(job_id, "pending", attempt=attempt)  # it came due, and spends nothing
            (waiting,) = (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"]
            assert waiting["next_attempt_at"] == shown["not_before"]
        assert len(receiver.requests) == 10

        await service.clock.advance(1.1)
        await holds(lambda: len(receiver.requests) == 11)

        async def is_left_alone_again() -> bool | None:
            return await breaker(service) == "open" or None

        await eventually(is_left_alone_again)
        not_before = (await service.get("/v1/destinations/hook")).json["not_before"]
        assert not_before == "2026-01-05T12:01:42.100Z"  # the wait has doubled
        await service.clock.advance(59)
        assert len(receiver.requests) == 11

        await service.clock.advance(1.1)
        for job_id in jobs:
            await service.until_delivered(job_id, "delivered")
        assert (await breaker(service), len(receiver.requests)) == ("closed", 17)


@pytest.mark.parametrize(("asked_s", "until"), [(3, "12:00:30.000Z"), (300, "12:05:00.000Z")])
async def test_answers_that_ask_for_a_pause_count_and_the_longer_wait_holds(
    tmp_path: Path, asked_s: int, until: str
) -> None:
    both_came = asyncio.Barrier(2)

    async def busy(writer: asyncio.StreamWriter) -> None:
        await both_came.wait()  # so that neither has to wait for the other's pause
        writer.write(answer(503, f"Retry-After: {asked_s}\r\n"))

    spec = BreakerSpec(failures=2, deliveries=2)
    async with (
        receiving(busy) as receiver,
        serving(tmp_path, FILES, **options(("hook", receiver), breaker=spec)) as service,
    ):
        for job_id in [await service.start_job("quick-background") for _ in range(2)]:
            await service.until_delivered(job_id, "retrying")
        shown = (await service.get("/v1/destinations/hook")).json
        assert (shown["breaker"], shown["not_before"]) == ("open", f"2026-01-05T{until}")


async def test_half_open_lets_one_attempt_through_at_a_time(tmp_path: Path) -> None:
    async with receiving(DOWN) as receiver, serving(tmp_path, FILES, **options(("hook", receiver))) as service:
        await opened(service, receiver)
        for number in range(1, 5):
            await service.clock.advance(600.1)
            await holds(lambda number=number: len(receiver.requests) == 10 + number)  # type: ignore[misc]
            await service.clock.advance(1)
            assert len(receiver.requests) == 10 + number
            assert await breaker(service) == "open"


async def test_what_was_half_open_while_paused_has_all_its_slots_once_it_is_resumed(tmp_path: Path) -> None:
    goes_on = asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await goes_on.wait()
        writer.write(OK)

    async with receiving(*[DOWN] * 10, late) as receiver:
        settings = options(("hook", receiver))
        async with serving(tmp_path, FILES, **settings) as service:
            jobs = await opened(service, receiver)
            await service.post("/v1/destinations/hook/pause")
            await service.clock.advance(60)
            assert await breaker(service) == "half_open"
            gate = service.app._deliveries.gates["hook"]
            await service.reload(**settings)
            assert service.app._deliveries.gates["hook"] is gate
            await service.post("/v1/destinations/hook/resume")
            await holds(lambda: len(receiver.requests) == 10 + len(jobs))  # none of them is answered
            goes_on.set()
            for job_id in jobs:
                await service.until_delivered(job_id, "delivered")


async def test_others_go_on_while_one_is_left_alone(tmp_path: Path) -> None:
    async with receiving(DOWN) as down, receiving(OK) as up:
        settings = options(("hook", down), ("other", up))
        async with serving(tmp_path, FILES, **settings) as service:
            jobs = [await service.start_job("quick-background") for _ in range(10)]
            await holds(lambda: len(down.requests) == len(up.requests) == 10)
            await holds_open(service)
            jobs += [await service.start_job("quick-background") for _ in range(10)]
            await holds(lambda: len(up.requests) == 20)
            assert (await breaker(service, "other"), len(down.requests)) == ("closed", 10)


async def holds_open(service: Service) -> None:
    async def is_open() -> bool | None:
        return await breaker(service) == "open" or None

    await eventually(is_open)


async def test_an_open_breaker_outlives_a_restart(tmp_path: Path) -> None:
    async with receiving(*[DOWN] * 10, OK) as receiver:
        settings = options(("hook", receiver))
        async with serving(tmp_path, FILES, **settings) as service:
            jobs = await opened(service, receiver)
            clock = service.clock
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            assert (await breaker(service), len(receiver.requests)) == ("open", 10)
            await service.clock.advance(20)
            assert len(receiver.requests) == 10
            await service.clock.advance(11)
            for job_id in jobs:
                (delivery,) = await service.until_delivered(job_id, "delivered")
                assert delivery.attempt == 3


async def test_a_breaker_that_opened_while_the_clock_was_ahead_is_tried_after_its_longest_wait(tmp_path: Path) -> None:
    async with receiving(*[DOWN] * 10, OK) as receiver:
        settings = options(("hook", receiver), breaker=BreakerSpec(max_wait=50.0))
        async with serving(tmp_path, FILES, **settings) as service:
            await opened(service, receiver)
            clock = service.clock
        clock.turn((START - clock.now()).total_seconds() - 7 * 24 * 3600)
        for _ in range(2):  # a restart begins no new wait
            async with serving(tmp_path, FILES, clock=clock, **settings) as service:
                shown = (await service.get("/v1/destinations/hook")).json
                assert (shown["breaker"], shown["not_before"]) == ("open", "2025-12-29T12:00:50.000Z")
                assert "2025-12-29T12:00:00" <= shown["since"] < shown["not_before"]
        clock.turn((datetime(2025, 12, 29, 12, 0, tzinfo=UTC) - clock.now()).total_seconds() + 20)
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            assert (await service.get("/v1/destinations/hook")).json["not_before"] == "2025-12-29T12:00:50.000Z"
            fresh = await service.start_job("quick-background")
            await service.until(fresh, "succeeded")
            await service.clock.advance(29)
            assert len(receiver.requests) == 10
            await service.clock.advance(1.1)
            await service.until_delivered(fresh, "delivered")
            assert (await breaker(service), len(receiver.requests)) == ("closed", 11)


async def test_failures_are_counted_over_restarts(tmp_path: Path) -> None:
    clock = FakeClock()
    async with receiving(DOWN) as receiver:
        settings = options(("hook", receiver), waits=(3600.0,) * 3)  # none comes due as services end and begin
        for number in range(1, 11):
            async with serving(tmp_path, FILES, clock=clock, **settings) as service:
                job_id = await service.start_job("quick-background")
                await service.until_delivered(job_id, "retrying")
                assert await breaker(service) == ("open" if number == 10 else "closed")


async def test_resume_closes_it_at_once(tmp_path: Path) -> None:
    async with (
        receiving(*[DOWN] * 10, OK) as receiver,
        serving(tmp_path, FILES, **options(("hook", receiver))) as service,
    ):
        jobs = await opened(service, receiver)
        await service.clock.advance(12)  # they are due
        shown = (await service.get("/v1/destinations/hook")).json
        assert shown["reason"].endswith(" attempts at it in a row failed, the last one with http_error (answered 500)")
        assert "2026-01-05T12:00:00" <= shown["since"] < shown["not_before"]
        resumed = await service.post("/v1/destinations/hook/resume")
        assert (resumed.status, resumed.json["breaker"]) == (202, "closed")
        assert (resumed.json["reason"], resumed.json["since"]) == (None, None)
        for job_id in jobs:
            await service.until_delivered(job_id, "delivered")


async def test_only_max_age_ends_what_waits_for_it(tmp_path: Path) -> None:
    async with receiving(DOWN) as receiver:
        retry = RetrySpec(waits=(10.0,) * 30, max_age=100.0)
        settings = options(
            ("hook", receiver), waits=None, retry=retry, breaker=BreakerSpec(wait=3600.0, max_wait=3600.0)
        )
        async with serving(tmp_path, FILES, **settings) as service:
            jobs = await opened(service, receiver)
            untried = await service.start_job("quick-background")
            await service.until(untried, "succeeded")
            await service.clock.advance(60)
            await service.clock.advance(30)
            await service.until_delivered(jobs[0], "pending")
            await service.clock.advance(60)
            for job_id in (*jobs, untried):
                (delivery,) = await service.until_delivered(job_id, "dead")
                assert delivery.reason == "http_error"
            assert len(receiver.requests) == 10


@pytest.mark.parametrize("how", ["paused", "disabled", "unconfigured"])
async def test_max_age_ends_nothing_that_is_held(tmp_path: Path, how: str) -> None:
    last = answer(500, "webhook-delivery: disable\r\n") if how == "disabled" else DOWN
    retry = RetrySpec(waits=(10.0,) * 30, max_age=100.0)
    async with receiving(*[DOWN] * 9, last) as receiver:
        settings = options(("hook", receiver), waits=None, retry=retry, breaker=BreakerSpec(wait=3600.0))
        async with serving(tmp_path, FILES, **settings) as service:
            jobs = await opened(service, receiver)
            if how == "paused":
                await service.post("/v1/destinations/hook/pause")
            if how == "unconfigured":
                assert await service.reload(FILES, functions={"quick-background": sends_to()}, destinations={})
            for _ in range(4):
                await service.clock.advance(60)
                # What was to be written by then is written.
                await service.until(await service.start_job("quick-background"), "succeeded")
            shown = (await service.get("/v1/destinations/hook")).json
            held = len(jobs) if how == "unconfigured" else len(jobs) + 4
            assert (shown["state"], shown["held"], shown["dead"]) == (how, held, 0)


async def test_one_that_is_added_while_its_breaker_is_open_is_sent_to_once_that_is_over(tmp_path: Path) -> None:
    wait = answer(503, "Retry-After: 5\r\n")
    async with receiving(*[DOWN] * 10, OK) as receiver, receiving(wait) as other:
        settings = options(("hook", receiver), ("other", other))
        async with serving(tmp_path, FILES, **options(("hook", receiver))) as service:
            jobs = await opened(service, receiver)
            await service.clock.advance(12)
            for job_id in jobs:
                await service.until_delivered(job_id, "pending")
        alone = options(("other", other))
        async with serving(tmp_path, FILES, clock=service.clock, **alone) as later:
            assert await later.reload(FILES, **alone | {"destinations": settings["destinations"]})
            # The wall clock is set: that it is over is seen as another destination asks to be left alone.
            later.clock.turn(60)
            await later.until_delivered(await later.start_job("quick-background"), "retrying")
            for job_id in jobs:
                await later.until_delivered(job_id, "delivered")


async def test_a_reload_that_takes_the_breaker_away_closes_it(tmp_path: Path) -> None:
    async with (
        receiving(*[DOWN] * 10, OK) as receiver,
        serving(tmp_path, FILES, **options(("hook", receiver))) as service,
    ):
        jobs = await opened(service, receiver)
        assert await service.reload(FILES, **options(("hook", receiver), breaker=None))
        shown = (await service.get("/v1/destinations/hook")).json
        assert (shown["breaker"], shown["not_before"], shown["reason"]) == ("closed", None, None)
        await service.clock.advance(12)  # by their own waits, which a breaker of 30 s would have kept
        for job_id in jobs:
            await service.until_delivered(job_id, "delivered")


async def test_a_destination_without_a_breaker_is_tried_for_ever(tmp_path: Path) -> None:
    async with receiving(DOWN) as receiver:
        settings = options(("hook", receiver), breaker=None)
        async with serving(tmp_path, FILES, **settings) as service:
            for _ in range(20):
                await service.until_delivered(await service.start_job("quick-background"), "retrying")
            assert (await breaker(service), len(receiver.requests)) == ("closed", 20)


async def test_what_a_lost_lease_keeps_from_being_stored_opens_it_all_the_same(tmp_path: Path) -> None:
    taken = asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await taken.wait()
        writer.write(DOWN)

    spec = BreakerSpec(failures=1, deliveries=1)
    async with (
        receiving(late, OK) as receiver,
        receiving(OK) as oncall,
        serving(tmp_path, FILES, **_telling(oncall, options(("hook", receiver), breaker=spec))) as service,
    ):
        lost = await service.start_job("quick-background")
        await holds(lambda: len(receiver.requests) == 1)
        with closing(sqlite3.connect(service.app.store.path, timeout=1.0)) as other, other:
            other.execute(
                "UPDATE delivery SET lease_owner = 'another', lease_token = lease_token + 1, lease_expires_at = 1e18"
            )
        taken.set()

        async def is_open() -> bool | None:
            return await breaker(service) == "open" or None

        await eventually(is_open)
        await holds(lambda: [loads(each.body)["type"] for each in oncall.requests] == ["destination.breaker_opened"])
        (stored,) = [each for each in await service.app.store.destinations.list() if each.name == "hook"]
        assert stored.health.opened_at is not None
        waiting = await service.start_job("quick-background")
        await service.until(waiting, "succeeded")
        await service.clock.advance(30.1)
        await service.until_delivered(waiting, "delivered")
        (untouched,) = await service.until_delivered(lost, "sending")
        assert (untouched.attempt, await breaker(service)) == (1, "closed")
