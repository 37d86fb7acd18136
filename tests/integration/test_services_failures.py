"""What must leave no row behind that nobody works on: a pool or a destination that fails, a caller that goes away."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.settings import RetentionSettings
from pipeline.errors import GuardError, StoreFullError
from pipeline.services.pruner import SWEEP_S
from tests.support.receiver import OK, receiving
from tests.support.service import QUICK, WAITING, Service, eventually, failed, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}


class Failing:
    """Something that works, but for the first so many calls, which raise."""

    def __init__(self, times: int, error: Exception, real: Callable[..., Any]) -> None:
        self.calls = 0
        self._times = times
        self._error = error
        self._real = real

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.calls += 1
        return failed(self._error) if self.calls <= self._times else self._real(*arguments, **keywords)


@pytest.mark.parametrize("error", [GuardError("no worker"), RuntimeError("a bug")])
async def test_a_run_that_the_pool_could_not_begin_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with serving(tmp_path, FILES) as service:
        monkeypatch.setattr(service.app.pool, "run", Failing(2, error, service.app.pool.run))
        job_id = await service.start_job("quick-background")
        done = await service.until(job_id, "succeeded")
        assert (done.run, done.attempt, done.lost) == (3, 1, 2)
        assert service.app.worker.lanes["quick-background"].in_hand == 0


async def test_a_destination_with_a_bug_is_a_failed_attempt_that_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(OK) as receiver:
        functions = {"quick-background": sends_to("archive")}
        async with serving(
            tmp_path, FILES, functions=functions, destinations={"archive": webhook(receiver.url)}
        ) as service:
            destination = service.app.setup.routes["archive"].destination
            broken = Failing(1, KeyError("secret"), destination.send)
            monkeypatch.setattr(type(destination), "send", lambda _, sending: broken(sending))
            job_id = await service.start_job("quick-background")
            (delivery,) = await service.until_delivered(job_id, "retrying")
            (attempt,) = (await service.get(f"/v1/deliveries/{delivery.id}")).json["attempts"]
            assert attempt["class"] == "aborted"
            assert "KeyError" in attempt["message"]
            assert "secret" not in attempt["message"]
            await service.clock.advance(7)
            await service.until_delivered(job_id, "delivered")


async def test_a_caller_that_hangs_up_has_its_job_all_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", service.app.config.service.port)
            writer.write(b"POST /functions/quick-background HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.transport.abort()

        async def all_done() -> bool | None:
            found = await service.app.store.list_jobs(before=None, most=9)
            return True if [view.job.state for view in found] == ["succeeded"] * 5 else None

        await eventually(all_done)
        assert service.app.worker.lanes["quick-background"].in_hand == 0


async def test_an_insert_that_failed_gives_its_slot_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = StoreFullError("the disk is full")
    async with serving(tmp_path, FILES) as service:
        monkeypatch.setattr(service.app.store, "insert_job", Failing(5, full, service.app.store.insert_job))
        for _ in range(5):
            assert (await service.post("/functions/quick-background")).status == 503
        assert service.app.worker.lanes["quick-background"].in_hand == 0
        await service.until(await service.start_job("quick-background"), "succeeded")


@pytest.mark.parametrize("verb", ["claim_jobs", "promote_due_jobs", "renew_leases", "finish_run", "record_attempt"])
async def test_a_disk_that_was_full_for_a_while_stops_no_service_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    full = StoreFullError("the disk is full")
    functions = {"waiting-background": sends_to("archive", concurrency=1)}
    async with receiving(OK) as receiver:
        destinations = {"archive": webhook(receiver.url)}
        async with serving(
            tmp_path, {"waiting-background.py": WAITING}, functions=functions, destinations=destinations
        ) as service:
            jobs = [await service.start_job("waiting-background") for _ in range(2)]
            await service.until_begun("waiting-background")
            broken = Failing(2, full, getattr(service.app.store, verb))
            monkeypatch.setattr(service.app.store, verb, broken)
            await service.clock.advance(700)  # more than a renewal, and less than the limit of a run
            service.go()
            for job_id in jobs:
                await _delivered_in_time(service, job_id)
                assert ((await service.job(job_id)).run, (await service.job(job_id)).lost) == (1, 0)
            assert broken.calls > 2
            assert not service.app.failure.done()


async def test_a_disk_that_is_full_when_it_is_time_to_prune_stops_no_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = StoreFullError("the disk is full")
    async with serving(tmp_path, FILES, retention=RetentionSettings(succeeded=60.0, failed=60.0, dead=60.0)) as service:
        job_id = await service.start_job("quick-background")
        await service.until(job_id, "succeeded")
        for verb in ("prune", "prune_invocations"):
            monkeypatch.setattr(service.app.store, verb, Failing(2, full, getattr(service.app.store, verb)))

        async def look() -> bool | None:
            await service.clock.advance(SWEEP_S / 4)
            return True if await service.app.store.get_job(job_id) is None else None

        await eventually(look)
        assert not service.app.failure.done()


async def _delivered_in_time(service: Service, job_id: str) -> None:
    """Let time pass until a job's delivery is made."""

    async def look() -> bool | None:
        await service.clock.advance(1.0)
        found = await service.app.store.list_deliveries(before=None, most=9, job_id=job_id)
        return True if [each.state for each in found] == ["delivered"] else None

    await eventually(look)
