"""A disk that fails under load: the service ends with 70 and one line, and a restart has all that got a 202."""

import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import failing_disk
from tests.support.auditor import audit
from tests.support.books import Books, read_stored
from tests.support.history import JOURNAL, History, read_journal
from tests.support.hooks import SECRET, receiving
from tests.support.load import Load
from tests.support.processes import eventually
from tests.support.serving import FINAL, Service

pytestmark = pytest.mark.acceptance

WORK = f"""{JOURNAL}
def handler(event, context):
    journal(event, context, "start")
    time.sleep(0.02)
    journal(event, context, "end")
    return {{"ref": json.loads(event["body"])["ref"]}}
"""
OWED = {("work-background", "job.succeeded"): frozenset({"hook"})}
FEWEST = 40


@pytest.mark.parametrize("calls", ["fsync,fdatasync", "pwrite64"])
def test_a_disk_that_fails_ends_the_service_with_70_and_a_restart_has_all_that_got_a_202(
    tmp_path: Path, calls: str
) -> None:
    if not failing_disk.is_known() and not os.environ.get("CI"):
        pytest.skip(f"the numbers of system calls on {platform.machine()} are not known")
    history, pipe = History(), tmp_path / "pipe"
    os.mkfifo(pipe)
    with receiving() as receiver:
        config = f"""
            functions: {{settings: {{work-background: {{on_success: [hook], retry: []}}}}}}
            destinations: {{hook: {{type: webhook, url: "{receiver.url("/hook")}", secrets: ["{SECRET}"]}}}}
            """
        service = Service(tmp_path, {"work-background.py": WORK}, config)
        service.launch(through=(sys.executable, failing_disk.__file__, str(pipe), calls))
        try:
            service.ready()
            size = len(service.log)
            with Load(service, history, function=lambda _: "work-background", callers=6, pause_s=0.0) as load:
                eventually(lambda: len(history.accepted) >= FEWEST, what="many were accepted")
                pipe.write_text("fail")
                assert service.wait() == 70
                assert service.leftovers() == []
                (said,) = [line for line in service.log[size:].splitlines() if line.startswith("sendoff: ")]
                assert said == f"sendoff: {service.database}: disk I/O error"
                assert "Traceback" not in service.log
                # A 503 says that nothing was stored; a 500 only that it is not known, as no answer does.
                assert {post.status for post in history.posts} <= {202, 500, 503, None}
                before = len(history.accepted)
                service.start()
                eventually(lambda: len(history.accepted) > before, what="it takes work again")
                load.stop()
                eventually(lambda: is_settled(service), seconds=60, what="all is settled")
            books = Books.of(service)
            assert service.stop() == 0
            books.stored = read_stored(service.database)
        finally:
            service.__exit__()
        history.posts = [replace(post, status=None) if post.status == 500 else post for post in history.posts]
        history.hooks, history.steps = receiver.hooks, list(read_journal(tmp_path))
    assert audit(history, books, OWED) == []


def is_settled(service: Service) -> bool:
    is_open = any(job["state"] not in FINAL for job in service.items("/v1/jobs"))
    return not is_open and not any(
        service.items(f"/v1/deliveries?state={state}") for state in ("pending", "sending", "retrying")
    )
