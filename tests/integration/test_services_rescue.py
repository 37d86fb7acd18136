"""What a dead service left behind, leases that are renewed or lost, draining, and retention: all on the whole app."""

import asyncio
from pathlib import Path

import orjson
import pytest

from pipeline.config.settings import FunctionSettings, RetentionSettings
from pipeline.lifecycle import after_loss, after_sending_lost
from pipeline.model import Job, RunOutcome, RunState
from pipeline.services.pruner import SWEEP_S
from pipeline.store import Store
from tests.support import samples
from tests.support.fake_clock import START, FakeClock
from tests.support.receiver import OK, Receiver, receiving, silence
from tests.support.samples import NOW, delivery_draft, draft, lease
from tests.support.service import QUICK, WAITING, Service, eventually, holds, sends_to, serving, webhook
from tests.support.stores import ended, opened, running, sending, stored

DAY_S = 86_400.0
FILES = {"quick-background.py": QUICK, "waiting-background.py": WAITING}
DATABASE = Path("data") / "sendoff.db"


async def lose(store: Store, job: Job, times: int) -> Job:
    """Have the runs of a running job lost with their service so many times; it is running again in the end."""
    for number in range(times):
        ((_, token),) = await store.leased_jobs(samples.OWNER)
        step = after_loss(job, NOW)
        assert await store.finish_run(job, token, step, RunOutcome(state=RunState.LOST), now=NOW) == []
        await store.promote_due_jobs(1, now=samples.later(100))
        (claimed,) = await store.claim_jobs(job.function, 1, now=NOW, lease=lease(100 + number))
        job = claimed.job
    return job


