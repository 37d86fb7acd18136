"""kill -9 of the service, again and again under load: nothing that got a 202 is lost, and nothing is told twice
without need.
"""

import random
import time
from pathlib import Path

import pytest

from tests.support.auditor import audit
from tests.support.books import Books, Footprint, read_stored
from tests.support.history import JOURNAL, History, read_journal
from tests.support.hooks import SECRET, Receiver, receiving
from tests.support.load import Load
from tests.support.processes import eventually
from tests.support.serving import FINAL, Service

pytestmark = pytest.mark.acceptance

KILLS = 50
LONGEST_S = 75.0
FEWEST = 15
WORK = f"""{JOURNAL}
def handler(event, context):
    journal(event, context, "start")
    time.sleep(0.005 + hash(context.job_id) % 16 / 1000)
    journal(event, context, "end")
    return {{"ref": json.loads(event["body"])["ref"]}}
"""
SLOW = f"""{JOURNAL}
def handler(event, context):
    journal(event, context, "start")
    time.sleep(0.3)
    journal(event, context, "end")
    return {{"ref": json.loads(event["body"])["ref"]}}
"""
OWED = {
    ("work-background", "job.succeeded"): frozenset({"hook", "copy"}),
    ("slow-background", "job.succeeded"): frozenset({"hook"}),
    ("slow-background", "job.failed"): frozenset({"hook"}),
}


def config(receiver: Receiver) -> str:
    return f"""
        functions:
          settings:
            work-background: {{on_success: [hook, copy], concurrency: 2, retry: []}}
            slow-background: {{on_success: [hook], on_failure: [hook], concurrency: 2, retry: []}}
        destinations:
          hook: {{type: webhook, url: "{receiver.url("/hook")}", secrets: ["{SECRET}"], retry: [200ms, 200ms, 1s]}}
          copy: {{type: webhook, url: "{receiver.url("/copy")}", secrets: ["{SECRET}"], retry: [200ms, 200ms, 1s]}}
        """


def function_of(number: int) -> str:
    return "slow-background" if number % 25 == 7 else "work-background"


@pytest.mark.timeout(300)
def test_what_got_a_202_survives_kill_after_kill_of_the_service(tmp_path: Path) -> None:
    history = History()
    functions = {"work-background.py": WORK, "slow-background.py": SLOW}
    with receiving(after_s=0.02) as receiver, Service(tmp_path, functions, config(receiver)) as service:
        before = Footprint.of(service)
        with Load(service, history, function=function_of, callers=3, pause_s=0.1) as load:
            starts = kill_again_and_again(service)
            load.stop()
            settle(service)
        books = Books.of(service)
        books.before, books.after = before, eventually(lambda: before.regained_by(service))
        assert service.stop() == 0
        books.stored = read_stored(service.database)
        history.hooks, history.steps = receiver.hooks, list(read_journal(tmp_path))
    lost = sum(run["state"] == "lost" for runs in books.runs.values() for run in runs)
    doubles = len(history.hooks) - len({(hook.path, hook.id) for hook in history.hooks})
    print(f"\n{len(history.accepted)} jobs, {lost} runs lost, {doubles} webhooks twice; start-up {starts}")
    assert audit(history, books, OWED) == []
    assert lost, "no kill ever hit a run: the test proves nothing"


def kill_again_and_again(service: Service) -> str:
    """Kill the running service at random, mostly under load, sometimes while it starts; return how long starts took.

    On a slow machine there are fewer kills, so that they come to an end.
    """
    chance = random.Random(20)
    took: list[float] = []
    hits = kills = 0
    began = time.monotonic()
    while kills < KILLS and (kills < FEWEST or time.monotonic() - began < LONGEST_S):
        kills += 1
        if took and hits < 2 and chance.random() < 0.3:
            time.sleep(chance.uniform(0.4, 1.0) * took[-1])
            hits += 1
        else:
            took.append(_until_ready(service))
            hits = most_hits(service)
            time.sleep(chance.uniform(0.05, 0.5) if hits < 3 else 0.8)
        service.kill()
        service.launch()
    service.ready()
    took.sort()
    return f"{took[len(took) // 2]:.2f} s (median), {took[-1]:.2f} s (longest), {kills} kills"


def most_hits(service: Service) -> int:
    """Return how many runs any one open job has lost so far: after the fifth it would wait for ten seconds, then for a
    minute, so that the kills wait for one that has lost three.
    """
    jobs = service.items("/v1/jobs?function=slow-background")
    return max((job["run"] - job["attempt"] for job in jobs if job["state"] not in FINAL), default=0)


def _until_ready(service: Service) -> float:
    began = time.monotonic()
    service.ready()
    return time.monotonic() - began


def settle(service: Service) -> None:
    """Wait until every job is final and every delivery closed. One lost six times would wait a minute."""

    def is_settled() -> bool:
        is_open = any(job["state"] not in FINAL for job in service.items("/v1/jobs"))
        return not is_open and not open_deliveries(service)

    eventually(is_settled, seconds=100, what="all is settled")


def open_deliveries(service: Service) -> bool:
    return any(service.items(f"/v1/deliveries?state={state}") for state in ("pending", "sending", "retrying"))
