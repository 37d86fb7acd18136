"""What functions print: kept, bounded, split, and assigned to their runs."""

import asyncio
from pathlib import Path

from pipeline.config.settings import FunctionSettings
from pipeline.model import JobReason, RunState
from tests.support.pools import TurnedClock, call, is_alive, lines, pid_in, pool_of, run_one, until


async def test_lines_belong_to_their_run_and_their_stream(tmp_path: Path) -> None:
    source = """
        import logging, os, subprocess, sys
        print("at import")
        def handler(event, context):
            print("run", event["n"])
            print("half", end="")
            sys.stderr.write("to stderr\\n")
            subprocess.run(["echo", "from a child"], check=True)
            logging.warning("logged")
            os.write(1, b"\\xff\\n")
        """
    async with pool_of(
        tmp_path, {"f-background.py": source}, settings={"f-background": FunctionSettings(concurrency=1)}
    ) as pool:
        first = await pool.run(call("f-background", b'{"n": 1}'))
        second = await pool.run(call("f-background", b'{"n": 2}'))
    assert first.output.dropped == 0
    out = [text for _, stream, _, text in first.output.lines if stream == "stdout"]
    assert out[:2] == ["at import", "run 1"]
    assert "�" in "".join(out)
    assert [text for _, stream, _, text in first.output.lines if stream == "stderr"] == [
        "to stderr", "WARNING:root:logged"
    ]  # fmt: skip
    assert lines(second)[0] == "run 2"
    assert "at import" not in lines(second)


async def test_a_hundred_megabytes_are_bounded_and_counted(tmp_path: Path) -> None:
    source = """
        def handler(event, context):
            line = "x" * 99
            for number in range(1_000_000):
                print(number, line) if number >= 999_990 else None
                if number % 100 == 0:
                    print("\\n".join([line] * 100))
        """
    async with pool_of(
        tmp_path, {"f-background.py": source, "quick-background.py": "handler = lambda e, c: 1"}
    ) as pool:
        await pool.run(call("quick-background"))
        outcome = await pool.run(call("f-background", timeout_s=100))
        assert (await pool.run(call("quick-background"))).state is RunState.SUCCEEDED
    assert outcome.state is RunState.SUCCEEDED
    kept = lines(outcome)
    assert sum(map(len, kept)) <= 8 * 1024 * 1024
    assert kept[-1].startswith("999999 ")
    # The one that was cut in two where the kept part begins may be counted on both sides.
    assert len(kept) + outcome.output.dropped in (1_000_010, 1_000_011)


async def test_very_long_line_is_cut_but_not_lost(tmp_path: Path) -> None:
    outcome = await run_one(tmp_path, "def handler(event, context):\n    print('ä' * 100_000)\n")
    assert "".join(lines(outcome)) == "ä" * 100_000
    assert max(len(line.encode()) for line in lines(outcome)) <= 64 * 1024


async def test_output_of_a_killed_run_is_there(tmp_path: Path) -> None:
    source = "import time\ndef handler(event, context):\n    print('before')\n    time.sleep(60)\n"
    outcome = await run_one(tmp_path, source, timeout_s=0.3)
    assert outcome.reason is JobReason.TIMEOUT
    assert lines(outcome) == ["before"]


async def test_stray_that_holds_stdout_neither_hangs_the_run_nor_survives_the_worker(tmp_path: Path) -> None:
    source = """
        import os, time
        def handler(event, context):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    open("stray.new", "w").write(str(os.getpid()))
                    os.rename("stray.new", "stray.pid")
                    time.sleep(600)
                os._exit(0)
            os.wait()
            while not os.path.exists("stray.pid"):
                time.sleep(0.01)
            if event.get("exit"):
                os._exit(3)
            return "done"
        """
    stray = tmp_path / "stray.pid"
    async with pool_of(tmp_path, {"f-background.py": source}) as pool:
        assert (await pool.run(call("f-background"))).state is RunState.SUCCEEDED
        assert is_alive(pid_in(stray))  # the worker lives on, and so may what it started
        stray.unlink()
        outcome = await pool.run(call("f-background", b'{"exit": 1}'))
        assert outcome.reason is JobReason.CRASHED
        await until(lambda: not is_alive(pid_in(stray)))


async def test_stray_that_nobody_can_tell_whose_it_is_holds_up_the_run_for_a_second_only(tmp_path: Path) -> None:
    source = """
        import os, subprocess
        def handler(event, context):
            print("before")
            daemon = "sleep 600 & echo $! > stray.pid"
            subprocess.run(["setsid", "sh", "-c", daemon], env={"PATH": os.environ["PATH"]})
            os._exit(3)
        """
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": source}, clock=clock) as pool:
        run = asyncio.create_task(pool.run(call("f-background")))
        await until(lambda: [process.state for process in pool.processes()] == ["stopping"])
        await asyncio.sleep(0.2)
        await clock.turn(0.9)
        assert not run.done()
        await clock.turn(0.2)
        outcome = await asyncio.wait_for(run, 5)
        assert is_alive(pid_in(tmp_path / "stray.pid"))
    assert outcome.reason is JobReason.CRASHED
    assert lines(outcome) == ["before"]
    assert not is_alive(pid_in(tmp_path / "stray.pid"))  # gone with the pool at the latest


async def test_closing_stdout_harms_nothing(tmp_path: Path) -> None:
    source = """
        import os, sys
        def handler(event, context):
            sys.stdout.close()
            sys.stderr = None
            return 1
        """
    async with pool_of(tmp_path, {"f-background.py": source}) as pool:
        for _ in range(2):
            outcome = await pool.run(call("f-background"))
    assert outcome.reason in (None, JobReason.ERROR)
