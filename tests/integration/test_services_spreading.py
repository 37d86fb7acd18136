"""What waits for a destination goes at a steady rate: its own, or where a backlog is sent off, 50 a second."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.receiver import OK, Receiver, answer, receiving
from tests.support.service import QUICK, Service, eventually, holds, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}
MANY = 40
"""More than are let through at once, and fewer than in a second."""
AT_ONCE = 6
"""A tenth of a second's worth, and one."""


def options(receiver: Receiver, **changes: Any) -> dict[str, Any]:
    return {
        "functions": {"quick-background": sends_to("hook")},
        "destinations": {"hook": webhook(receiver.url, concurrency=100, **changes)},
    }


async def ended(service: Service, count: int) -> list[str]:
    """Have so many jobs end; return them."""
    jobs = [await service.start_job("quick-background") for _ in range(count)]
    for job_id in jobs:
        await service.until(job_id, "succeeded")
    return jobs


async def until_due(service: Service, count: int) -> None:
    """Wait until so many deliveries wait to be sent."""

    async def look() -> bool | None:
        return (await service.get("/v1/destinations/hook")).json["due"] == count or None

    await eventually(look)


async def spreading(service: Service) -> Any:
    """Return the pace that is told of what waits."""
    return (await service.get("/v1/destinations/hook")).json["spreading"]


def sent_to(receiver: Receiver, first: int, end: int) -> set[str]:
    """Return the jobs of which these requests told."""
    return {request.headers["x-sendoff-job-id"] for request in receiver.requests[first:end]}


async def goes_evenly(service: Service, receiver: Receiver, before: int, last: int, *, at_once: int = AT_ONCE) -> None:
    """See all go, from the first of those that went `before` to the last, and never more of them than 50 a second."""
    await holds(lambda: len(receiver.requests) > before)
    steps = 0
    while len(receiver.requests) < last:
        # What may go does so meanwhile: until the next one waits for its turn, or the last one is on its way.
        await holds(lambda: service.clock.sleepers[0] < 0.03 or len(receiver.requests) >= last)
        assert len(receiver.requests) - before <= at_once + steps, steps
        assert steps < 1000, await service.app.store.open_deliveries()
        await service.clock.advance(0.02)
        steps += 1
    assert len(receiver.requests) == last
    assert steps >= last - before - at_once


async def test_a_rate_lets_so_many_through_and_costs_no_attempt(tmp_path: Path) -> None:
    async with receiving(OK) as receiver, serving(tmp_path, FILES, **options(receiver, rate=2.0)) as service:
        jobs = await ended(service, 6)
        await holds(lambda: len(receiver.requests) == 1)
        await until_due(service, 5)
        assert await spreading(service) is None  # `rate` says it
        for sent in range(2, 7):
            await service.clock.advance(0.52)
            await holds(lambda sent=sent: len(receiver.requests) == sent)  # type: ignore[misc]
        for job_id in jobs:
            (delivery,) = await service.until_delivered(job_id, "delivered")
            assert delivery.attempt == 1


async def test_a_rate_can_be_changed_while_what_is_due_waits_for_it(tmp_path: Path) -> None:
    async with receiving(OK) as receiver, serving(tmp_path, FILES, **options(receiver, rate=1 / 3600)) as service:
        jobs = await ended(service, 6)
        await holds(lambda: len(receiver.requests) == 1)
        await until_due(service, 5)
        await service.reload(**options(receiver))
        for job_id in jobs:
            await service.until_delivered(job_id, "delivered")


async def test_what_was_held_is_sent_from_the_first_second_on_and_not_all_at_once(tmp_path: Path) -> None:
    async with receiving(OK) as receiver, serving(tmp_path, FILES, **options(receiver)) as service:
        await service.post("/v1/destinations/hook/pause")
        await ended(service, MANY)
        await service.post("/v1/destinations/hook/resume")
        await goes_evenly(service, receiver, 0, MANY)
        # Whatever comes now goes at once.
        await ended(service, MANY)
        await holds(lambda: len(receiver.requests) == 2 * MANY)


async def test_what_comes_while_a_backlog_is_sent_off_goes_after_it_and_as_evenly(tmp_path: Path) -> None:
    async with receiving(OK) as receiver, serving(tmp_path, FILES, **options(receiver)) as service:
        await service.post("/v1/destinations/hook/pause")
        held = await ended(service, 60)
        assert await spreading(service) is None
        await service.post("/v1/destinations/hook/resume")
        new = await ended(service, MANY)
        assert await spreading(service) == "50/s"
        await goes_evenly(service, receiver, 0, 60 + MANY)
        assert await spreading(service) is None
        assert sent_to(receiver, 0, 60) == set(held)
        assert sent_to(receiver, 60, 60 + MANY) == set(new)
        # Nothing waits any more.
        await ended(service, MANY)
        await holds(lambda: len(receiver.requests) == 60 + 2 * MANY)


