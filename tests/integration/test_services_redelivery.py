"""A delivery that an operator has sent again, or not sent any more."""

from pathlib import Path

import pytest

from pipeline.config.settings import RetrySpec
from tests.support.receiver import OK, answer, receiving, silence
from tests.support.service import QUICK, Service, holds, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}


async def asked(service: Service, verb: str, delivery_id: str) -> tuple[int, str]:
    """Ask for a verb; return the status and the state that is answered."""
    answered = await service.post(f"/v1/deliveries/{delivery_id}/{verb}")
    return answered.status, answered.json["state"]


async def test_a_dead_delivery_is_replayed_with_the_full_schedule_and_its_history(tmp_path: Path) -> None:
    async with receiving(answer(500), answer(500), answer(500), OK) as receiver:
        destinations = {"hook": webhook(receiver.url, waits=(10.0,))}
        functions = {"quick-background": sends_to("hook")}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, "retrying")
            await service.clock.advance(12.1)
            (dead,) = await service.until_delivered(job_id, "dead")
            assert (dead.attempt, dead.max_attempts) == (2, 2)
            answered = await service.post(f"/v1/deliveries/{dead.id}/replay")
            assert (answered.status, answered.headers["Location"]) == (202, f"/v1/deliveries/{dead.id}")
            assert answered.json["state"] in ("pending", "sending", "retrying")
            (waiting,) = await service.until_delivered(job_id, "retrying")
            assert (waiting.attempt, waiting.max_attempts) == (3, 4)
            left = (waiting.due_at - service.clock.now()).total_seconds()
            assert 10.0 <= left <= 12.0  # the first wait of the schedule again
            await service.clock.advance(12.1)
            await service.until_delivered(job_id, "delivered")
            attempts = (await service.get(f"/v1/deliveries/{dead.id}")).json["attempts"]
            assert [(each["number"], each["trigger"], each["status"]) for each in attempts] == [
                (1, "auto", 500), (2, "auto", 500), (3, "manual", 500), (4, "manual", 200)
            ]  # fmt: skip
            ids = {request.headers["webhook-id"] for request in receiver.requests}
            assert len(ids) == 1


async def test_what_was_delivered_is_sent_once_more(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        options = {
            "functions": {"quick-background": sends_to("hook")},
            "destinations": {"hook": webhook(receiver.url)},
        }
        async with serving(tmp_path, FILES, **options) as service:
            job_id = await service.start_job("quick-background")
            (delivery,) = await service.until_delivered(job_id, "delivered")
            assert (await asked(service, "replay", delivery.id))[0] == 202
            await holds(lambda: len(receiver.requests) == 2)
            (again,) = await service.until_delivered(job_id, "delivered")
            assert again.attempt == 2
            assert receiver.requests[0].body == receiver.requests[1].body


async def test_what_waits_for_its_next_attempt_is_sent_now_and_fails_by_the_full_schedule(tmp_path: Path) -> None:
    async with receiving(answer(500), answer(500), answer(500), OK) as receiver:
        destinations = {"hook": webhook(receiver.url, waits=(10.0, 3600.0))}
        functions = {"quick-background": sends_to("hook")}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, "retrying")
            await service.clock.advance(12.1)
            await holds(lambda: len(receiver.requests) == 2)
            (waiting,) = await service.until_delivered(job_id, "retrying")
            assert (waiting.attempt, waiting.max_attempts) == (2, 3)  # and the third is an hour away
            assert (await asked(service, "replay", waiting.id))[0] == 202
            await holds(lambda: len(receiver.requests) == 3)
            (waiting,) = await service.until_delivered(job_id, "retrying")
            assert (waiting.attempt, waiting.max_attempts) == (3, 5)
            assert 10.0 <= (waiting.due_at - service.clock.now()).total_seconds() <= 12.0
            await service.clock.advance(12.1)
            await service.until_delivered(job_id, "delivered")
            await service.clock.advance(7200)  # the moment of before is forgotten
            attempts = (await service.get(f"/v1/deliveries/{waiting.id}")).json["attempts"]
            assert [each["trigger"] for each in attempts] == ["auto", "auto", "manual", "manual"]
            assert len(receiver.requests) == 4


