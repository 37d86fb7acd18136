"""Destinations that hang take nothing from another: its deliveries go out while no time passes at all."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.settings import FunctionSettings, Target
from tests.support.receiver import OK, receiving
from tests.support.service import QUICK, eventually, holds, serving, webhook

FILES = {"quick-background.py": QUICK, "other-background.py": QUICK}
MANY = 60


async def hang(_: Any) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(("hanging", "concurrency"), [(1, 10), (1, 1000), (19, 1000)])
async def test_what_hangs_delays_no_other(tmp_path: Path, hanging: int, concurrency: int) -> None:
    names = [f"hangs{number}" for number in range(hanging)]
    functions = {
        "quick-background": FunctionSettings(on_success=tuple(Target(to=name) for name in names)),
        "other-background": FunctionSettings(on_success=(Target(to="well"),)),
    }
    async with receiving(hang) as down, receiving(OK) as up:
        destinations = {name: webhook(down.url, concurrency=concurrency, breaker=None) for name in names}
        destinations["well"] = webhook(up.url)
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            for _ in range(MANY * 4 // hanging + 1):
                await service.start_job("quick-background")
            most = min(200 - 10, hanging * concurrency)  # the other one's own slots stay free

            async def all_hang() -> bool | None:
                return len(down.requests) >= most or None

            await eventually(all_hang)
            jobs = [await service.start_job("other-background") for _ in range(MANY)]
            for job_id in jobs:
                await service.until_delivered(job_id, "delivered", attempt=1)
            assert len(up.requests) == MANY
            assert len(down.requests) == most
            await holds(lambda: len(down.open) == most)
