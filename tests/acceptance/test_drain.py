"""SIGTERM: what runs may finish, the rest is given back without a try spent, and nothing new is taken."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import processes
from tests.support.books import read_stored
from tests.support.history import JOURNAL, read_journal
from tests.support.hooks import SECRET, Hook, Receiver, receiving
from tests.support.processes import eventually
from tests.support.serving import CALM, Service

pytestmark = pytest.mark.acceptance

# The first run of a job takes as many seconds as its event says, every other none.
FUNCTION = f"""{JOURNAL}
def handler(event, context):
    flag = os.path.join(os.environ["TMPDIR"], context.job_id)
    is_first = not os.path.exists(flag)
    open(flag, "w").close()
    journal(event, context, "start")
    if is_first:
        time.sleep(json.loads(event["body"])["seconds"])
    return "done"
"""
SLOW = """
import time

def handler(event, context):
    time.sleep(1)
    return {"statusCode": 200, "body": "slow"}
"""
FUNCTIONS = {"brief-background.py": FUNCTION, "long-background.py": FUNCTION, "calm.py": CALM}


def config(receiver: Receiver, grace: str) -> str:
    return f"""
        service: {{drain_grace: {grace}}}
        functions:
          settings:
            brief-background: {{retry: [], on_success: [hook]}}
            long-background: {{retry: [], concurrency: 1}}
        destinations: {{hook: {{type: webhook, url: "{receiver.url("/hook")}", secrets: ["{SECRET}"]}}}}
        """


def submit(service: Service, function: str, seconds: float) -> str:
    """Submit a job and wait until its function has begun."""
    job_id = service.submit(function, {"ref": function, "seconds": seconds})
    eventually(lambda: any(step.job_id == job_id for step in read_journal(service.folder)), what="it runs")
    return job_id


def begin_drain(service: Service) -> None:
    service.send(signal.SIGTERM)
    eventually(lambda: "service.draining" in service.log, what="it drains")


def assert_refused(answer: Any) -> None:
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0


def test_a_drain_finishes_what_it_can_and_returns_the_rest_unspent(tmp_path: Path) -> None:
    with receiving() as receiver, Service(tmp_path, FUNCTIONS, config(receiver, "4s")) as service:
        long = submit(service, "long-background", 600)
        behind = service.submit("long-background", {"ref": "behind", "seconds": 0})
        brief = submit(service, "brief-background", 1)
        begin_drain(service)

        assert_refused(service.post("brief-background", {"ref": "new", "seconds": 0}))
        assert_refused(service.post("calm"))
        assert service.get("/readyz").status == 503
        assert service.get("/healthz").status == 200
        assert service.job(long)["state"] == "running"
        assert service.job(behind)["state"] == "queued"
        assert service.ended(brief)["state"] == "succeeded"
        assert service.get(f"/v1/jobs/{brief}/result").json() == "done"
        assert service.wait() == 0
        assert service.leftovers() == []
        assert len({step.job_id for step in read_journal(tmp_path)}) == 2

        service.start()
        for job_id, states in ((long, ["returned", "succeeded"]), (behind, ["succeeded"])):
            job = service.ended(job_id)
            assert (job["state"], job["attempt"], job["max_attempts"]) == ("succeeded", 1, 1)
            assert [run["state"] for run in service.runs(job_id)] == states
        assert service.settled(brief)["deliveries"]["delivered"] == 1
        assert [hook.job_id for hook in receiver.hooks] == [brief]


def test_a_drain_lets_a_synchronous_call_finish(tmp_path: Path) -> None:
    with Service(tmp_path, {"slow.py": SLOW}) as service, ThreadPoolExecutor() as caller:
        answer = caller.submit(service.get, "/functions/slow")
        eventually(lambda: processes.children(service.guard.pid), what="it runs")
        time.sleep(0.3)
        begin_drain(service)
        assert (answer.result().status, answer.result().body) == (200, b"slow")
        assert service.wait() == 0


def test_a_second_sigterm_does_not_wait_for_what_runs(tmp_path: Path) -> None:
    with receiving() as receiver, Service(tmp_path, FUNCTIONS, config(receiver, "10m")) as service:
        long = submit(service, "long-background", 600)
        begin_drain(service)
        service.send(signal.SIGTERM)
        assert service.wait() == 0
        assert service.leftovers() == []
        service.start()
        assert service.ended(long)["attempt"] == 1
        assert [run["state"] for run in service.runs(long)] == ["returned", "succeeded"]


def silent_at_first(receiver: Receiver) -> None:
    """Have the receiver leave its first webhook without an answer."""

    def answering(_: Hook) -> int | None:
        return 200 if receiver.hooks else None

    receiver.answering = answering


def assert_given_back(service: Service, receiver: Receiver, job_id: str) -> None:
    """Hold that the sending which was broken off is made again, as the same attempt under the same id."""
    assert read_stored(service.database).lost_sendings == {}
    service.start()
    assert service.settled(job_id)["deliveries"]["delivered"] == 1
    (delivery,) = service.deliveries(job_id)
    assert [attempt["number"] for attempt in delivery["attempts"]] == [1]
    assert [hook.headers["x-sendoff-attempt"] for hook in receiver.hooks] == ["1", "1"]
    assert len({hook.id for hook in receiver.hooks}) == 1


def test_a_drain_gives_back_the_deliveries_under_way(tmp_path: Path) -> None:
    with receiving() as receiver, Service(tmp_path, FUNCTIONS, config(receiver, "300ms")) as service:
        silent_at_first(receiver)
        job_id = submit(service, "brief-background", 0)
        eventually(lambda: receiver.hooks, what="the webhook came")
        assert service.stop() == 0
        assert_given_back(service, receiver, job_id)


def test_a_second_sigterm_does_not_wait_for_deliveries_under_way(tmp_path: Path) -> None:
    with receiving() as receiver, Service(tmp_path, FUNCTIONS, config(receiver, "10m")) as service:
        silent_at_first(receiver)
        job_id = submit(service, "brief-background", 0)
        eventually(lambda: receiver.hooks, what="the webhook came")
        guard = service.guard
        begin_drain(service)
        eventually(lambda: guard.pid not in processes.living(), what="the guard has ended, and is reaped")
        time.sleep(0.2)  # from here it waits for the delivery alone, which nothing outside shows
        service.send(signal.SIGTERM)
        assert service.wait() == 0
        assert_given_back(service, receiver, job_id)
