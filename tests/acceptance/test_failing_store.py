"""A disk that fails or is full while the service runs: new work is refused, and nothing that got a 202 is lost."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.hooks import SECRET, Receiver, receiving
from tests.support.processes import eventually
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

FUNCTION = "import time\n\ndef handler(event, context):\n    time.sleep(0.5)\n    return 'done'\n"
LONGER_THAN_A_RENEWAL_S = 11.0
LONGER_THAN_THE_BUSY_TIMEOUT_S = 6.0


def serving(folder: Path, receiver: Receiver) -> Service:
    config = f"""
        functions: {{settings: {{f-background: {{on_success: [hook], retry: []}}}}}}
        destinations: {{hook: {{type: webhook, url: "{receiver.url("/hook")}", secrets: ["{SECRET}"]}}}}
        """
    return Service(folder, {"f-background.py": FUNCTION}, config)


def test_an_io_error_ends_the_service_with_70_and_one_line(tmp_path: Path) -> None:
    with receiving() as receiver, serving(tmp_path, receiver) as service:
        job_id = service.submit("f-background")
        size = len(service.log)
        # No file of its own may grow any more: the next write fails with EFBIG, which is an I/O error to SQLite.
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        assert service.wait() == 70
        assert service.leftovers() == []
        *_, last = service.log[size:].splitlines()
        assert last.startswith(f"sendoff: {service.database}: ")
        assert "Traceback" not in service.log
        service.start()
        assert service.settled(job_id)["deliveries"]["delivered"] == 1


NEEDS_STRACE = pytest.mark.skipif(shutil.which("strace") is None, reason="strace plays the disk")


@contextmanager
def disk(pid: int, fault: str) -> Iterator[None]:
    """Have a fault happen to every write of a process to its database."""
    strace = ["strace", "-f", "-qq", "-o", os.devnull, "-p", str(pid), "-e", f"inject=pwrite64:{fault}"]
    process = subprocess.Popen(strace, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text(), what="it is traced")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@NEEDS_STRACE
def test_a_full_disk_refuses_new_work_and_loses_none(tmp_path: Path) -> None:
    with receiving() as receiver, serving(tmp_path, receiver) as service:
        job_id = service.submit("f-background")
        with disk(service.pid, "error=ENOSPC"):
            refused = service.post("f-background")
            assert (refused.status, refused.headers["retry-after"]) == (503, "5")
            assert service.job(job_id)["id"] == job_id
            time.sleep(LONGER_THAN_A_RENEWAL_S)
            assert service.is_running, service.log
        assert service.settled(service.submit("f-background"))["deliveries"]["delivered"] == 1
        assert service.settled(job_id, 60.0)["deliveries"]["delivered"] == 1
        assert sorted(hook.job_id for hook in receiver.hooks) == sorted(job["id"] for job in service.items("/v1/jobs"))


@NEEDS_STRACE
def test_a_202_on_a_slow_disk_is_on_the_disk(tmp_path: Path) -> None:
    with receiving() as receiver, serving(tmp_path, receiver) as service:
        with disk(service.pid, "delay_enter=50000"):  # microseconds
            answer = service.post("f-background")
            os.kill(service.pid, signal.SIGKILL)
        assert answer.status == 202
        assert service.wait() == -signal.SIGKILL
        service.start()
        assert service.settled(answer.json()["id"])["deliveries"]["delivered"] == 1


def test_a_database_that_another_program_locks_for_a_while_loses_none(tmp_path: Path) -> None:
    with receiving() as receiver, serving(tmp_path, receiver) as service:
        job_id = service.submit("f-background")
        with closing(sqlite3.connect(service.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(LONGER_THAN_THE_BUSY_TIMEOUT_S)
            other.execute("ROLLBACK")
        # Whoever ends because of it is started again.
        if not service.is_running:
            assert service.wait() == 70
            service.start()
        assert service.settled(job_id, 60.0)["deliveries"]["delivered"] == 1