async def test_a_job_that_a_dead_service_was_running_is_run_again_and_counted_as_lost(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with opened(tmp_path / DATABASE) as rig:
        job = await running(rig.store, function="quick-background")
    functions = {"quick-background": sends_to("archive")}
    destinations = {"archive": webhook(receiver.url)}
    async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
        done = await service.until(job.id, "succeeded")
        assert (done.run, done.attempt, done.lost) == (2, 1, 1)
        runs = (await service.get(f"/v1/jobs/{job.id}/runs")).json["items"]
        assert [(run["run"], run["state"], run["attempt"]) for run in runs] == [(1, "lost", 1), (2, "succeeded", 1)]
        await service.until_delivered(job.id, "delivered")
        (request,) = receiver.requests
        assert orjson.loads(request.body)["data"]["job"]["attempt"] == 1


async def test_the_tenth_loss_fails_the_job_and_tells_its_destinations(tmp_path: Path, receiver: Receiver) -> None:
    async with opened(tmp_path / DATABASE) as rig:
        job = await lose(rig.store, await running(rig.store, function="quick-background"), 9)
        assert (await stored(rig.store, job.id)).lost == 9
    functions = {"quick-background": sends_to("archive")}
    destinations = {"archive": webhook(receiver.url)}
    async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
        done = await service.until(job.id, "failed")
        assert (done.reason, done.lost, done.attempt, done.run) == ("lost", 10, 0, 10)
        await service.until_delivered(job.id, "delivered")
        (request,) = receiver.requests
        message = orjson.loads(request.body)
        assert (message["type"], message["data"]["job"]["reason"]) == ("job.failed", "lost")
        assert "10 runs of this job were lost" in message["data"]["error"]["errorMessage"]
        answer = await service.get(f"/v1/jobs/{job.id}/result")
        assert (answer.status, answer.json["reason"]) == (502, "lost")


async def test_the_fourth_loss_waits_a_second(tmp_path: Path) -> None:
    async with opened(tmp_path / DATABASE) as rig:
        job = await lose(rig.store, await running(rig.store, function="quick-background"), 3)
    async with serving(tmp_path, FILES) as service:
        assert (await service.job(job.id)).state == "retrying"
        await service.clock.advance(1.01)
        assert (await service.until(job.id, "succeeded")).lost == 4


@pytest.mark.parametrize(("lost", "state"), [(0, "delivered"), (9, "dead")])
async def test_a_sending_that_died_with_its_service_is_made_again_or_given_up(
    tmp_path: Path, receiver: Receiver, lost: int, state: str
) -> None:
    async with opened(tmp_path / DATABASE) as rig:
        claimed = await sending(rig.store, token=0)
        for token in range(lost):
            step = after_sending_lost(claimed.delivery, NOW)
            await rig.store.record_attempt(claimed.delivery, token, step, None, now=NOW)
            await rig.store.promote_due_deliveries(1, now=samples.later(100))
            (claimed,) = await rig.store.claim_deliveries("archive", 1, now=NOW, lease=lease(token + 1))
    async with serving(tmp_path, FILES, destinations={"archive": webhook(receiver.url)}) as service:
        (delivery,) = await service.until_delivered(claimed.delivery.job_id, state)
        assert (delivery.lost, delivery.reason) == (lost + 1, "lost" if lost else None)
        assert len(receiver.requests) == (0 if lost else 1)
        shown = (await service.get(f"/v1/deliveries/{delivery.id}")).json
        assert [each["number"] for each in shown["attempts"]] == ([] if lost else [1])
        assert ("again and again" if lost else "One sending was lost with its service") in shown["explain"]


async def test_everything_that_waited_is_claimed_after_a_start(tmp_path: Path, receiver: Receiver) -> None:
    async with opened(tmp_path / DATABASE) as rig:
        drafts = [draft(function="quick-background") for _ in range(20)]
        for each in drafts:
            await rig.store.insert_job(each, now=NOW, lease=None)
        owed = [delivery_draft() for _ in range(20)]
        done = [await ended(rig.store, each, function="gone-background") for each in owed]
    async with serving(tmp_path, FILES, destinations={"archive": webhook(receiver.url, concurrency=2)}) as service:
        for each in drafts:
            await service.until(each.id, "succeeded")
        for job in done:
            await service.until_delivered(job.id, "delivered")
    assert len(receiver.requests) == 20


# Leases


async def test_leases_are_renewed_for_as_long_as_a_run_takes(tmp_path: Path) -> None:
    functions = {"waiting-background": FunctionSettings(timeout=DAY_S)}
    async with serving(tmp_path, FILES, functions=functions) as service:
        job_id = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        for _ in range(10):
            await service.clock.advance(10)
            await eventually(lambda: _lease_of(service, job_id, above_s=15))
        service.go()
        assert (await service.until(job_id, "succeeded")).run == 1


async def _lease_of(service: Service, job_id: str, *, above_s: float) -> Job | None:
    """Return the running job, once its lease holds for longer than `above_s`."""
    assert (await service.job(job_id)).state == "running"
    now = service.clock.now()
    expired = await service.app.store.expired_jobs(now=now + (samples.later(above_s) - NOW))
    return None if expired else await service.job(job_id)


async def test_a_long_pause_of_the_machine_takes_no_run_away(tmp_path: Path) -> None:
    """All leases have run out when the service wakes; the rescuer must not take what is in hand."""
    functions = {"waiting-background": FunctionSettings(timeout=DAY_S)}
    async with serving(tmp_path, FILES, functions=functions) as service:
        job_id = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        service.clock.turn(3600)
        await service.app.rescuer.rescue()
        assert (await service.job(job_id)).state == "running"
        await service.app.rescuer.renew()
        assert await _lease_of(service, job_id, above_s=25)
        service.go()
        done = await service.until(job_id, "succeeded")
        assert (done.run, done.lost) == (1, 0)


async def test_a_run_whose_lease_is_gone_is_killed_and_its_result_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        ((job, token),) = await service.app.store.leased_jobs("local")
        (pid,) = [process.pid for process in service.app.pool.processes()]
        step = samples.job_step(samples.JobState.CANCELLED, RunState.CANCELLED)
        await service.app.store.finish_run(job, token, step, RunOutcome(state=RunState.CANCELLED), now=NOW)
        await service.clock.advance(10.01)
        await holds(lambda: pid not in [process.pid for process in service.app.pool.processes()])
        assert service.app.worker.held() == frozenset()
        assert "run.dropped" in caplog.text
        assert (await service.job(job_id)).state == "cancelled"
        assert len((await service.get(f"/v1/jobs/{job_id}/runs")).json["items"]) == 1
        assert (await service.get("/healthz")).status == 200


async def test_a_row_whose_holder_died_elsewhere_is_rescued_once_its_lease_ran_out(tmp_path: Path) -> None:
    async with opened(tmp_path / DATABASE) as rig:
        given = draft(function="quick-background")
        assert await rig.store.insert_job(given, now=NOW, lease=lease(5, owner="another"))
    async with serving(tmp_path, FILES) as service:
        await service.clock.advance(29)
        assert (await service.job(given.id)).state == "running"
        await service.clock.advance(6.1)
        done = await service.until(given.id, "succeeded")
        assert (done.run, done.lost) == (2, 1)


# Draining


async def test_a_drain_waits_for_what_runs_and_its_deliveries(tmp_path: Path, receiver: Receiver) -> None:
    functions = {"waiting-background": sends_to("archive")}
    async with serving(
        tmp_path, FILES, functions=functions, destinations={"archive": webhook(receiver.url)}
    ) as service:
        job_id = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        draining = asyncio.ensure_future(service.app.drain(30.0, asyncio.Event()))
        await asyncio.sleep(0.01)
        assert not draining.done()
        service.go()
        await draining
        done = await service.job(job_id)
        assert (done.state, done.run) == ("succeeded", 1)


async def test_a_drain_gives_back_what_is_not_done_in_time_and_spends_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        clock, job_id = service.clock, await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        draining = asyncio.ensure_future(service.app.drain(17.0, asyncio.Event()))
        await holds(lambda: 17.0 in service.clock.sleepers)
        await clock.advance(17)
        await draining
        back = await service.job(job_id)
        assert (back.state, back.run, back.attempt, back.lost) == ("queued", 1, 0, 0)
        assert [run["state"] for run in (await service.get(f"/v1/jobs/{job_id}/runs")).json["items"]] == ["returned"]
    async with serving(tmp_path, FILES, clock=clock) as service:
        service.go()
        done = await service.until(job_id, "succeeded")
        assert (done.run, done.attempt, done.lost) == (2, 1, 0)


async def test_a_second_signal_ends_the_drain_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        hurry = asyncio.Event()
        draining = asyncio.ensure_future(service.app.drain(30.0, hurry))
        await asyncio.sleep(0.01)
        hurry.set()
        async with asyncio.timeout(10):
            await draining
        assert (await service.job(job_id)).state == "queued"


async def test_a_sending_under_way_is_given_back_and_made_after_the_next_start(tmp_path: Path) -> None:
    functions = {"quick-background": sends_to("archive")}
    async with receiving(silence, OK) as receiver:
        destinations = {"archive": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations, grace_s=0.02) as service:
            clock, job_id = service.clock, await service.start_job("quick-background")
            await holds(lambda: receiver.requests)
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations, clock=clock) as service:
            (delivery,) = await service.until_delivered(job_id, "delivered")
            assert (delivery.attempt, delivery.lost) == (1, 0)
            shown = (await service.get(f"/v1/deliveries/{delivery.id}")).json
            assert [each["number"] for each in shown["attempts"]] == [1]
        assert [request.headers["x-sendoff-attempt"] for request in receiver.requests] == ["1", "1"]
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


