"""kill -9 of a worker, of the guard, and of the service: what ran is tried again or returned, and nothing stays."""

import os
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.history import JOURNAL, Step, read_journal
from tests.support.processes import Process, eventually
from tests.support.serving import CALM, Service

pytestmark = pytest.mark.acceptance

# The first run of a job hangs, every other returns at once.
HANGS_ONCE = f"""{JOURNAL}
def handler(event, context):
    flag = os.path.join(os.environ["TMPDIR"], context.job_id)
    is_first = not os.path.exists(flag)
    open(flag, "w").close()
    journal(event, context, "start")
    if is_first:
        time.sleep(600)
    return "done"
"""
# Leaves a grandchild in a session of its own that no signal but SIGKILL ends, then hangs.
STRAYS = """
import os, signal, time

def handler(event, context):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with open(os.path.join(os.environ["TMPDIR"], "stray.new"), "w") as file:
                file.write(str(os.getpid()))
            os.rename(file.name, os.path.join(os.environ["TMPDIR"], "stray"))
            while True:
                time.sleep(60)
        os._exit(0)
    time.sleep(600)
"""
FUNCTIONS = {"hangs-background.py": HANGS_ONCE, "strays-background.py": STRAYS, "calm.py": CALM}
CONFIG = """
functions:
  settings:
    hangs-background: {retry: [1s], concurrency: 2}
    strays-background: {retry: []}
"""


def starts(service: Service, job_id: str, count: int) -> list[Step]:
    """Return the starts of a job once there are so many."""

    def found() -> list[Step] | None:
        steps = [step for step in read_journal(service.folder) if step.job_id == job_id]
        return steps if len(steps) >= count else None

    return eventually(found, what=f"{count} starts")


def stray_of(service: Service) -> Process:
    """Return the grandchild that the function left behind."""
    path = service.folder / "tmp" / "stray"
    eventually(path.exists, what="the grandchild lives")
    stray = processes.find(int(path.read_text()))
    assert stray is not None
    return stray


def assert_unaffected(service: Service, pid: int) -> None:
    assert service.pid == pid
    assert service.get("/readyz").status == 200
    assert service.get("/functions/calm").body == b"calm"


def test_a_run_whose_worker_is_killed_is_tried_again_when_it_is_due(tmp_path: Path) -> None:
    with Service(tmp_path, FUNCTIONS, CONFIG) as service:
        pid = service.pid
        job_id = service.submit("hangs-background", {"ref": "a"})
        os.kill(starts(service, job_id, 1)[0].pid, signal.SIGKILL)
        waiting = eventually(lambda: service.job(job_id) if service.job(job_id)["next_attempt_at"] else None)
        assert (waiting["state"], waiting["reason"], waiting["attempt"]) == ("retrying", "crashed", 1)
        assert_unaffected(service, pid)
        again = starts(service, job_id, 2)[1]
        due_at = datetime.fromisoformat(waiting["next_attempt_at"]).timestamp()
        assert 0.0 <= again.at - due_at < 1.0
        assert service.ended(job_id)["state"] == "succeeded"
        runs = [(run["state"], run["reason"], run["attempt"]) for run in service.runs(job_id)]
        assert runs == [("failed", "crashed", 1), ("succeeded", None, 2)]


def test_runs_whose_guard_is_killed_are_returned_at_once(tmp_path: Path) -> None:
    with Service(tmp_path, FUNCTIONS, CONFIG) as service:
        pid, guard = service.pid, service.guard
        service.submit("strays-background")
        stray = stray_of(service)
        jobs = [service.submit("hangs-background", {"ref": ref}) for ref in ("a", "b")]
        for job_id in jobs:
            starts(service, job_id, 1)
        killed_at = time.time()
        guard.kill()
        for job_id in jobs:
            assert starts(service, job_id, 2)[1].at - killed_at < 1.0
            ended = service.ended(job_id)
            assert (ended["state"], ended["attempt"], ended["run"]) == ("succeeded", 1, 2)
            assert [run["state"] for run in service.runs(job_id)] == ["returned", "succeeded"]
        assert_unaffected(service, pid)
        assert service.guard != guard
        eventually(lambda: not stray.is_alive, what="the grandchild is gone")


def test_nothing_outlives_a_killed_service_by_two_seconds(tmp_path: Path) -> None:
    with Service(tmp_path, FUNCTIONS, CONFIG) as service:
        starts(service, service.submit("hangs-background", {"ref": "a"}), 1)
        service.submit("strays-background")
        service.get("/functions/calm")
        stray = stray_of(service)
        before = processes.descendants(service.pid)
        assert stray in before
        assert service.guard in before
        service.kill()
        eventually(lambda: not any(process.is_alive for process in before), seconds=2.0, what="all are gone")
        assert service.leftovers() == []
