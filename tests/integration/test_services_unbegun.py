"""What is claimed and waits for a slot is pending for all who look, spends no attempt, and goes back at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.model import ClaimedDelivery
from pipeline.services.deliveries import slots
from pipeline.services.deliveries.deliverer import Deliverer
from pipeline.services.deliveries.destination_lanes import DestinationLanes
from pipeline.services.deliveries.recorder import Recorder
from pipeline.services.lane import Lane
from tests.support.fake_clock import settled
from tests.support.receiver import OK, Receiver, answer, receiving
from tests.support.service import QUICK, Service, eventually, holds, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}
SLOTS = 12
WAITING = 4
SHARED, AHEAD = "the slots of all", "claimed ahead of its own slots"


class Gate:
    """Answers 200 once it is opened; the first with something else, if that is said."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.first: bytes | None = None
        self.first_opened = asyncio.Event()
        self._is_first = True

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        if self.first is not None and self._is_first:
            self._is_first = False
            await self.first_opened.wait()
            writer.write(self.first)
        else:
            await self.opened.wait()
            writer.write(OK)


@pytest.fixture(params=[SHARED, AHEAD])
def lacking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have what comes last claimed, and wait: for a slot of all, or for one of its destination's."""
    if request.param == SHARED:
        monkeypatch.setattr(slots, "IN_FLIGHT", SLOTS)
    else:
        monkeypatch.setattr(Lane, "_ahead", 100)
    return str(request.param)


@asynccontextmanager
async def busy(tmp_path: Path, lacking: str, gate: Gate) -> AsyncIterator[tuple[Service, Receiver, list[str]]]:
    """Run a service all of whose slots are taken; with it the jobs whose deliveries wait for one, the oldest first."""
    async with receiving(gate) as receiver:
        destinations = {"hook": webhook(receiver.url, concurrency=1000 if lacking == SHARED else SLOTS, breaker=None)}
        functions = {"quick-background": sends_to("hook")}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            for _ in range(SLOTS):
                await service.start_job("quick-background")
            await holds(lambda: len(receiver.requests) == SLOTS)
            jobs = [await service.start_job("quick-background") for _ in range(WAITING)]
            for job_id in jobs:
                await service.until_delivered(job_id, "sending")  # as it is stored
            yield service, receiver, jobs
            gate.opened.set()
            gate.first_opened.set()


async def shown(service: Service) -> tuple[int, int, int]:
    """Return how many deliveries are being sent, are due, and held."""
    found = (await service.get("/v1/destinations/hook")).json
    return found["in_flight"], found["due"], found["held"]


async def listed(service: Service, state: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await service.get(f"/v1/deliveries?state={state}")).json["items"]
    assert {each["state"] for each in items} <= {state}
    return items