# Retention


async def test_ended_jobs_are_pruned_every_hour_and_are_gone_from_then_on(tmp_path: Path) -> None:
    keep = RetentionSettings(succeeded=DAY_S, failed=DAY_S, dead=DAY_S)
    async with serving(tmp_path, FILES, retention=keep) as service:
        job_id = await service.start_job("quick-background")
        await service.until(job_id, "succeeded")
        await service.clock.advance(DAY_S - SWEEP_S)
        kept = await service.start_job("quick-background")
        await service.until(kept, "succeeded")
        assert (await service.get(f"/v1/jobs/{job_id}")).status == 200
        await service.clock.advance(SWEEP_S + 1)

        async def is_gone() -> bool | None:
            return True if await service.app.store.get_job(job_id) is None else None

        await eventually(is_gone)
        assert (await service.get(f"/v1/jobs/{job_id}")).status == 410
        assert (await service.get(f"/v1/jobs/{job_id}/result")).status == 410
        assert (await service.get(f"/v1/jobs/{kept}")).status == 200


async def test_a_sweep_goes_over_many_batches(tmp_path: Path) -> None:
    async with opened(tmp_path / DATABASE) as rig:
        await asyncio.gather(*(ended(rig.store) for _ in range(450)))
    clock = FakeClock(START)
    await clock.advance(8 * DAY_S)
    async with serving(tmp_path, FILES, clock=clock) as service:

        async def nothing_left() -> bool | None:
            await clock.advance(0.1)  # the pause between two batches
            return None if await service.app.store.list_jobs(before=None, most=1) else True

        await eventually(nothing_left)


async def test_a_sweep_takes_batches_and_keys_along_once_they_are_old_enough(tmp_path: Path) -> None:
    async with serving(tmp_path, {"quick-background.py": QUICK}) as service:
        upload = {"function": "quick-background", "items": [{}]}
        batch_id = (await service.post("/v1/batches", json=upload, headers={"Idempotency-Key": "a"})).json["id"]
        waiting = asyncio.ensure_future(service.get(f"/v1/batches/{batch_id}?wait=60"))
        assert (await waiting).json["state"] == "completed"

        async def swept() -> None:
            sweeping = asyncio.ensure_future(service.app.pruner.sweep())
            while not sweeping.done():
                await service.clock.advance(0.06)
                await asyncio.sleep(0.005)

        await service.clock.advance(8 * 86_400)  # its job is gone by now, and its key
        await swept()
        assert (await service.get("/v1/jobs")).json["items"] == []
        assert (await service.get(f"/v1/batches/{batch_id}")).status == 200
        again = await service.post("/v1/batches", json=upload, headers={"Idempotency-Key": "a"})
        assert "Idempotency-Replayed" not in again.headers
        await service.clock.advance(31 * 86_400)
        await swept()
        assert (await service.get(f"/v1/batches/{batch_id}")).status == 410
