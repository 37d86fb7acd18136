"""A lease that is taken away behind the service's back: the run is dropped, and its result is not written."""

import json
import signal
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.history import JOURNAL, Step, read_journal
from tests.support.hooks import SECRET, receiving
from tests.support.processes import eventually
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

# The first run of a job takes as many seconds as its event says, every other none.
FUNCTION = f"""{JOURNAL}
def handler(event, context):
    flag = os.path.join(os.environ["TMPDIR"], context.job_id)
    run = 2 if os.path.exists(flag) else 1
    open(flag, "w").close()
    journal(event, context, "start")
    if run == 1:
        time.sleep(json.loads(event["body"])["seconds"])
    return {{"run": run}}
"""


def start_of(service: Service, job_id: str) -> Step:
    return eventually(lambda: next((step for step in read_journal(service.folder) if step.job_id == job_id), None))


def take_over(service: Service, expires_in_s: Mapping[str, float]) -> None:
    """Give the leases of these jobs to another owner, while the service stands still."""
    service.send(signal.SIGSTOP)
    try:
        with closing(sqlite3.connect(service.database, timeout=1.0)) as other, other:
            for job_id, seconds in expires_in_s.items():
                changed = other.execute(
                    "UPDATE job SET lease_owner = 'another', lease_token = lease_token + 1, lease_expires_at = ?"
                    " WHERE id = ? AND state = 'running'",
                    (int((time.time() + seconds) * 1e6), job_id),
                )
                assert changed.rowcount == 1
    finally:
        service.send(signal.SIGCONT)


def test_a_run_whose_lease_was_taken_is_dropped_and_its_result_never_written(tmp_path: Path) -> None:
    with receiving() as receiver:
        config = f"""
            functions: {{settings: {{f-background: {{concurrency: 4, retry: [], on_success: [hook]}}}}}}
            destinations: {{hook: {{type: webhook, url: "{receiver.url("/hook")}", secrets: ["{SECRET}"]}}}}
            """
        with Service(tmp_path, {"f-background.py": FUNCTION}, config) as service:
            late = service.submit("f-background", {"ref": "late", "seconds": 2})
            hanging = service.submit("f-background", {"ref": "hanging", "seconds": 600})
            worker = processes.find(start_of(service, hanging).pid)
            start_of(service, late)
            assert worker is not None

            take_over(service, {late: 4.0, hanging: 0.0})

            eventually(lambda: f"run.stale job_id={late}" in service.log, what="the late result is refused")
            assert service.job(late)["state"] == "running"
            assert service.runs(late)[-1]["state"] == "running"
            eventually(lambda: f"run.dropped job_id={hanging}" in service.log, what="the other is dropped")
            eventually(lambda: not worker.is_alive, what="its process is killed")
            for job_id in (late, hanging):
                job = service.settled(job_id)
                assert (job["state"], job["attempt"], job["run"]) == ("succeeded", 1, 2)
                assert [run["state"] for run in service.runs(job_id)] == ["lost", "succeeded"]
                assert service.get(f"/v1/jobs/{job_id}/result").json() == {"run": 2}
            told = {hook.job_id: json.loads(hook.body)["data"]["result"] for hook in receiver.hooks}
            assert told == {late: {"run": 2}, hanging: {"run": 2}}
            assert len(receiver.hooks) == 2