@pytest.mark.parametrize("closed_by", ["a probe", "an attempt that began before"])
async def test_what_waited_for_a_breaker_to_close_is_sent_evenly(closed_by: str, tmp_path: Path) -> None:
    goes_on = asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await goes_on.wait()
        writer.write(OK)

    is_late = closed_by != "a probe"
    async with (
        receiving(*[late] * is_late, *[answer(500)] * 10, OK) as receiver,
        serving(tmp_path, FILES, **options(receiver, waits=(3600.0,))) as service,
    ):
        await ended(service, is_late)
        await holds(lambda: len(receiver.requests) == is_late)
        for job_id in await ended(service, 10):
            await service.until_delivered(job_id, "retrying")
        await ended(service, MANY)
        assert (await service.get("/v1/destinations/hook")).json["breaker"] == "open"
        assert len(receiver.requests) == 10 + is_late
        if is_late:
            goes_on.set()
            await goes_evenly(service, receiver, 11, 11 + MANY)
        else:
            await service.clock.advance(30.1)
            # The probe is one of the backlog, which is counted out anew once the breaker is closed.
            await goes_evenly(service, receiver, 10, 10 + MANY, at_once=2 * AT_ONCE)


async def test_what_waited_as_its_receiver_asked_is_sent_evenly(tmp_path: Path) -> None:
    async with receiving(answer(429, "Retry-After: 100\r\n"), OK) as receiver:
        settings = options(receiver, waits=(3600.0,))
        async with serving(tmp_path, FILES, **settings) as service:
            (first,) = await ended(service, 1)
            await service.until_delivered(first, "retrying")
            await ended(service, MANY)
            await service.clock.advance(100.1)
            await goes_evenly(service, receiver, 1, 1 + MANY)


async def test_what_came_due_during_a_downtime_is_sent_evenly(tmp_path: Path) -> None:
    async with receiving(*[answer(500)] * MANY, OK) as receiver:
        settings = options(receiver, waits=(600.0,), breaker=None)
        async with serving(tmp_path, FILES, **settings) as service:
            for job_id in await ended(service, MANY):
                await service.until_delivered(job_id, "retrying")
            clock = service.clock
        await clock.advance(3600)
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            await goes_evenly(service, receiver, MANY, 2 * MANY)
            await ended(service, MANY)
            await holds(lambda: len(receiver.requests) == 3 * MANY)


async def cancelled(service: Service) -> int:
    """Cancel all that waits to be sent; return how many that were."""
    waiting = (await service.get("/v1/deliveries?state=pending&limit=500")).json["items"]
    for each in waiting:
        assert (await service.post(f"/v1/deliveries/{each['id']}/cancel")).status == 202
    return len(waiting)


async def test_what_comes_after_a_backlog_that_was_cancelled_is_sent_at_once(tmp_path: Path) -> None:
    async with receiving(OK) as receiver, serving(tmp_path, FILES, **options(receiver)) as service:
        await service.post("/v1/destinations/hook/pause")
        await ended(service, MANY)
        await service.post("/v1/destinations/hook/resume")
        await holds(lambda: len(receiver.requests) == AT_ONCE)
        assert await cancelled(service) == MANY - AT_ONCE
        await service.clock.advance(0.1)  # the next claim finds none
        await ended(service, MANY)
        await holds(lambda: len(receiver.requests) == AT_ONCE + MANY)


async def test_what_came_due_during_a_downtime_and_was_cancelled_is_waited_for_no_longer_than_a_minute(
    tmp_path: Path,
) -> None:
    async with receiving(*[answer(500)] * MANY, OK) as receiver:
        settings = options(receiver, waits=(600.0,), breaker=None)
        async with serving(tmp_path, FILES, **settings) as service:
            for job_id in await ended(service, MANY):
                await service.until_delivered(job_id, "retrying")
            clock = service.clock
        await clock.advance(3600)
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            await holds(lambda: len(receiver.requests) == MANY + AT_ONCE)
            assert await cancelled(service) == MANY - AT_ONCE
            await service.clock.advance(60)
            await ended(service, MANY)
            await holds(lambda: len(receiver.requests) == 2 * MANY + AT_ONCE)


@pytest.mark.parametrize("gap_s", [0.0, 30.0])
async def test_a_restart_is_no_downtime(tmp_path: Path, gap_s: float) -> None:
    async with receiving(*[answer(500)] * MANY, OK) as receiver:
        settings = options(receiver, waits=(10.0,), breaker=None)
        async with serving(tmp_path, FILES, **settings) as service:
            for job_id in await ended(service, MANY):
                await service.until_delivered(job_id, "retrying")
            clock = service.clock
        await clock.advance(10.0 + gap_s)
        async with serving(tmp_path, FILES, clock=clock, **settings):
            await holds(lambda: len(receiver.requests) == 2 * MANY)
