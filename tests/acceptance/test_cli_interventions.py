"""`sendoff cancel`, `retry` and `replay` as processes against a real service, and calls that carry wishes."""

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen
from typing import Any

import pytest

from tests.support.command import SENDOFF, sendoff
from tests.support.processes import eventually
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

FUNCTIONS = {
    "fails-background.py": """
        import os
        def handler(event, context):
            if not os.path.exists("mended"):
                raise ValueError("broken")
            return "mended"
        """,
    "sends-background.py": "def handler(event, context):\n    return 1\n",
    "long-background.py": "import time\ndef handler(event, context):\n    time.sleep(60)\n",
    "echo.py": "def handler(event, context):\n    return {'statusCode': 200, 'body': event['body'] or 'nothing'}\n",
}
CONFIG = """
functions:
  settings:
    fails-background: {retry: []}
    long-background: {concurrency: 1}
    sends-background: {on_success: [refused, slow]}
destinations:
  refused: {type: webhook, url: "http://127.0.0.1:9/", secrets: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], retry: []}
  slow: {type: webhook, url: "http://127.0.0.1:9/", secrets: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], retry: [1h]}
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service"), FUNCTIONS, CONFIG) as running:
        yield running


def run(service: Service, *arguments: str) -> "CompletedProcess[str]":
    return sendoff(service.folder, *arguments, SENDOFF_URL=f"http://127.0.0.1:{service.port}")


def as_json(service: Service, *arguments: str) -> Any:
    ended = run(service, *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_job_that_runs_and_one_that_waits_are_cancelled(service: Service) -> None:
    running, waiting = service.submit("long-background"), service.submit("long-background")
    eventually(lambda: service.job(running)["state"] == "running")
    assert as_json(service, "cancel", waiting)["state"] == "cancelled"
    ended = run(service, "cancel", running)
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"job {running}  long-background  ")
    assert service.ended(running)["state"] == "cancelled"
    assert run(service, "wait", running).returncode == 1
    again = run(service, "cancel", running)
    assert again.returncode == 1
    assert again.stderr.startswith("sendoff: the job is cancelled: only a job that has not ended can be cancelled")


def test_a_job_that_failed_runs_again_in_its_next_round(service: Service) -> None:
    job_id = service.submit("fails-background")
    service.ended(job_id)
    mended = service.folder / "functions" / "mended"
    mended.touch()
    try:
        ended = run(service, "retry", job_id)
        assert (ended.returncode, ended.stderr) == (0, f"Follow it: sendoff wait {job_id}\n")
        assert run(service, "wait", job_id).returncode == 0
    finally:
        mended.unlink()
    page = run(service, "job", job_id).stdout
    assert page.startswith("fails-background  succeeded  attempt 1 of 1  round 2\n")
    assert "round 1, attempt 1" in page
    assert run(service, "retry", job_id).returncode == 1


def test_a_replay_is_a_new_job_of_the_same_call(service: Service) -> None:
    job_id = service.submit("fails-background", {"n": 1})
    service.ended(job_id)
    ended = run(service, "replay", job_id)
    assert ended.returncode == 0
    assert service.ended(ended.stdout.strip())["replay_of"] == job_id
    assert as_json(service, "replay", job_id)["id"] != job_id
    assert f"replay of  {job_id}" in run(service, "job", ended.stdout.strip()).stdout


def test_deliveries_are_sent_again_and_cancelled(service: Service) -> None:
    job_id = service.submit("sends-background")
    service.ended(job_id)

    def of(destination: str, state: str) -> Any:
        found = service.request("GET", f"/v1/jobs/{job_id}/deliveries").json()["items"]
        return next((each for each in found if (each["destination"], each["state"]) == (destination, state)), None)

    dead = eventually(lambda: of("refused", "dead"))
    ended = run(service, "cancel", eventually(lambda: of("slow", "retrying"))["id"])
    assert (ended.returncode, ended.stdout.endswith("  slow  cancelled\n")) == (0, True), ended.stdout
    page = run(service, "job", job_id)
    assert f"`sendoff replay {dead['id']}` sends it again." in page.stdout.replace("\n", " ")
    again = run(service, "replay", dead["id"])
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"delivery {dead['id']}  refused  ")
    assert again.stderr == f"It is sent again; look at it: sendoff explain {dead['id']}\n"
    eventually(lambda: (of("refused", "dead") or {"attempt": 0})["attempt"] == 2)
    refused = run(service, "replay", eventually(lambda: of("slow", "cancelled"))["id"].replace("0", "1"))
    assert refused.returncode == 1
    assert refused.stderr.startswith("sendoff: there is no job or delivery ")


def test_wishes_of_a_call_are_those_of_its_job(service: Service) -> None:
    called = as_json(service, "invoke", "echo", "--async", "--delay", "1h", "--tag", "nightly", "--tag", "b")
    job = as_json(service, "job", called["id"])["job"]
    assert (job["state"], job["tags"]) == ("scheduled", ["nightly", "b"])
    page = run(service, "job", job["id"]).stdout
    assert "It starts in " in page
    assert "tags      nightly, b" in page
    listed = as_json(service, "jobs", "--tag", "nightly", "--since", "1h")["items"]
    assert [one["id"] for one in listed] == [job["id"]]
    assert as_json(service, "jobs", "--tag", "nightly", "--function", "long-background")["items"] == []
    assert run(service, "invoke", "echo", "--async", "--delay", "soon").returncode == 2
    assert run(service, "invoke", "echo", "--tag", "a\nb").returncode == 2


def test_a_key_makes_one_job_of_two_calls_and_of_one_that_nobody_answered(tmp_path: Path) -> None:
    with Service(tmp_path, FUNCTIONS) as service:
        first = run(service, "invoke", "fails-background", "--key", "k1", "--data", "x").stdout
        assert run(service, "invoke", "fails-background", "--key", "k1", "--data", "x").stdout == first
        other = run(service, "invoke", "fails-background", "--key", "k1", "--data", "y")
        assert (other.returncode, other.stdout) == (1, "")
        assert "this Idempotency-Key was used for another request" in other.stderr
        service.kill()
        assert run(service, "invoke", "fails-background").returncode == 1
        command = [SENDOFF, "invoke", "fails-background", "--key", "k1", "--data", "x"]
        environ = {"SENDOFF_URL": f"http://127.0.0.1:{service.port}"}
        with Popen(command, env=environ, stdout=PIPE, stderr=PIPE, text=True) as calling:
            assert calling.stderr is not None
            assert "no service answers" in calling.stderr.readline()
            service.start()
            out, _ = calling.communicate(timeout=30)
    assert out == first
