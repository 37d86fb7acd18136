"""What is asked about one destination counts what that one is owed, and not what waits for all others."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.settings import RetrySpec
from tests.support.receiver import OK, answer, receiving
from tests.support.replays import FILES, jobs, replayed
from tests.support.service import Service, holds, sends_to, serving, webhook

LATER = RetrySpec(waits=(3600.0,))


def noted(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[Collection[str] | None]:
    """Return a list in which stands of which destinations each count is, from now on."""
    seen: list[Collection[str] | None] = []

    def note(owner: Any, name: str) -> None:
        count = getattr(owner, name)

        async def counted(destinations: Collection[str] | None = None) -> Any:
            seen.append(destinations)
            return await count(destinations)

        monkeypatch.setattr(owner, name, counted)

    store = service.app.store
    note(store, "open_deliveries")
    note(store.deliveries, "count_pending")
    note(store.destinations, "count_dead")
    return seen


async def test_one_destination_is_counted_where_one_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(answer(500), OK) as receiver:
        hooks = {name: webhook(receiver.url, retry=LATER) for name in ("hook", "index")}
        functions = {"quick-background": sends_to("hook")}
        async with serving(tmp_path, FILES, functions=functions, destinations=hooks) as service:
            (job_id,) = await jobs(service, 1)
            (failed,) = await service.until_delivered(job_id, "retrying")
            await service.post("/v1/destinations/hook/pause")
            (other,) = await jobs(service, 1)
            (waiting,) = await service.until_delivered(other, "pending")
            seen = noted(service, monkeypatch)
            shown = (await service.get("/v1/destinations/hook")).json
            assert (shown["held"], shown["dead"]) == (2, 0)
            assert (await service.get(f"/v1/deliveries/{failed.id}")).status == 200
            assert (await replayed(service, states=["held"]))["done"] == 2
            assert (await service.post(f"/v1/deliveries/{waiting.id}/cancel")).status == 202
            await service.post("/v1/destinations/hook/resume")
            await holds(lambda: len(receiver.requests) == 2)
            assert {tuple(each or ("all",)) for each in seen} == {("hook",)}
            assert (await service.get("/v1/destinations")).status == 200
            assert None in seen


async def test_what_a_held_replay_opens_is_counted_once(tmp_path: Path) -> None:
    """What was pending before waits already for its destination; what was retrying waits now, too."""
    async with receiving(answer(500), OK) as receiver:
        hooks = {"hook": webhook(receiver.url, retry=LATER)}
        functions = {"quick-background": sends_to("hook")}
        async with serving(tmp_path, FILES, functions=functions, destinations=hooks) as service:
            (job_id,) = await jobs(service, 1)
            await service.until_delivered(job_id, "retrying")
            await service.post("/v1/destinations/hook/pause")
            for other in await jobs(service, 2):
                await service.until_delivered(other, "pending")
            lane = service.app._deliveries["hook"]
            assert lane.backlog == 2
            assert (await replayed(service, states=["held"]))["done"] == 3
            assert lane.backlog == 3
            await service.post("/v1/destinations/hook/resume")
            await holds(lambda: len(receiver.requests) == 4)
