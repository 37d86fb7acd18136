"""kill -9 of the service at every point of one job's life: each end has one message, and one delivery a destination."""

import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.auditor import audit
from tests.support.books import Books, read_stored
from tests.support.history import JOURNAL, History, read_journal
from tests.support.hooks import SECRET, Hook, Receiver, receiving
from tests.support.load import post
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

POINTS = ("submitted", "accepted", "later", "started", "ended", "received", "answered")
ROUNDS = 5
FEWEST = 2
LONGEST_S = 45.0
# The function kills the service that runs it, once for each job, where the job's ref says so.
FUNCTION = f"""{JOURNAL}
import signal

def kill_service(event, point):
    ref = json.loads(event["body"])["ref"]
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    flag = os.path.join(folder, "tmp", ref)
    if ref.startswith(point) and not os.path.exists(flag):
        open(flag, "w").close()
        os.kill(int(open(os.path.join(folder, "pid")).read()), signal.SIGKILL)

def handler(event, context):
    journal(event, context, "start")
    kill_service(event, "started")
    journal(event, context, "end")
    kill_service(event, "ended")
    return {{"ref": json.loads(event["body"])["ref"]}}
"""
OWED = {("work-background", "job.succeeded"): frozenset({"hook", "copy"})}


class Killer:
    """Kills the service as its first webhook for a job comes in, before or after the answer."""

    def __init__(self) -> None:
        self.service: Service | None = None
        self.chance = random.Random(5)
        self.point = ""

    def __call__(self, hook: Hook) -> int:
        point, self.point = self.point, ""
        assert self.service is not None
        if point == "received":
            os.kill(self.service.pid, signal.SIGKILL)
        elif point == "answered":
            self.kill_in(0.01)
        elif point:
            self.point = point
        return 200

    def kill_in(self, most_s: float) -> None:
        """Kill the service within so many seconds."""
        assert self.service is not None
        threading.Timer(self.chance.uniform(0.0, most_s), os.kill, (self.service.pid, signal.SIGKILL)).start()


def config(receiver: Receiver) -> str:
    return f"""
        functions: {{settings: {{work-background: {{on_success: [hook, copy], retry: []}}}}}}
        destinations:
          hook: {{type: webhook, url: "{receiver.url("/hook")}", secrets: ["{SECRET}"], retry: [100ms, 100ms]}}
          copy: {{type: webhook, url: "{receiver.url("/copy")}", secrets: ["{SECRET}"], retry: [100ms, 100ms]}}
        """


@pytest.mark.timeout(240)
def test_each_end_is_told_exactly_once_wherever_the_service_is_killed(tmp_path: Path) -> None:
    history, killer = History(), Killer()
    with (
        receiving(killer) as receiver,
        Service(tmp_path, {"work-background.py": FUNCTION}, config(receiver)) as service,
    ):
        killer.service = service
        began = time.monotonic()
        for number in range(ROUNDS):
            if number < FEWEST or time.monotonic() - began < LONGEST_S:  # on a slow machine there are fewer
                for point in POINTS:
                    live_through(service, history, killer, point, number)
        books = Books.of(service)
        assert service.stop() == 0
        books.stored = read_stored(service.database)
        history.hooks, history.steps = receiver.hooks, list(read_journal(tmp_path))
    assert audit(history, books, OWED) == []
    assert len(history.accepted) >= FEWEST * len(POINTS)


def live_through(service: Service, history: History, killer: Killer, point: str, number: int) -> None:
    """Submit one job, have the service killed at `point`, start it again, and wait until the job is settled."""
    ref = f"{point}-{number}"
    killer.point = point
    if point == "submitted":
        killer.kill_in(0.02)
    job_id = post(service, history, "work-background", ref)
    if point == "accepted":
        os.kill(service.pid, signal.SIGKILL)
    elif point == "later":
        killer.kill_in(0.08)
    service.wait()
    service.start()
    while job_id is None:
        job_id = post(service, history, "work-background", ref)
    service.settled(job_id)
    assert json.loads(service.get(f"/v1/jobs/{job_id}/result").body) == {"ref": ref}
