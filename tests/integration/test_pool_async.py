"""Async handlers: several runs in one process, cancelled before anything is killed, and what a blocked loop costs."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from pipeline.config.settings import FunctionSettings
from pipeline.functions.pool import Pool
from pipeline.model import JobReason, RunOutcome, RunState
from tests.support.pools import TurnedClock, call, is_alive, lines, pid_in, pool_of, until, value

GATE = """
    import asyncio, os
    async def handler(event, context):
        open("begun", "a").write(f"{event['n']} ")
        try:
            while not os.path.exists(f"open{event['n']}"):
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            print("cleaned up")
            open("cleaned", "a").write(f"{event['n']} ")
            if event.get("clings"):
                while True:
                    try:
                        await asyncio.sleep(600)
                    except asyncio.CancelledError:
                        pass
            raise
        return [event["n"], os.getpid()]
    """
BLOCKED = """
    import asyncio, os, time
    async def handler(event, context):
        open(f"begun{event['n']}", "w").close()
        while not os.path.exists("block"):
            await asyncio.sleep(0.005)
        open("pid", "w").write(str(os.getpid()))
        time.sleep(600)
    """
FIVE = {"f-background": FunctionSettings(concurrency=1, async_concurrency=5)}


def run(pool: Pool, number: int, *, timeout_s: float = 20.0, clings: bool = False) -> "asyncio.Task[RunOutcome]":
    event = json.dumps({"n": number, "clings": clings}).encode()
    return asyncio.create_task(pool.run(call("f-background", event, timeout_s=timeout_s)))


def words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


async def test_one_process_has_as_many_runs_as_it_may_and_the_next_waits(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f-background.py": GATE}, settings=FIVE) as pool:
        assert pool.size("f-background") == 5
        runs = [run(pool, number) for number in range(7)]
        await until(lambda: pool.running("f-background") == 5 and len(words(tmp_path / "begun")) == 5)
        assert len(pool.processes()) == 1
        (tmp_path / "open3").touch()
        number, pid = value(await runs[3])  # type: ignore[misc]
        assert (number, pid) == (3, pool.processes()[0].pid)
        await until(lambda: words(tmp_path / "begun") == ["0", "1", "2", "3", "4", "5"])
        for number in range(7):
            (tmp_path / f"open{number}").touch()
        outcomes = await asyncio.gather(*runs)
    assert [value(outcome)[0] for outcome in outcomes] == list(range(7))  # type: ignore[index]


async def test_a_second_process_starts_only_when_the_first_is_full(tmp_path: Path) -> None:
    settings = {"f-background": FunctionSettings(concurrency=2, async_concurrency=2)}
    async with pool_of(tmp_path, {"f-background.py": GATE}, settings=settings) as pool:
        runs = [run(pool, number) for number in range(2)]
        await until(lambda: len(words(tmp_path / "begun")) == 2)
        assert len(pool.processes()) == 1
        runs += [run(pool, number) for number in range(2, 5)]
        await until(lambda: len(words(tmp_path / "begun")) == 4)
        assert len(pool.processes()) == 2
        for number in range(5):
            (tmp_path / f"open{number}").touch()
        await asyncio.gather(*runs)


@pytest.mark.parametrize("handler", ["async def handler", "def handler"])
async def test_without_the_setting_and_for_a_plain_handler_a_process_has_one_run(tmp_path: Path, handler: str) -> None:
    source = f"import os, time\n{handler}(event, context):\n    open('begun', 'a').write('x ')\n    time.sleep(0.05)\n"
    several = 1 if handler.startswith("async") else 5
    settings = {"f-background": FunctionSettings(concurrency=1, async_concurrency=several)}
    async with pool_of(tmp_path, {"f-background.py": source}, settings=settings) as pool:
        assert pool.size("f-background") == 1
        runs = [run(pool, number) for number in range(3)]
        await until(lambda: words(tmp_path / "begun"))
        assert pool.running("f-background") == 1
        assert [(await each).state for each in runs] == [RunState.SUCCEEDED] * 3


async def test_at_the_limit_the_task_is_cancelled_and_the_process_goes_on(tmp_path: Path) -> None:
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": GATE}, settings=FIVE, clock=clock) as pool:
        late, other = run(pool, 1, timeout_s=10), run(pool, 2, timeout_s=100)
        await until(lambda: len(words(tmp_path / "begun")) == 2)
        pid = pool.processes()[0].pid
        await clock.turn(10.1)
        outcome = await asyncio.wait_for(late, 5)
        assert (outcome.state, outcome.reason) == (RunState.FAILED, JobReason.TIMEOUT)
        assert words(tmp_path / "cleaned") == ["1"]
        assert lines(outcome) == ["cleaned up"]
        (tmp_path / "open2").touch()
        assert value(await other) == [2, pid]
        (tmp_path / "open3").touch()
        assert value(await run(pool, 3)) == [3, pid]


async def test_a_task_that_clings_is_ended_with_its_process_and_the_others_are_returned(tmp_path: Path) -> None:
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": GATE}, settings=FIVE, clock=clock) as pool:
        clinging, other = run(pool, 1, timeout_s=10, clings=True), run(pool, 2, timeout_s=100)
        await until(lambda: len(words(tmp_path / "begun")) == 2)
        pid = pool.processes()[0].pid
        assert pid is not None
        await clock.turn(10.1)
        await until(lambda: words(tmp_path / "cleaned") == ["1"])
        waiting = run(pool, 3)  # to a process with a run that may be stuck nothing is given
        await clock.turn(4.8)
        assert is_alive(pid)
        assert words(tmp_path / "begun") == ["1", "2"]
        await clock.turn(0.3)
        assert (await asyncio.wait_for(clinging, 5)).reason is JobReason.TIMEOUT
        assert (await asyncio.wait_for(other, 5)).state is RunState.RETURNED
        (tmp_path / "open3").touch()
        assert value(await waiting) != [3, pid]


async def test_a_blocked_loop_is_killed_and_only_who_was_at_its_limit_has_failed(tmp_path: Path) -> None:
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": BLOCKED}, settings=FIVE, clock=clock) as pool:
        late, other = run(pool, 1, timeout_s=10), run(pool, 2, timeout_s=100)
        await until(lambda: all((tmp_path / f"begun{number}").exists() for number in (1, 2)))
        (tmp_path / "block").touch()
        await until(lambda: pid_in(tmp_path / "pid"))
        await clock.turn(10.1)
        await clock.turn(5.1)
        assert (await asyncio.wait_for(late, 5)).reason is JobReason.TIMEOUT
        assert (await asyncio.wait_for(other, 5)).state is RunState.RETURNED
        await until(lambda: not is_alive(pid_in(tmp_path / "pid")))


async def test_who_never_began_behind_a_blocked_loop_runs_elsewhere(tmp_path: Path) -> None:
    source = BLOCKED.replace('open("pid"', 'os.path.exists("pid") and os._exit(0)\n        open("pid"')
    source = source.replace("async def handler(event, context):", (
        "async def handler(event, context):\n        if event['n'] == 2:\n            return os.getpid()"
    ))  # fmt: skip
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": source}, settings=FIVE, clock=clock) as pool:
        (tmp_path / "block").touch()
        blocking = run(pool, 1, timeout_s=1000)
        await until(lambda: pid_in(tmp_path / "pid"))
        behind = run(pool, 2)
        await clock.turn(30.1)
        outcome = await asyncio.wait_for(blocking, 5)
        assert outcome.reason is JobReason.CRASHED
        assert outcome.error is not None
        assert "event loop" in outcome.error.message
        assert value(await asyncio.wait_for(behind, 5)) != pid_in(tmp_path / "pid")


async def test_cancelling_an_async_run_cancels_its_task_only(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f-background.py": GATE}, settings=FIVE) as pool:
        unwanted, other = run(pool, 1), run(pool, 2)
        await until(lambda: len(words(tmp_path / "begun")) == 2)
        pid = pool.processes()[0].pid
        unwanted.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unwanted
        await until(lambda: words(tmp_path / "cleaned") == ["1"])
        (tmp_path / "open2").touch()
        assert value(await other) == [2, pid]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("raise SystemExit(3)", JobReason.ERROR),
        ("raise KeyboardInterrupt", JobReason.ERROR),
        ("raise asyncio.CancelledError", JobReason.ERROR),
        ("raise MemoryError", JobReason.OUT_OF_MEMORY),
        ("context.reject('never')", JobReason.REJECTED),
        ("os._exit(3)", JobReason.CRASHED),
        ("return object()", JobReason.BAD_RESPONSE),
    ],
)
async def test_async_runs_end_as_plain_ones_do(tmp_path: Path, statement: str, reason: JobReason) -> None:
    source = f"import asyncio, os\nasync def handler(event, context):\n    await asyncio.sleep(0)\n    {statement}\n"
    async with pool_of(tmp_path, {"f-background.py": source}, settings=FIVE) as pool:
        assert (await pool.run(call("f-background"))).reason is reason
        # And the next one is served, by whatever process.
        assert (await pool.run(call("f-background"))).reason is reason


@pytest.mark.parametrize(
    "definition",
    [
        "class Handler:\n    async def __call__(self, event, context): return os.getpid()\nhandler = Handler()",
        "class Handler:\n    async def handle(self, event, context): return os.getpid()\nhandler = Handler().handle",
        "async def answer(): return os.getpid()\ndef handler(event, context): return answer()",
    ],
)
async def test_every_kind_of_awaitable_handler_is_served(tmp_path: Path, definition: str) -> None:
    async with pool_of(tmp_path, {"f-background.py": f"import os\n{definition}\n"}) as pool:
        pids = [value(await pool.run(call("f-background"))) for _ in range(3)]
        assert len(set(pids)) == 1
        assert pids[0] != os.getpid()


async def test_large_events_and_results_pass_through_an_async_process(tmp_path: Path) -> None:
    source = "async def handler(event, context):\n    return event['body'] * 2\n"
    async with pool_of(tmp_path, {"f-background.py": source}, settings=FIVE, result_limit=10_000_000) as pool:
        runs = [pool.run(call("f-background", b'{"body":"%s"}' % (b"xyz"[n : n + 1] * 900_000))) for n in range(3)]
        bodies = [value(outcome) for outcome in await asyncio.gather(*runs)]
    assert bodies == [letter * 1_800_000 for letter in "xyz"]
