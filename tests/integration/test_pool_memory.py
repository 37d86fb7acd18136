"""Memory: what uses more than it may is ended for it, with all it started, and the rest goes on."""

from pathlib import Path

import pytest

from pipeline.config.settings import FunctionSettings
from pipeline.model import JobReason, RunOutcome, RunState
from tests.support.pools import call, is_alive, lines, pid_in, pool_of, until

MB = 1_000_000
HOG = """
    import os, time
    def handler(event, context):
        print("last words")
        kept = []
        while True:
            kept.append(bytearray(os.urandom(1_000_000)))
            time.sleep(0.005)
    """
OTHERS = """
    import os, subprocess, sys, time
    HOG = "import os, time; kept = [os.urandom(1_000_000) for _ in range(150)]; time.sleep(600)"
    def handler(event, context):
        child = subprocess.Popen([%s])
        open("child.pid", "w").write(str(child.pid))
        time.sleep(600)
    """
HOGS_CHILD = OTHERS % "sys.executable, '-c', HOG"
ORPHAN = OTHERS % """ "sh", "-c", 'setsid "$0" -c "$1" &', sys.executable, HOG"""
AT_ONCE = "def handler(event, context):\n    return len(bytearray(10**10))\n"
LIMITED = {name: FunctionSettings(memory=100 * MB) for name in ("f-background", "f", "loads-background")}


def reason(outcome: RunOutcome) -> tuple[RunState, JobReason | None]:
    return outcome.state, outcome.reason


@pytest.mark.parametrize("source", [HOG, HOGS_CHILD, ORPHAN, AT_ONCE])
async def test_what_uses_too_much_memory_is_ended_and_its_slot_is_free_again(tmp_path: Path, source: str) -> None:
    files = {"f-background.py": source, "quick-background.py": "def handler(event, context):\n    return 'quick'\n"}
    async with pool_of(tmp_path, files, settings=LIMITED) as pool:
        outcome = await pool.run(call("f-background", timeout_s=60))
        assert reason(outcome) == (RunState.FAILED, JobReason.OUT_OF_MEMORY)
        await until(lambda: not is_alive(pid_in(tmp_path / "child.pid")))
        assert reason(await pool.run(call("quick-background")))[0] is RunState.SUCCEEDED
        if source is HOG:
            assert outcome.error is not None
            assert outcome.error.message.endswith("more than the 100 MB allowed")
            assert lines(outcome) == ["last words"]
            await until(lambda: len(pool.processes()) == 1)


async def test_a_module_that_is_too_large_to_load_fails_the_run_with_that_reason(tmp_path: Path) -> None:
    source = "import os, time\nkept = os.urandom(150_000_000)\ntime.sleep(600)\n"
    async with pool_of(tmp_path, {"loads-background.py": source}, settings=LIMITED) as pool:
        outcome = await pool.run(call("loads-background"))
        assert reason(outcome) == (RunState.FAILED, JobReason.OUT_OF_MEMORY)


async def test_the_context_names_the_limit(tmp_path: Path) -> None:
    source = "def handler(event, context):\n    return context.memory_limit_in_mb\n"
    async with pool_of(tmp_path, {"f-background.py": source, "g-background.py": source}, settings=LIMITED) as pool:
        for name, expected in (("f-background", b'"100"'), ("g-background", b'"1024"')):
            outcome = await pool.run(call(name))
            assert outcome.result is not None
            assert outcome.result.body == expected
