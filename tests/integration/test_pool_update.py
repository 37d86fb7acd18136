"""A pool that is updated: new processes for all that begins afterwards, and never more runs at once than allowed."""

import asyncio
from pathlib import Path

import pytest

from pipeline.config.settings import FunctionSettings, FunctionsSettings
from pipeline.errors import UnknownFunctionError
from pipeline.functions.catalog import Catalog
from pipeline.functions.pool import Pool
from pipeline.model import RunState
from tests.support.pools import TurnedClock, call, is_alive, pid_in, pool_of, until, value

GATED = """
    import os, time
    def handler(event, context):
        while not os.path.exists(f"go-{context.job_id}"):
            time.sleep(0.005)
        return os.getpid()
    """
ONE = {"f-background": FunctionSettings(concurrency=1)}


def update(pool: Pool, folder: Path, settings: dict[str, FunctionSettings] = ONE) -> None:
    """Have the pool run what is in the folder now."""
    functions = FunctionsSettings(directory=folder, settings=settings)
    pool.update(catalog=Catalog.load(functions), settings=functions, result_limit=1024 * 1024)


async def test_what_waits_runs_in_a_new_process_once_the_old_one_s_run_has_ended(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f-background.py": GATED}, settings=ONE) as pool:
        calls = [call("f-background") for _ in range(2)]
        runs = [asyncio.create_task(pool.run(each)) for each in calls]
        await until(lambda: pool.running("f-background") == 1)
        update(pool, tmp_path)
        update(pool, tmp_path)
        assert len(pool.processes()) == 1
        (tmp_path / f"go-{calls[0].id}").touch()
        first = value(await runs[0])
        (tmp_path / f"go-{calls[1].id}").touch()
        assert value(await runs[1]) != first
        await until(lambda: not is_alive(int(str(first))))


async def test_what_waits_does_not_wait_for_the_end_of_the_old_process(tmp_path: Path) -> None:
    source = GATED + "\n    import atexit, time\n    atexit.register(time.sleep, 600)\n"
    async with pool_of(tmp_path, {"f-background.py": source}, settings=ONE, clock=TurnedClock()) as pool:
        calls = [call("f-background") for _ in range(2)]
        runs = [asyncio.create_task(pool.run(each)) for each in calls]
        await until(lambda: pool.running("f-background") == 1)
        update(pool, tmp_path)
        for each in calls:
            (tmp_path / f"go-{each.id}").touch()
        assert value(await runs[0]) != value(await runs[1])


async def test_an_idle_process_ends_at_once(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f-background.py": GATED.replace("not", "False and not")}) as pool:
        pid = int(str(value(await pool.run(call("f-background")))))
        update(pool, tmp_path)
        await until(lambda: not is_alive(pid))
        await until(lambda: not pool.processes())
        assert value(await pool.run(call("f-background"))) != pid


async def test_a_process_that_is_coming_up_with_an_old_file_takes_no_run(tmp_path: Path) -> None:
    stuck = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    async with pool_of(tmp_path, {"f-background.py": stuck}, settings=ONE) as pool:
        run = asyncio.create_task(pool.run(call("f-background")))
        await until(lambda: pid_in(tmp_path / "pid"))
        (tmp_path / "f-background.py").write_text("def handler(event, context):\n    return 'mended'\n")
        update(pool, tmp_path)
        assert value(await run) == "mended"


async def test_a_function_that_has_gone_is_unknown_to_all_but_the_run_under_way(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f-background.py": GATED}, settings=ONE) as pool:
        runs = [call("f-background") for _ in range(2)]
        under_way, waiting = (asyncio.create_task(pool.run(each)) for each in runs)
        await until(lambda: pool.running("f-background") == 1)
        source = (tmp_path / "f-background.py").read_text()
        (tmp_path / "f-background.py").unlink()
        update(pool, tmp_path)
        with pytest.raises(UnknownFunctionError):
            await waiting
        with pytest.raises(UnknownFunctionError):
            await pool.run(call("f-background"))
        (tmp_path / f"go-{runs[0].id}").touch()
        assert (await under_way).state is RunState.SUCCEEDED
        await until(lambda: not pool.processes())

        (tmp_path / "f-background.py").write_text(source.replace("while not", "while False and not"))
        update(pool, tmp_path)
        assert (await pool.run(call("f-background"))).state is RunState.SUCCEEDED


async def test_fewer_slots_than_runs_under_way_begin_nothing_until_there_is_room(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f-background.py": GATED}, settings={}) as pool:
        update(pool, tmp_path, {"f-background": FunctionSettings(concurrency=3)})
        calls = [call("f-background") for _ in range(5)]
        runs = [asyncio.create_task(pool.run(each)) for each in calls]
        await until(lambda: pool.running("f-background") == 3)
        update(pool, tmp_path)
        for number in range(3):
            assert pool.running("f-background") == 3 - number
            (tmp_path / f"go-{calls[number].id}").touch()
            await runs[number]
        await until(lambda: pool.running("f-background") == 1)
        (tmp_path / f"go-{calls[3].id}").touch()
        (tmp_path / f"go-{calls[4].id}").touch()
        assert {(await run).state for run in runs} == {RunState.SUCCEEDED}
