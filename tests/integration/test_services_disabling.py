"""A destination that is disabled: what it is owed is held, and flows when it is resumed, at a steady rate."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StoreFullError
from tests.support.fake_clock import settled
from tests.support.receiver import OK, Receiver, answer, receiving
from tests.support.service import QUICK, Service, eventually, holds, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}
DAY = 86_400.0


def options(receiver: Receiver, **changes: Any) -> dict[str, Any]:
    return {
        "functions": {"quick-background": sends_to("hook")},
        "destinations": {"hook": webhook(receiver.url, **changes)},
    }


async def shown(service: Service) -> Any:
    return (await service.get("/v1/destinations/hook")).json


async def held(service: Service, job_id: str) -> Any:
    """Return the delivery of a job once it is held."""

    async def look() -> Any:
        found = (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"]
        return found[0] if found and found[0]["state"] == "held" else None

    return await eventually(look)


async def test_gone_ends_its_delivery_and_holds_the_rest(tmp_path: Path) -> None:
    async with receiving(answer(410), OK) as receiver, serving(tmp_path, FILES, **options(receiver)) as service:
        first = await service.start_job("quick-background")
        (dead,) = await service.until_delivered(first, "dead")
        assert dead.reason == "gone"
        assert (await shown(service))["state"] == "disabled"
        second = await service.start_job("quick-background")
        waiting = await held(service, second)
        assert (waiting["reason"], waiting["attempt"], waiting["next_attempt_at"]) == ("disabled", 0, None)
        there = await shown(service)
        assert (there["held"], there["reason"], there["since"]) == (
            1, "it answered 410 Gone", "2026-01-05T12:00:00.000Z",
        )  # fmt: skip
        settled = await service.get(f"/v1/jobs/{second}?wait=30&until=settled")
        assert settled.json["deliveries"]["held"] == 1
        await service.clock.advance(30 * DAY)
        assert len(receiver.requests) == 1

        resumed = await service.post("/v1/destinations/hook/resume")
        assert (resumed.status, resumed.json["state"]) == (202, "active")
        await service.until_delivered(second, "delivered")
        assert (await service.post(f"/v1/deliveries/{dead.id}/replay")).status == 202
        await service.until_delivered(first, "delivered")


async def test_gone_may_be_taken_for_an_end_of_this_delivery_alone(tmp_path: Path) -> None:
    async with receiving(answer(410), OK) as receiver:
        settings = options(receiver, on_410="fail")
        async with serving(tmp_path, FILES, **settings) as service:
            await service.until_delivered(await service.start_job("quick-background"), "dead")
            assert (await shown(service))["state"] == "active"
            await service.until_delivered(await service.start_job("quick-background"), "delivered")


@pytest.mark.parametrize(("status", "state"), [(200, "delivered"), (503, "held")])
async def test_a_receiver_may_ask_to_be_disabled(tmp_path: Path, status: int, state: str) -> None:
    asks = answer(status, "Webhook-Delivery: disable\r\n")
    async with receiving(asks, OK) as receiver, serving(tmp_path, FILES, **options(receiver)) as service:
        job_id = await service.start_job("quick-background")
        if state == "held":
            waiting = await held(service, job_id)
            assert (waiting["attempt"], waiting["last_error"]["status"]) == (1, 503)
        else:
            await service.until_delivered(job_id, "delivered")
        assert (await shown(service))["state"] == "disabled"


async def test_a_receiver_may_abort_one_message(tmp_path: Path) -> None:
    asks = answer(500, "Webhook-Delivery: abort-message\r\n")
    async with receiving(asks, OK) as receiver, serving(tmp_path, FILES, **options(receiver)) as service:
        (dead,) = await service.until_delivered(await service.start_job("quick-background"), "dead")
        assert dead.last_error is not None
        assert (dead.reason, dead.last_error.message) == (
            "rejected",
            "500 Internal Server Error, webhook-delivery: abort-message",
        )
        assert (await shown(service))["state"] == "active"
        await service.until_delivered(await service.start_job("quick-background"), "delivered")


async def test_five_days_of_failures_disable_it(tmp_path: Path) -> None:
    async with receiving(*[answer(500)] * 12, OK) as receiver:
        settings = options(receiver, waits=(DAY,) * 30, breaker=None)
        async with serving(tmp_path, FILES, **settings) as service:
            jobs = [await service.start_job("quick-background") for _ in range(2)]
            for day in range(1, 7):
                for job_id in jobs:
                    await service.until_delivered(job_id, "retrying", attempt=day)
                assert (await shown(service))["state"] == ("active" if day < 6 else "disabled")
                await service.clock.advance(1.2 * DAY if day < 5 else 0.25 * DAY)
                if day == 5:  # jitter only lengthens waits: by now the first of them may have come due
                    await service.clock.advance(DAY)
            clock = service.clock
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            assert (await shown(service))["state"] == "disabled"
            for job_id in jobs:
                assert (await held(service, job_id))["reason"] == "disabled"
            await service.clock.advance(30 * DAY)
            assert len(receiver.requests) == 12
            assert (await service.post("/v1/destinations/hook/resume")).status == 202
            for job_id in jobs:
                (delivery,) = await service.until_delivered(job_id, "delivered")
                assert delivery.attempt == 7


async def test_what_is_disabled_can_be_paused_too_and_is_resumed_from_both(tmp_path: Path) -> None:
    async with receiving(answer(410), OK) as receiver, serving(tmp_path, FILES, **options(receiver)) as service:
        await service.until_delivered(await service.start_job("quick-background"), "dead")
        assert (await service.post("/v1/destinations/hook/pause")).json["state"] == "paused"
        assert (await service.post("/v1/destinations/hook/resume")).json["state"] == "active"
        await service.until_delivered(await service.start_job("quick-background"), "delivered")


async def test_an_attempt_that_ends_while_it_is_resumed_does_not_disable_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await taken.wait()
        writer.write(answer(500))

    async with receiving(late, answer(410), OK) as receiver:
        settings = options(receiver, waits=(1000.0,))
        async with serving(tmp_path, FILES, **settings) as service:
            slow = await service.start_job("quick-background")
            await holds(lambda: len(receiver.requests) == 1)
            await service.until_delivered(await service.start_job("quick-background"), "dead")
            resume = service.app.store.destinations.resume

            async def resumed(name: str) -> None:
                await resume(name)
                taken.set()  # after the store has it, and before anybody hears of that
                await service.until_delivered(slow, "retrying")

            monkeypatch.setattr(service.app.store.destinations, "resume", resumed)
            assert (await service.post("/v1/destinations/hook/resume")).json["state"] == "active"
            await service.until_delivered(await service.start_job("quick-background"), "delivered")
        async with serving(tmp_path, FILES, **settings) as service:
            assert (await service.get("/v1/destinations/hook")).json["state"] == "active"


async def test_a_start_whose_clock_is_behind_makes_no_failing_longer_than_it_was(tmp_path: Path) -> None:
    async with receiving(answer(500)) as receiver:
        settings = options(receiver, waits=(10.0,) * 30, breaker=None)
        async with serving(tmp_path, FILES, **settings) as service:
            for _ in range(10):
                await service.until_delivered(await service.start_job("quick-background"), "retrying")
            clock = service.clock
        clock.turn(-365 * DAY)
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            assert (await shown(service))["state"] == "active"
        clock.turn(365 * DAY)
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            await service.until_delivered(await service.start_job("quick-background"), "retrying")
            assert (await shown(service))["state"] == "active"


@pytest.mark.parametrize("earlier", ["an attempt", "a pause"])
async def test_what_was_to_be_written_before_a_resume_does_not_outlive_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: str
) -> None:
    taken, queued, resuming, gate = asyncio.Event(), asyncio.Event(), asyncio.Event(), threading.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await taken.wait()
        writer.write(answer(503, "Retry-After: 36000\r\n"))

    async with receiving(late, answer(503, "Retry-After: 100\r\n"), OK) as receiver:
        settings = options(receiver, waits=(1000.0,) * 3)
        async with serving(tmp_path, FILES, **settings) as service:
            slow = await service.start_job("quick-background")
            await holds(lambda: len(receiver.requests) == 1)
            await service.until_delivered(await service.start_job("quick-background"), "retrying")
            store = service.app.store
            monkeypatch.setattr(store, "record_attempt", noting(queued, store.record_attempt))
            monkeypatch.setattr(store.destinations, "pause", noting(queued, store.destinations.pause))
            monkeypatch.setattr(store.destinations, "resume", noting(resuming, store.destinations.resume))
            held_up = store._writer.write(lambda _, items: [gate.wait(20) for _ in items], None)
            pausing = None
            if earlier == "a pause":
                pausing = asyncio.ensure_future(service.post("/v1/destinations/hook/pause"))
            else:
                taken.set()
            await queued.wait()
            resumed = asyncio.ensure_future(service.post("/v1/destinations/hook/resume"))
            await resuming.wait()
            await settled()
            gate.set()  # both are written in one transaction
            await asyncio.gather(held_up, resumed, *([pausing] if pausing else []))
            taken.set()
            assert (await shown(service))["state"] == "active"
            if earlier == "an attempt":
                await service.until_delivered(slow, "retrying")
                assert (await shown(service))["not_before"] is None


def noting(event: asyncio.Event, verb: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def noted(*args: Any, **options: Any) -> Any:
        event.set()
        return await verb(*args, **options)

    return noted


async def test_it_stays_disabled_where_its_resuming_cannot_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(answer(410), OK) as receiver:
        settings = options(receiver, waits=(1000.0,))
        async with serving(tmp_path, FILES, **settings) as service:
            await service.until_delivered(await service.start_job("quick-background"), "dead")
            before = (await service.get("/v1/destinations/hook")).json

            async def full(name: str) -> None:
                raise StoreFullError("the disk is full")

            monkeypatch.setattr(service.app.store.destinations, "resume", full)
            assert (await service.post("/v1/destinations/hook/resume")).status == 503
            assert (await service.get("/v1/destinations/hook")).json == before
            waiting = await service.start_job("quick-background")
            await service.until_delivered(waiting, "pending")
            assert len(receiver.requests) == 1
