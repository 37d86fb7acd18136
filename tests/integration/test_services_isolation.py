"""Destinations that hang take nothing from another: its deliveries go out while no time passes at all."""

from pathlib import Path

import pytest

from pipeline.config.settings import FunctionSettings, Target
from tests.support.hanging import hanging
from tests.support.receiver import OK, receiving
from tests.support.service import QUICK, Service, eventually, serving, webhook

FILES = {"quick-background.py": QUICK, "other-background.py": QUICK}
MANY = 60


async def in_flight(service: Service, names: list[str]) -> int:
    shown = (await service.get("/v1/destinations")).json["items"]
    return sum(each["in_flight"] for each in shown if each["name"] in names)


@pytest.mark.parametrize(
    ("kind", "count", "concurrency"),
    [
        ("silence", 1, 10),
        ("silence", 1, 1000),
        ("silence", 19, 1000),
        ("a byte a second", 1, 1000),
        ("no handshake", 1, 1000),
        ("no address", 20, 1000),
        ("no connection", 1, 1000),
        ("a mute mail server", 1, 1000),
    ],
)
async def test_what_hangs_delays_no_other(
    tmp_path: Path, kind: str, count: int, concurrency: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"hangs{number}" for number in range(count)]
    functions = {
        "quick-background": FunctionSettings(on_success=tuple(Target(to=name) for name in names)),
        "other-background": FunctionSettings(on_success=(Target(to="well"),)),
    }
    async with receiving(OK) as up, hanging(kind, names, concurrency, monkeypatch) as down:
        destinations = {**down.destinations, "well": webhook(up.url.replace("127.0.0.1", down.well))}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            for _ in range(MANY * 4 // count + 1):
                await service.start_job("quick-background")
            own = min(10, 200 // (count + 1))
            most = min(200 - own, count * concurrency)  # the other one's own slots stay free

            async def all_hang() -> bool | None:
                return (down.seen() in (most, None) and await in_flight(service, names) >= most) or None

            await eventually(all_hang)
            jobs = [await service.start_job("other-background") for _ in range(MANY)]
            for job_id in jobs:
                await service.until_delivered(job_id, "delivered", attempt=1)
            assert len(up.requests) == MANY
            await eventually(all_hang)
