"""What a run says of its progress: seen at once, stored once a second, kept with the job, cleared by the next run."""

import asyncio
from pathlib import Path
from typing import Any

from tests.support.service import Service, eventually, serving

TELLS = """
    import os, time
    def handler(event, context):
        context.progress(1, 10, "reading")
        wait("more", context)
        context.progress(7.5)
        wait("go", context)
        if context.attempt == 1:
            raise ValueError("once")
        return "done"
    def wait(name, context):
        while not os.path.exists(f"{name}{context.attempt}"):
            time.sleep(0.005)
    """
SILENT_AT_FIRST = TELLS.replace("context.progress(1, 10", "wait('begin', context)\n        context.progress(1, 10")
FLOODS = """
    import asyncio
    async def handler(event, context):
        for number in range(20_000):
            context.progress(number + 1, 20_000)
        context.progress(float(20_000), note="x" * 5_000)
        return "done"
    """
LATE = """
    import threading
    def handler(event, context):
        for number in range(3):
            context.progress(number)
        threading.Timer(0.05, context.progress, [99]).start()
        return "done"
    """
WRONG = """
    def handler(event, context):
        seen = []
        for value in ("1", True, float("nan"), float("inf")):
            try:
                context.progress(value)
            except (TypeError, ValueError) as error:
                seen.append(str(error))
        return seen
    """


def said(done: float | None, total: float | None = None, note: str | None = None) -> dict[str, Any]:
    return {"done": done, "total": total, "note": note}


async def progress(service: Service, job_id: str) -> Any:
    return (await service.get(f"/v1/jobs/{job_id}")).json["progress"]


async def test_progress_shows_at_once_and_wakes_who_waits(tmp_path: Path) -> None:
    async with serving(tmp_path, {"tells-background.py": SILENT_AT_FIRST}) as service:
        job_id = await service.start_job("tells-background")
        job = await service.until(job_id, "running")
        assert job.progress is None
        first = await service.get(f"/v1/jobs/{job_id}")
        assert first.json["progress"] is None
        waiting = asyncio.create_task(
            service.get(f"/v1/jobs/{job_id}?wait=30", headers={"If-None-Match": first.headers["ETag"]})
        )
        (tmp_path / "functions" / "begin1").touch()
        assert (await waiting).json["progress"] == said(1, 10, "reading")
        (listed,) = (await service.get("/v1/jobs")).json["items"]
        assert listed["progress"] == said(1, 10, "reading")
        for name in ("more1", "go1"):
            (tmp_path / "functions" / name).touch()
        await service.until(job_id, "retrying")


async def test_progress_is_stored_once_a_second_and_at_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path, {"tells-background.py": TELLS}) as service:
        job_id = await service.start_job("tells-background")
        await shows(service, job_id, said(1, 10, "reading"))
        await has_stored(service, job_id, said(1, 10, "reading"))
        (tmp_path / "functions" / "more1").touch()
        await shows(service, job_id, said(7.5))
        assert await stored(service, job_id) == said(1, 10, "reading")  # the second is not over
        await service.clock.advance(1.01)
        await has_stored(service, job_id, said(7.5))
        (tmp_path / "functions" / "go1").touch()
        await service.until(job_id, "retrying")
        assert await progress(service, job_id) == said(7.5)  # what a failed run had reached stays to be seen


async def test_the_next_run_begins_without_the_progress_of_the_last(tmp_path: Path) -> None:
    async with serving(tmp_path, {"tells-background.py": SILENT_AT_FIRST}) as service:
        for name in ("begin1", "more1", "go1"):
            (tmp_path / "functions" / name).touch()
        job_id = await service.start_job("tells-background")
        await service.until(job_id, "retrying")
        assert await progress(service, job_id) == said(7.5)
        await service.clock.advance(60.1)
        await service.until(job_id, "running", run=2)
        assert await progress(service, job_id) is None
        for name in ("begin2", "more2", "go2"):
            (tmp_path / "functions" / name).touch()
        await service.until(job_id, "succeeded")
        assert await progress(service, job_id) == said(7.5)


async def test_the_last_word_of_a_flood_is_kept_and_a_long_note_cut(tmp_path: Path) -> None:
    async with serving(tmp_path, {"floods-background.py": FLOODS}) as service:
        job_id = await service.start_job("floods-background")
        await service.until(job_id, "succeeded")
        assert await progress(service, job_id) == said(20_000, None, "x" * 1_000)


async def test_what_is_said_after_the_end_is_dropped_and_the_process_lives_on(tmp_path: Path) -> None:
    async with serving(tmp_path, {"late-background.py": LATE}) as service:
        for _ in range(2):
            job_id = await service.start_job("late-background")
            await service.until(job_id, "succeeded")
            await asyncio.sleep(0.2)
            assert await progress(service, job_id) == said(2)
        assert len(service.app.pool.processes()) == 1


async def test_what_is_no_number_is_refused_with_its_name(tmp_path: Path) -> None:
    async with serving(tmp_path, {"wrong-background.py": WRONG}) as service:
        job_id = await service.start_job("wrong-background")
        await service.until(job_id, "succeeded")
        assert (await service.get(f"/v1/jobs/{job_id}/result")).json == [
            "done must be a number, got str",
            "done must be a number, got bool",
            "done must be a finite number, got nan",
            "done must be a finite number, got inf",
        ]
        assert await progress(service, job_id) is None


async def shows(service: Service, job_id: str, expected: Any) -> None:
    async def look() -> bool | None:
        return True if await progress(service, job_id) == expected else None

    await eventually(look)


async def has_stored(service: Service, job_id: str, expected: Any) -> None:
    async def look() -> bool | None:
        return True if await stored(service, job_id) == expected else None

    await eventually(look)


async def stored(service: Service, job_id: str) -> Any:
    """Return the progress as the store has it, without what is in memory only."""
    found = (await service.job(job_id)).progress
    return found and said(found.done, found.total, found.note)