async def of(service: Service, job_id: str) -> dict[str, Any]:
    """Return the delivery of a job as it is shown."""
    (found,) = (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"]
    alone: dict[str, Any] = (await service.get(f"/v1/deliveries/{found['id']}")).json
    assert found.items() <= alone.items()
    return alone


async def test_what_waits_for_a_slot_is_pending_and_says_so(tmp_path: Path, lacking: str) -> None:
    gate = Gate()
    async with busy(tmp_path, lacking, gate) as (service, _, jobs):
        assert await shown(service) == (SLOTS, WAITING, 0)
        assert [len(await listed(service, state)) for state in ("sending", "pending")] == [SLOTS, WAITING]
        assert Counter(each["job_id"] for each in await listed(service, "pending")) == Counter(jobs)
        waiting = await of(service, jobs[-1])
        assert (waiting["state"], waiting["attempt"]) == ("pending", 0)
        size = f"{SLOTS} that all destinations share" if lacking == SHARED else f"{SLOTS}"
        the = "the " if lacking == SHARED else ""
        assert waiting["explain"] == (
            f"Attempt 1 of 12 is due now, and waits for a free slot of {the}{size}: {SLOTS} are being sent to hook, "
            f"{WAITING} are due, the oldest first."
        )
        for path in (f"/v1/jobs/{jobs[-1]}", f"/v1/jobs/{jobs[-1]}?wait=0"):
            counts = (await service.get(path)).json["deliveries"]
            assert (counts["pending"], counts["sending"]) == (1, 0)
        metrics = (await service.get("/metrics", is_own=True)).body.decode()
        assert f'sendoff_open_deliveries{{destination="hook",state="sending"}} {SLOTS}.0' in metrics
        gate.opened.set()
        for job_id in jobs:
            (delivery,) = await service.until_delivered(job_id, "delivered")
            assert delivery.attempt == 1
        assert await shown(service) == (0, 0, 0)


async def test_what_begins_after_it_has_waited_is_told_to_who_watches(tmp_path: Path, lacking: str) -> None:
    gate = Gate()
    gate.first = OK
    async with busy(tmp_path, lacking, gate) as (service, receiver, jobs):
        tag = (await service.get(f"/v1/jobs/{jobs[0]}")).headers["ETag"]
        asking = asyncio.ensure_future(service.get(f"/v1/jobs/{jobs[0]}?wait=30", headers={"If-None-Match": tag}))
        gate.first_opened.set()
        counts = (await asking).json["deliveries"]
        assert (counts["pending"], counts["sending"]) == (0, 1)
        assert len(receiver.requests) <= SLOTS + 1


async def test_what_waits_for_a_slot_is_cancelled_at_once(tmp_path: Path, lacking: str) -> None:
    gate = Gate()
    async with busy(tmp_path, lacking, gate) as (service, receiver, jobs):
        waiting = await of(service, jobs[-1])
        answered = await service.post(f"/v1/deliveries/{waiting['id']}/cancel")
        assert (answered.status, answered.json["state"], answered.json["attempt"]) == (202, "cancelled", 0)
        assert (await service.post(f"/v1/deliveries/{waiting['id']}/cancel")).status == 409
        assert await shown(service) == (SLOTS, WAITING - 1, 0)
        (begun, *_) = await listed(service, "sending")
        assert (await service.post(f"/v1/deliveries/{begun['id']}/cancel")).status == 409
        gate.opened.set()
        for job_id in jobs[:-1]:
            await service.until_delivered(job_id, "delivered")
        assert len(receiver.requests) == SLOTS + WAITING - 1
        # It can be sent all the same, as any that was cancelled.
        assert (await service.post(f"/v1/deliveries/{waiting['id']}/replay")).status == 202
        (delivery,) = await service.until_delivered(jobs[-1], "delivered")
        assert delivery.attempt == 1


async def test_what_waits_for_a_slot_is_held_as_the_pause_is_answered(
    tmp_path: Path, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_back = Recorder.give_back

    async def slowly(*args: Any) -> None:
        await settled(100)
        await give_back(*args)

    monkeypatch.setattr(Recorder, "give_back", slowly)
    gate = Gate()
    async with busy(tmp_path, lacking, gate) as (service, receiver, jobs):
        assert await service.app._pausing.pause("hook")
        stored = await service.app.store.open_deliveries()
        assert stored == {("hook", "sending"): SLOTS, ("hook", "pending"): WAITING}
        paused = (await service.post("/v1/destinations/hook/pause")).json
        assert (paused["in_flight"], paused["due"], paused["held"]) == (SLOTS, 0, WAITING)
        assert len(await listed(service, "held")) == WAITING
        held = await of(service, jobs[0])
        assert (held["state"], held["reason"], held["attempt"]) == ("held", "paused", 0)
        assert (await service.post(f"/v1/deliveries/{held['id']}/cancel")).status == 202
        gate.opened.set()
        await eventually(lambda: _is(service, (0, 0, WAITING - 1)))
        assert len(receiver.requests) == SLOTS
        await service.post("/v1/destinations/hook/resume")
        for job_id in jobs[1:]:
            (delivery,) = await service.until_delivered(job_id, "delivered")
            assert delivery.attempt == 1
        assert len(receiver.requests) == SLOTS + WAITING - 1


async def test_what_waits_for_a_slot_goes_back_as_its_destination_stops_taking(tmp_path: Path, lacking: str) -> None:
    gate = Gate()
    gate.first = answer(410)
    async with busy(tmp_path, lacking, gate) as (service, receiver, jobs):
        gate.first_opened.set()  # it is disabled, and what was begun hangs on
        await eventually(lambda: _is(service, (SLOTS - 1, 0, WAITING)))
        await service.until_delivered(jobs[-1], "pending")
        assert len(receiver.requests) == SLOTS


async def test_what_waits_for_a_slot_goes_back_as_its_destination_goes(tmp_path: Path, lacking: str) -> None:
    gate = Gate()
    async with busy(tmp_path, lacking, gate) as (service, receiver, jobs):
        config = service.app.config
        settings = {"functions": config.functions.settings, "destinations": config.destinations}
        assert await service.reload()
        (delivery,) = await service.until_delivered(jobs[-1], "pending")
        assert delivery.attempt == 0
        assert await service.reload(**settings)  # and waits anew
        gate.opened.set()
        for job_id in jobs:
            (delivery,) = await service.until_delivered(job_id, "delivered")
            assert delivery.attempt == 1
        assert len(receiver.requests) == SLOTS + WAITING


async def test_what_was_being_claimed_as_its_destination_stopped_taking_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, claimed = asyncio.Event(), asyncio.Event()
    let_go.set()
    claim = DestinationLanes._claim_for

    async def late(self: DestinationLanes, name: str, most: int) -> Any:
        found = await claim(self, name, most)
        if not let_go.is_set():
            claimed.set()
        await let_go.wait()
        return found

    monkeypatch.setattr(DestinationLanes, "_claim_for", late)
    monkeypatch.setattr(Lane, "_ahead", 100)
    gate = Gate()
    async with busy(tmp_path, AHEAD, gate) as (service, receiver, _):
        monkeypatch.setattr(Lane, "offer", lambda self: False)  # so that the next is claimed, not stored as claimed
        let_go.clear()
        job_id = await service.start_job("quick-background")
        await claimed.wait()
        await service.post("/v1/destinations/hook/pause")
        let_go.set()
        await service.until_delivered(job_id, "pending")
        assert await shown(service) == (SLOTS, 0, WAITING + 1)
        assert len(await listed(service, "held")) == WAITING + 1
        assert len(receiver.requests) == SLOTS


async def test_a_cancellation_is_answered_truly_although_a_drain_comes_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, writing = asyncio.Event(), asyncio.Event()
    cancelled = Recorder.cancelled

    async def slowly(*args: Any) -> bool:
        writing.set()
        await write.wait()
        return await cancelled(*args)

    monkeypatch.setattr(Recorder, "cancelled", slowly)
    monkeypatch.setattr(Lane, "_ahead", 100)
    async with busy(tmp_path, AHEAD, Gate()) as (service, _, jobs):
        waiting = await of(service, jobs[-1])
        asking = asyncio.ensure_future(service.post(f"/v1/deliveries/{waiting['id']}/cancel"))
        await writing.wait()
        service.app.deliverer.lanes.stop()
        leaving = asyncio.ensure_future(service.app.deliverer.break_off())
        await asyncio.wait([asking, leaving], timeout=1)
        assert not asking.done()
        assert not leaving.done()
        write.set()
        await leaving
        assert (await asking).json["state"] == "cancelled"


async def _is(service: Service, numbers: tuple[int, int, int]) -> bool | None:
    return await shown(service) == numbers or None


async def test_what_is_broken_off_before_its_first_step_goes_back_as_if_it_had_never_been_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(OK) as receiver:
        settings = {
            "functions": {"quick-background": sends_to("hook")},
            "destinations": {"hook": webhook(receiver.url, concurrency=1)},
        }
        async with serving(tmp_path, FILES, **settings) as service:
            start, deliverer = Deliverer.start, service.app.deliverer

            def broken_off(self: Deliverer, claimed: ClaimedDelivery) -> None:
                start(self, claimed)
                monkeypatch.undo()
                self.drop(self.held())  # as a drain does, in the same turn of the loop

            monkeypatch.setattr(Deliverer, "start", broken_off)
            job_id = await service.start_job("quick-background")
            (delivered,) = await service.until_delivered(job_id, "delivered")
            assert (delivered.attempt, delivered.lost, len(receiver.requests)) == (1, 0, 1)
            await deliverer.drained()
            assert deliverer.held() == frozenset()
