"""Wear: processes that ran often, grew, or idle are replaced or ended, and nobody waits for that."""

import asyncio
import os
import sys
from pathlib import Path

from pipeline.config.settings import FunctionSettings
from tests.support.pools import TurnedClock, call, is_alive, open_descriptors, pool_of, until, value

PID = "import os\ndef handler(event, context):\n    return os.getpid()\n"


async def test_a_process_is_replaced_after_its_last_run_once_it_is_a_minute_old(tmp_path: Path) -> None:
    settings = {"f-background": FunctionSettings(concurrency=1, max_runs=3)}
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": PID}, settings=settings, clock=clock) as pool:
        pids = [value(await pool.run(call("f-background"))) for _ in range(5)]
        assert len(set(pids)) == 1
        await clock.turn(60)
        assert [value(await pool.run(call("f-background")))] == pids[:1]
        for _ in range(2):
            pids.append(value(await pool.run(call("f-background"))))
            await clock.turn(60)
        await until(lambda: len(pool.processes()) == 1)
        assert len(set(pids)) == 2
        assert not is_alive(pids[0])  # type: ignore[arg-type]


async def test_while_calls_wait_a_worn_process_goes_on_until_its_successor_is_ready(tmp_path: Path) -> None:
    source = """
        import os, time
        open("loaded", "a").write(f"{os.getpid()} ")
        while len(open("loaded").read().split()) > 1 and not os.path.exists("go"):
            time.sleep(0.005)
        def handler(event, context):
            return os.getpid()
        """
    settings = {"f-background": FunctionSettings(concurrency=1, max_runs=1)}
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": source}, settings=settings, clock=clock) as pool:
        first = value(await pool.run(call("f-background")))
        await clock.turn(60)
        runs = [asyncio.create_task(pool.run(call("f-background"))) for _ in range(30)]
        assert {value(await run) for run in runs} == {first}
        assert "starting" in {process.state for process in pool.processes()}  # the successor, until it is told to go on
        (tmp_path / "go").touch()
        await until(lambda: len(pool.processes()) == 1)
        assert value(await pool.run(call("f-background"))) != first


async def test_memory_that_grows_from_run_to_run_is_given_back_by_a_fresh_process(tmp_path: Path) -> None:
    source = """
        import os
        kept = []
        def handler(event, context):
            kept.append(os.urandom(30_000_000))
            return os.getpid()
        """
    settings = {"f-background": FunctionSettings(concurrency=1, memory=200_000_000)}
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": source}, settings=settings, clock=clock) as pool:
        pids = []
        for _ in range(10):
            pids.append(value(await pool.run(call("f-background"))))
            await clock.turn(1.1)
        assert len(set(pids)) > 1
        assert max(pids.count(pid) for pid in pids) < 6  # the seventh would have been too much


async def test_what_is_large_from_the_beginning_stays_warm(tmp_path: Path) -> None:
    source = "import os\nmodel = os.urandom(150_000_000)\n" + PID
    settings = {"f-background": FunctionSettings(concurrency=1, memory=200_000_000)}
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": source}, settings=settings, clock=clock) as pool:
        pids = set()
        for _ in range(4):
            pids.add(value(await pool.run(call("f-background"))))
            await clock.turn(1.1)
        assert len(pids) == 1


async def test_an_idle_process_ends_after_its_time_and_the_next_call_starts_another(tmp_path: Path) -> None:
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": PID}, clock=clock) as pool:
        first = value(await pool.run(call("f-background")))
        before = open_descriptors()
        await clock.turn(299)
        assert value(await pool.run(call("f-background"))) == first
        await clock.turn(299)
        assert [process.state for process in pool.processes()] == ["idle"]
        await clock.turn(2)
        await until(lambda: not pool.processes())
        assert not is_alive(first)  # type: ignore[arg-type]
        assert open_descriptors() < before
        assert value(await pool.run(call("f-background"))) != first


async def test_an_idle_process_that_does_not_end_by_itself_is_killed(tmp_path: Path) -> None:
    source = """
        import os, threading, time
        threading.Thread(target=time.sleep, args=(600,)).start()
        def handler(event, context):
            return os.getpid()
        """
    settings = {"f-background": FunctionSettings(idle_timeout=10.0)}
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": source}, settings=settings, clock=clock) as pool:
        pid = value(await pool.run(call("f-background")))
        await clock.turn(10.1)
        assert is_alive(pid)  # type: ignore[arg-type]
        await clock.turn(5.1)
        await until(lambda: not is_alive(pid) and not pool.processes())  # type: ignore[arg-type]


async def test_functions_run_with_the_interpreter_that_is_configured(tmp_path: Path) -> None:
    link = tmp_path / "my-python"
    link.symlink_to(os.path.realpath(sys.executable))
    source = "import sys\ndef handler(event, context):\n    return sys.executable\n"
    async with pool_of(tmp_path / "functions", {"f-background.py": source}, python=link) as pool:
        assert value(await pool.run(call("f-background"))) == str(link)
