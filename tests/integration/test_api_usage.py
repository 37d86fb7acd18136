"""GET /v1/usage: what synchronous calls and runs of jobs are counted for, by function and day."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.settings import FunctionSettings, RetrySpec
from tests.support.service import WAITING, Service, eventually, holds, serving

MOVES = """
    def handler(event, context):
        return {"statusCode": 200, "body": "moved"}
    """
FAILS_FIRST = """
    def handler(event, context):
        if context.attempt == 1:
            raise ValueError("broken")
        return "done"
    """
FILES = {"now.py": MOVES, "later-background.py": FAILS_FIRST, "breaks.py": "def handler(event, context): 1 / 0"}
SETTINGS = {"later-background": FunctionSettings(retry=RetrySpec(waits=(1.0,)), memory=512_000_000)}
DAY_S = 86_400.0


async def used(service: Service, query: str = "", *, rows: int) -> list[dict[str, Any]]:
    """Return the rows of usage once there are so many; notes of synchronous calls are written after the answer."""

    async def look() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = (await service.get(f"/v1/usage{query}")).json["items"]
        return found if len(found) == rows else None

    return await eventually(look)


def counts(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("day", "function", "invocations", "calls", "runs", "failed"))


async def test_calls_and_tries_of_jobs_are_counted_by_function_and_day(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, functions=SETTINGS) as service:
        assert (await service.get("/functions/now", is_own=True)).status == 200
        assert (await service.get("/functions/breaks")).status == 500
        job_id = await service.start_job("later-background")
        await service.until(job_id, "retrying")
        await service.clock.advance(1.01)
        await service.until(job_id, "succeeded")
        await used(service, rows=3)
        await service.clock.advance(DAY_S)
        assert (await service.get("/functions/now", is_own=True)).status == 200
        today, *yesterday = await used(service, rows=4)
        assert counts(today) == ("2026-01-06", "now", 1, 1, 0, 0)
        assert list(map(counts, yesterday)) == [
            ("2026-01-05", "breaks", 1, 1, 0, 1),
            ("2026-01-05", "later-background", 2, 0, 2, 1),
            ("2026-01-05", "now", 1, 1, 0, 0),
        ]
        assert list(map(counts, await used(service, "?from=2026-01-06", rows=1))) == [counts(today)]
        assert list(map(counts, await used(service, "?to=2026-01-05&function=now", rows=1))) == [counts(yesterday[2])]
        assert (await service.get("/v1/usage?to=2026-01-04&function=now")).json["items"] == []
        refused = await service.get("/v1/usage?function=nobody")
        assert (refused.status, refused.json["detail"]) == (404, "there is no function 'nobody'")


async def test_a_run_counts_its_time_and_its_memory(tmp_path: Path) -> None:
    async with serving(tmp_path, {"later-background.py": WAITING}, functions=SETTINGS) as service:
        job_id = await service.start_job("later-background")
        await service.until_begun("later-background")
        await service.clock.advance(4.0)
        service.go()
        await service.until(job_id, "succeeded")
        (row,) = await used(service, rows=1)
        assert (row["run_time_s"], row["gb_seconds"]) == (4.0, 2.0)


async def test_waiting_for_a_process_does_not_count(tmp_path: Path) -> None:
    source = WAITING.replace('return "went"', 'return {"statusCode": 200, "body": "went"}')
    functions = {"now": FunctionSettings(concurrency=1)}
    async with serving(tmp_path, {"now.py": source}, functions=functions) as service:
        first = asyncio.ensure_future(service.get("/functions/now", is_own=True))
        await service.until_begun("now")
        second = asyncio.ensure_future(service.get("/functions/now", is_own=True))
        await holds(lambda: service.app.pool.waiting("now"))
        await service.clock.advance(4.0)
        service.go()
        assert [answer.status for answer in await asyncio.gather(first, second)] == [200, 200]

        async def both() -> list[float] | None:
            found = (await service.get("/v1/usage")).json["items"]
            return [row["run_time_s"] for row in found] if sum(row["calls"] for row in found) == 2 else None

        assert await eventually(both) == [4.0]


async def test_the_last_thirty_days_are_shown_and_older_ones_on_request(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        await service.get("/functions/now", is_own=True)
        await used(service, rows=1)
        await service.clock.advance(29 * DAY_S)
        await used(service, rows=1)
        await service.clock.advance(DAY_S)
        await used(service, rows=0)
        await used(service, "?from=2026-01-05", rows=1)
        await used(service, "?from=0001-01-01", rows=1)
        await used(service, "?to=0001-01-02", rows=0)
        await used(service, "?to=9999-12-31", rows=0)


async def test_usage_comes_by_pages(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        for name in ("now", "breaks"):
            await service.get(f"/functions/{name}", is_own=name == "now")
        every = await used(service, rows=2)
        first = await service.get("/v1/usage?limit=1")
        assert first.json["items"] == every[:1]
        assert "rel=next" in first.headers["Link"]
        second = (await service.get(f"/v1/usage?limit=1&cursor={first.json['next_cursor']}")).json
        assert (second["items"], second["next_cursor"]) == (every[1:], None)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=yesterday", "from"),
        ("from=2026-02-30", "from"),
        ("from=20260105", "from"),
        ("to=2026-01-05T00:00:00Z", "to"),
        ("to=%D9%A2026-01-05", "to"),
        ("from=2026-01-06", "from"),  # in the future
        ("from=2026-01-04&to=2026-01-03", "from"),
        ("limit=0", "limit"),
        ("cursor=AAAA", "cursor"),
        ("cursor=%F0", "cursor"),
    ],
)
async def test_a_bad_parameter_is_400_and_named(tmp_path: Path, query: str, parameter: str) -> None:
    async with serving(tmp_path, is_started=False) as service:
        answer = await service.get(f"/v1/usage?{query}")
        assert answer.status == 400
        assert answer.json["errors"][0]["parameter"] == parameter
