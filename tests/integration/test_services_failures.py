"""What must leave no row behind that nobody works on: a pool or a destination that fails, a caller that goes away."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import GuardError, StoreFullError
from tests.support.receiver import OK, receiving
from tests.support.service import QUICK, eventually, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}


def failing(times: int, error: Exception, real: Callable[..., Any]) -> Callable[..., Any]:
    """Return `real`, but for the first so many calls, which raise."""
    calls = 0

    async def call(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise error
        return await real(*arguments, **keywords)

    return call


@pytest.mark.parametrize("error", [GuardError("no worker"), RuntimeError("a bug")])
async def test_a_run_that_the_pool_could_not_begin_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with serving(tmp_path, FILES) as service:
        monkeypatch.setattr(service.app.pool, "run", failing(2, error, service.app.pool.run))
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
            destination = service.app._destinations["archive"]
            broken = failing(1, KeyError("secret"), destination.send)
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
        monkeypatch.setattr(service.app.store, "insert_job", failing(5, full, service.app.store.insert_job))
        for _ in range(5):
            assert (await service.post("/functions/quick-background")).status == 503
        assert service.app.worker.lanes["quick-background"].in_hand == 0
        await service.until(await service.start_job("quick-background"), "succeeded")
