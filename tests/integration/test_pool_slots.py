"""Warm processes and slots: reuse, order, bounds, and what a caller will wait for."""

import asyncio
import os
from pathlib import Path

import pytest

from pipeline.config.settings import FunctionSettings
from pipeline.errors import BusyError
from pipeline.functions.pool import Pool
from pipeline.model import RunOutcome, RunState
from tests.support.pools import TurnedClock, call, pid_in, pool_of, until, value

PID = "import os\ndef handler(event, context):\n    return os.getpid()\n"
GATE = """
    import os, time
    def handler(event, context):
        open("order", "a").write(f"{event['n']} ")
        while not os.path.exists("open"):
            time.sleep(0.005)
        return [event["n"], os.getpid()]
    """
ONE = {"f-background": FunctionSettings(concurrency=1)}


def gated(pool: Pool, number: int) -> "asyncio.Task[RunOutcome]":
    return asyncio.create_task(pool.run(call("f-background", b'{"n": %d}' % number)))


async def test_runs_reuse_a_warm_process(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f-background.py": PID, "g-background.py": PID}) as pool:
        pids = {value(await pool.run(call("f-background"))) for _ in range(20)}
        assert len(pids) == 1
        assert value(await pool.run(call("g-background"))) not in pids
        assert sorted((process.function, process.state) for process in pool.processes()) == [
            ("f-background", "idle"), ("g-background", "idle")
        ]  # fmt: skip


async def test_calls_are_served_in_order(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f-background.py": GATE}, settings=ONE) as pool:
        runs = [gated(pool, number) for number in range(8)]
        await until((tmp_path / "order").exists)
        assert pool.running("f-background") == 1
        (tmp_path / "open").touch()
        outcomes = await asyncio.gather(*runs)
    assert (tmp_path / "order").read_text().split() == list(map(str, range(8)))
    assert len({tuple(value(outcome))[1] for outcome in outcomes}) == 1  # type: ignore[arg-type]


async def test_no_more_than_size_run_at_once_and_the_last_used_is_taken_first(tmp_path: Path) -> None:
    settings = {"f-background": FunctionSettings(concurrency=3)}
    async with pool_of(tmp_path, {"f-background.py": GATE}, settings=settings) as pool:
        assert pool.size("f-background") == 3
        assert pool.size("other") == os.cpu_count()
        runs = [gated(pool, number) for number in range(7)]
        await until(lambda: pool.running("f-background") == 3)
        assert len(pool.processes()) == 3
        (tmp_path / "open").touch()
        await asyncio.gather(*runs)
        assert sorted((tmp_path / "order").read_text().split()) == list(map(str, range(7)))  # each once
        last = value(await gated(pool, 8))
        assert [value(await gated(pool, 8)) for _ in range(5)] == [last] * 5


async def test_caller_waits_for_a_slot_no_longer_than_it_will(tmp_path: Path) -> None:
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": GATE}, settings=ONE, clock=clock) as pool:
        first = gated(pool, 1)
        await until((tmp_path / "order").exists)
        impatient = asyncio.create_task(pool.run(call("f-background", b'{"n": 2}'), slot_wait_s=2))
        patient = asyncio.create_task(pool.run(call("f-background", b'{"n": 3}'), slot_wait_s=10))
        await clock.turn(1.9)
        assert not impatient.done()
        await clock.turn(0.2)
        with pytest.raises(BusyError, match=r"'f-background' came free within 2 s$"):
            await asyncio.wait_for(impatient, 5)
        (tmp_path / "open").touch()
        assert (await first).state is (await patient).state is RunState.SUCCEEDED
    assert (tmp_path / "order").read_text().split() == ["1", "3"]


async def test_a_slot_that_is_coming_up_is_waited_for(tmp_path: Path) -> None:
    slow = """
        import os, time
        open("pid", "w").write("1")
        while not os.path.exists("go"):
            time.sleep(0.005)
        handler = lambda event, context: 1
        """
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": slow}, settings=ONE, clock=clock) as pool:
        run = asyncio.create_task(pool.run(call("f-background"), slot_wait_s=1))
        await until(lambda: pid_in(tmp_path / "pid"))
        await clock.turn(5)
        assert not run.done()
        (tmp_path / "go").touch()
        assert (await asyncio.wait_for(run, 5)).state is RunState.SUCCEEDED
