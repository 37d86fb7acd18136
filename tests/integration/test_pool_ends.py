"""How runs end that do not return: limits, crashes, kills, cancellation, and the deaths of guard and service."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from pipeline.config.settings import FunctionSettings
from pipeline.functions.pool import Pool
from pipeline.model import JobReason, RunState
from tests.support.pools import TurnedClock, call, is_alive, lines, open_descriptors, pid_in, pool_of, run_one, until

QUICK = "def handler(event, context):\n    return 'quick'\n"
SLEEPER = """
    import os, time
    def handler(event, context):
        open("pid", "w").write(str(os.getpid()))
        time.sleep(600)
    """
STUBBORN = """
    import os, signal, subprocess, time
    def handler(event, context):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        open("child.pid", "w").write(str(child.pid))
        open("pid", "w").write(str(os.getpid()))
        while True:
            time.sleep(0.05)
    """


async def assert_works(pool: Pool) -> None:
    assert (await pool.run(call("quick-background"))).state is RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("statement", "how"),
    [
        ("os._exit(3)", "exit code 3"),
        ("ctypes.string_at(0)", "signal SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal SIGKILL"),
        ("os.write(3, b'GET / HTTP/1.1, and so on')", "wrote something else than frames"),
        ("os.write(3, bytes([99]) + bytes(12))", "wrote something else than frames"),
        ("os.closerange(3, 100); time.sleep(600)", "closed its channel"),
    ],
)
async def test_death_of_the_process_is_a_crash_and_nobody_elses(tmp_path: Path, statement: str, how: str) -> None:
    source = (
        f"import ctypes, os, signal, time\ndef handler(event, context):\n    print('last words')\n    {statement}\n"
    )
    async with pool_of(tmp_path, {"f-background.py": source, "quick-background.py": QUICK}) as pool:
        await assert_works(pool)
        outcome = await pool.run(call("f-background"))
        await assert_works(pool)
    assert (outcome.state, outcome.reason) == (RunState.FAILED, JobReason.CRASHED)
    assert outcome.error is not None
    assert how in outcome.error.message
    assert lines(outcome) == ["last words"]


async def test_process_that_dies_while_loading_is_a_crash_after_three_tries(tmp_path: Path) -> None:
    source = "import os\nopen('tries', 'a').write('x')\nos._exit(7)\n"
    outcome = await run_one(tmp_path, source)
    assert outcome.reason is JobReason.CRASHED
    assert outcome.error is not None
    assert "exit code 7" in outcome.error.message
    assert (tmp_path / "tries").read_text() == "xxx"


async def test_forked_child_that_falls_out_of_the_handler_does_not_answer(tmp_path: Path) -> None:
    source = (
        "import os\ndef handler(event, context):\n    return 'child' if os.fork() == 0 else (os.wait(), 'parent')[1]\n"
    )
    outcome = await run_one(tmp_path, source)
    assert outcome.result is not None
    assert outcome.result.body == b'"parent"'


async def test_limit_ends_a_sleeping_run_in_productions_words(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f-background.py": SLEEPER, "quick-background.py": QUICK}) as pool:
        asked = call("f-background", timeout_s=0.3)
        outcome = await pool.run(asked)
        await assert_works(pool)
        assert not is_alive(pid_in(tmp_path / "pid"))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, JobReason.TIMEOUT)
    assert outcome.error is not None
    assert outcome.error.message.endswith(f"Z {asked.id} Task timed out after 0.30 seconds")


async def test_what_ignores_sigterm_is_killed_five_seconds_later_with_all_it_started(tmp_path: Path) -> None:
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": STUBBORN}, clock=clock) as pool:
        run = asyncio.create_task(pool.run(call("f-background", timeout_s=10)))
        await until(lambda: pid_in(tmp_path / "pid"))
        worker, child = pid_in(tmp_path / "pid"), pid_in(tmp_path / "child.pid")
        await clock.turn(9.9)
        assert [process.state for process in pool.processes()] == ["busy"]
        await clock.turn(0.2)
        assert [process.state for process in pool.processes()] == ["stopping"]
        await clock.turn(4.8)
        assert is_alive(worker)
        assert not run.done()
        await clock.turn(0.3)
        outcome = await asyncio.wait_for(run, 10)
        await until(lambda: not is_alive(worker) and not is_alive(child))
    assert outcome.reason is JobReason.TIMEOUT
    assert outcome.error is not None
    assert outcome.error.message.startswith("2022-04-05T17:47:10.502Z call-")


async def test_result_that_comes_after_the_limit_comes_too_late(tmp_path: Path) -> None:
    source = """
        import signal, time
        def handler(event, context):
            signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(InterruptedError))
            try:
                time.sleep(600)
            except InterruptedError:
                return "saved"
        """
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": source}, clock=clock) as pool:
        run = asyncio.create_task(pool.run(call("f-background", timeout_s=1)))
        await until(lambda: pool.running("f-background"))
        await asyncio.sleep(0.2)
        await clock.turn(1.1)
        await asyncio.sleep(0.2)
        await clock.turn(5.1)
        assert (await asyncio.wait_for(run, 10)).reason is JobReason.TIMEOUT


async def test_process_that_never_comes_up_is_a_crash_after_thirty_seconds(tmp_path: Path) -> None:
    source = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": source}, clock=clock) as pool:
        run = asyncio.create_task(pool.run(call("f-background", timeout_s=1)))
        await until(lambda: pid_in(tmp_path / "pid"))
        await clock.turn(29.9)
        assert not run.done()
        await clock.turn(0.2)
        outcome = await asyncio.wait_for(run, 10)
        await until(lambda: not is_alive(pid_in(tmp_path / "pid")))
    assert outcome.reason is JobReason.CRASHED
    assert outcome.error is not None
    assert "within 30 seconds" in outcome.error.message


async def test_kill_9_of_a_worker_is_a_crash_of_its_run(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f-background.py": SLEEPER}) as pool:
        run = asyncio.create_task(pool.run(call("f-background")))
        await until(lambda: pid_in(tmp_path / "pid"))
        os.kill(pid_in(tmp_path / "pid"), signal.SIGKILL)
        outcome = await asyncio.wait_for(run, 10)
    assert outcome.reason is JobReason.CRASHED
    assert outcome.error is not None
    assert "signal SIGKILL" in outcome.error.message


async def test_idle_worker_that_was_killed_is_replaced_without_anyone_noticing(tmp_path: Path) -> None:
    source = "import os\ndef handler(event, context):\n    return os.getpid()\n"
    async with pool_of(tmp_path, {"f-background.py": source}) as pool:
        for _ in range(5):
            await pool.run(call("f-background"))
            (process,) = pool.processes()
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            outcome = await pool.run(call("f-background"))
            assert outcome.state is RunState.SUCCEEDED


@pytest.mark.parametrize("source", [SLEEPER, STUBBORN])
async def test_kill_9_of_the_guard_returns_its_runs_and_the_next_run_works(tmp_path: Path, source: str) -> None:
    async with pool_of(tmp_path, {"f-background.py": source, "quick-background.py": QUICK}) as pool:
        await assert_works(pool)
        run = asyncio.create_task(pool.run(call("f-background")))
        await until(lambda: pid_in(tmp_path / "pid"))
        guard = pool.guard_pid
        assert guard is not None
        os.kill(guard, signal.SIGKILL)
        outcome = await asyncio.wait_for(run, 10)
        assert outcome.state is RunState.RETURNED
        await assert_works(pool)
        assert pool.guard_pid not in (None, guard)
        await until(lambda: not is_alive(pid_in(tmp_path / "pid")))
        if source is STUBBORN:  # a session of its own: only the new guard's hunt finds it
            await until(lambda: not is_alive(pid_in(tmp_path / "child.pid")))


async def test_cancelling_kills_the_run_and_frees_its_slot(tmp_path: Path) -> None:
    files = {"f-background.py": SLEEPER, "quick-background.py": QUICK}
    async with pool_of(tmp_path, files, settings={"f-background": FunctionSettings(concurrency=1)}) as pool:
        run = asyncio.create_task(pool.run(call("f-background")))
        await until(lambda: pid_in(tmp_path / "pid"))
        waiting = asyncio.create_task(pool.run(call("f-background")))
        await asyncio.sleep(0)
        waiting.cancel()
        run.cancel()
        for task in (run, waiting):
            with pytest.raises(asyncio.CancelledError):
                await task
        await until(lambda: not is_alive(pid_in(tmp_path / "pid")))
        await until(lambda: not pool.processes())
        (tmp_path / "pid").unlink()
        assert not (tmp_path / "pid").exists()  # the one that waited never ran
        await assert_works(pool)


async def test_cancelling_what_ignores_sigterm_kills_it_five_seconds_later(tmp_path: Path) -> None:
    clock = TurnedClock()
    async with pool_of(tmp_path, {"f-background.py": STUBBORN}, clock=clock) as pool:
        run = asyncio.create_task(pool.run(call("f-background", timeout_s=100)))
        await until(lambda: pid_in(tmp_path / "pid"))
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await clock.turn(4.9)
        assert is_alive(pid_in(tmp_path / "pid"))
        await clock.turn(0.2)
        await until(lambda: not is_alive(pid_in(tmp_path / "pid")) and not is_alive(pid_in(tmp_path / "child.pid")))


async def test_close_returns_runs_kills_everything_and_leaves_no_descriptor(tmp_path: Path) -> None:
    before = open_descriptors()
    settings = {"f-background": FunctionSettings(concurrency=1)}
    files = {"f-background.py": STUBBORN, "quick-background.py": QUICK}
    async with pool_of(tmp_path, files, settings=settings) as pool:
        runs = [asyncio.create_task(pool.run(call("f-background"))) for _ in range(3)]
        await until(lambda: pid_in(tmp_path / "pid"))
    outcomes = await asyncio.gather(*runs)
    assert [outcome.state for outcome in outcomes] == [RunState.RETURNED] * 3
    assert not is_alive(pid_in(tmp_path / "pid"))
    assert not is_alive(pid_in(tmp_path / "child.pid"))
    for name in ("f-background", "quick-background"):
        assert (await pool.run(call(name))).state is RunState.RETURNED
    assert open_descriptors() == before


async def test_crashes_leave_no_descriptor_and_no_zombie(tmp_path: Path) -> None:
    files = {"f-background.py": "import os\ndef handler(event, context):\n    os._exit(1)\n"}
    async with pool_of(tmp_path, files) as pool:
        await pool.run(call("f-background"))
        await until(lambda: not pool.processes())
        before = open_descriptors()
        for _ in range(5):
            await pool.run(call("f-background"))
        await until(lambda: not pool.processes())
        assert open_descriptors() == before
        children = Path(f"/proc/{pool.guard_pid}/task/{pool.guard_pid}/children")
        await until(lambda: not children.read_text().split())


async def test_guard_ignores_polite_signals(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"quick-background.py": QUICK}) as pool:
        await assert_works(pool)
        guard = pool.guard_pid
        assert guard is not None
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(guard, signum)
        await assert_works(pool)
        assert pool.guard_pid == guard


def test_kill_9_of_the_service_leaves_nobody_alive(tmp_path: Path) -> None:
    """A worker, its child in a session of its own, and a daemon of it whose environment is empty."""
    source = """
        import os, subprocess, time
        def handler(event, context):
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            daemon = "sleep 600 >/dev/null 2>&1 & echo $! > daemon.pid"
            subprocess.run(["setsid", "sh", "-c", daemon], env={"PATH": os.environ["PATH"]})
            open("child.pid", "w").write(str(child.pid))
            open("pid", "w").write(str(os.getpid()))
            time.sleep(600)
        """
    script = """
        import asyncio, sys
        from pathlib import Path
        from tests.support.pools import call, pool_of
        async def main():
            async with pool_of(Path(sys.argv[1]), {}) as pool:
                await pool.run(call("f-background"))
        asyncio.run(main())
        """
    (tmp_path / "f-background.py").write_text(textwrap.dedent(source))
    service = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)])
    pids = [tmp_path / name for name in ("pid", "child.pid", "daemon.pid")]

    def gone() -> bool:
        return not any(is_alive(pid_in(path)) for path in pids)

    try:
        asyncio.run(until(lambda: pid_in(tmp_path / "pid")))
        assert all(is_alive(pid_in(path)) for path in pids)
    finally:
        service.kill()
        service.wait()
    asyncio.run(until(gone, seconds=2))


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_both_event_loops_serve(tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def scenario() -> None:
        files = {"quick-background.py": QUICK, "f-background.py": SLEEPER, "big.py": BIG}
        async with pool_of(tmp_path, files, result_limit=10_000_000) as pool:
            await assert_works(pool)
            assert (await pool.run(call("f-background", timeout_s=0.2))).reason is JobReason.TIMEOUT
            outcome = await pool.run(call("big", b'{"body":"%s"}' % (b"x" * 3_000_000)))
            assert outcome.result is not None
            assert outcome.result.body == b"x" * 6_000_000
            died = pool.guard_pid
            assert died is not None
            os.kill(died, signal.SIGKILL)
            # A run that begins before the death is known is returned, rightly.
            await until(lambda: pool.guard_pid not in (died, None))
            await assert_works(pool)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


BIG = "def handler(event, context):\n    return {'statusCode': 200, 'body': event['body'] * 2}\n"
