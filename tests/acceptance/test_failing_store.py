"""A disk that fails or is full while the service runs: new work is refused, and nothing that got a 202 is lost."""

import resource
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.hooks import SECRET, Receiver, receiving
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

FUNCTION = "import time\n\ndef handler(event, context):\n    time.sleep(0.5)\n    return 'done'\n"
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