async def test_a_policy_s_age_counts_from_the_replay(tmp_path: Path) -> None:
    async with receiving(answer(500), answer(500), OK) as receiver:
        destinations = {"hook": webhook(receiver.url, retry=RetrySpec(waits=(10.0,), max_age=60.0))}
        functions = {"quick-background": sends_to("hook")}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            (waiting,) = await service.until_delivered(job_id, "retrying")
            assert await asked(service, "cancel", waiting.id) == (202, "cancelled")
            await service.clock.advance(3600)
            assert (await asked(service, "replay", waiting.id))[0] == 202
            await service.until_delivered(job_id, "retrying")
            await service.clock.advance(12.1)
            await service.until_delivered(job_id, "delivered")


async def test_a_cancelled_delivery_is_not_sent_and_counts_as_settled(tmp_path: Path) -> None:
    async with receiving(answer(500), OK) as receiver:
        destinations = {"hook": webhook(receiver.url, waits=(10.0,))}
        functions = {"quick-background": sends_to("hook")}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            (delivery,) = await service.until_delivered(job_id, "retrying")
            assert await asked(service, "cancel", delivery.id) == (202, "cancelled")
            settled = await service.get(f"/v1/jobs/{job_id}?wait=30&until=settled")
            assert settled.json["deliveries"]["cancelled"] == 1
            await service.clock.advance(3600)
            assert len(receiver.requests) == 1
            assert (await asked(service, "cancel", delivery.id))[0] == 409


async def test_what_is_held_is_cancelled_too_and_takes_no_room_of_others(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        options = {
            "functions": {"quick-background": sends_to("hook")},
            "destinations": {"hook": webhook(receiver.url)},
        }
        async with serving(tmp_path, FILES, **options) as service:
            await service.post("/v1/destinations/hook/pause")
            jobs = [await service.start_job("quick-background") for _ in range(2)]
            for job_id in jobs:
                await service.until(job_id, "succeeded")
            (held,) = (await service.get(f"/v1/jobs/{jobs[0]}/deliveries")).json["items"]
            refused = (await service.post(f"/v1/deliveries/{held['id']}/replay")).json
            assert refused["detail"].startswith("the delivery is held, as its destination is paused: only one that ")
            assert refused["state"] == "held"
            assert await asked(service, "cancel", held["id"]) == (202, "cancelled")
            assert (await service.get("/v1/destinations/hook")).json["held"] == 1
            await service.post("/v1/destinations/hook/resume")
            await service.until_delivered(jobs[1], "delivered")
            assert len(receiver.requests) == 1


async def test_what_is_being_sent_can_be_neither_cancelled_nor_replayed(tmp_path: Path) -> None:
    async with receiving(silence) as receiver:
        options = {
            "functions": {"quick-background": sends_to("hook")},
            "destinations": {"hook": webhook(receiver.url)},
        }
        async with serving(tmp_path, FILES, **options) as service:
            job_id = await service.start_job("quick-background")
            await holds(lambda: len(receiver.requests) == 1)
            (delivery,) = (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"]
            for verb, which in (
                ("cancel", "waits, or is held, can be cancelled"),
                ("replay", "was delivered, is dead, was cancelled or is retrying can be replayed"),
            ):
                detail = f"the delivery is sending: only one that {which}"
                answered = await service.post(f"/v1/deliveries/{delivery['id']}/{verb}")
                assert (answered.status, answered.json["detail"]) == (409, detail)


@pytest.mark.parametrize("verb", ["cancel", "replay"])
async def test_a_delivery_that_is_not_there_is_404(tmp_path: Path, verb: str) -> None:
    async with serving(tmp_path, FILES) as service:
        answered = await service.post(f"/v1/deliveries/019b8e07-4600-7000-8000-000000000001/{verb}")
        assert answered.status == 404
