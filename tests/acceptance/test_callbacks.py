"""Callbacks from the command line to a real receiver, over the death of the service between the 202 and the end."""

from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from standardwebhooks import Webhook

from tests.support.command import sendoff
from tests.support.hooks import SECRET, Receiver, receiving
from tests.support.processes import eventually
from tests.support.serving import CALM, Service

pytestmark = pytest.mark.acceptance

FUNCTIONS = {
    "calm.py": CALM,
    "held-background.py": """
        import os, time
        def handler(event, context):
            while not os.path.exists("go"):
                time.sleep(0.01)
            return "went"
        """,
}
CONFIG = f"""
    functions:
      settings:
        held-background: {{concurrency: 2, retry: []}}
    destinations:
      back: {{type: callback, allow_hosts: [127.0.0.1], secrets: ["{SECRET}"], retry: [200ms, 1s]}}
    """
LINES = '{"body": 1}\n{"body": 2}\n'
TOKEN = "token=hunter2hunter2"


class World:
    """A service, and a receiver that callers name."""

    def __init__(self, service: Service, receiver: Receiver) -> None:
        self.service = service
        self.receiver = receiver

    def run(self, *arguments: str, said: str | None = None) -> "CompletedProcess[str]":
        ended = sendoff(self.service.folder, *arguments, said=said, SENDOFF_URL=f"http://127.0.0.1:{self.service.port}")
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended

    def go(self) -> None:
        """Let the functions end."""
        (self.service.folder / "functions" / "go").touch()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with receiving() as receiver, Service(tmp_path, FUNCTIONS, CONFIG) as service:
        yield World(service, receiver)


def test_a_callback_survives_the_service_between_the_202_and_the_end(world: World) -> None:
    path = f"/mine?{TOKEN}"
    ended = world.run("invoke", "held-background", "--callback", world.receiver.url(path))
    assert ended.returncode == 0, ended.stderr
    job_id = ended.stdout.strip()
    eventually(lambda: world.service.job(job_id)["state"] == "running", what="the job runs")
    assert f"callback  {world.receiver.url('/mine?***')}" in world.run("job", job_id).stdout
    world.service.kill()
    world.service.start()
    world.go()
    assert world.service.settled(job_id)["deliveries"]["delivered"] == 1
    (hook,) = world.receiver.at(path)
    assert hook.job_id == job_id
    Webhook(SECRET).verify(hook.body, hook.headers)
    for shown in (world.run("job", job_id), world.run("deliveries"), world.run("explain", job_id)):
        assert shown.returncode == 0, shown.stderr
        assert "/mine?***" in shown.stdout
        assert "hunter2" not in shown.stdout + shown.stderr
    assert world.service.stop() == 0
    assert "hunter2" not in world.service.log


def test_a_batch_calls_back_once_and_another_url_is_another_batch(world: World, tmp_path: Path) -> None:
    command = ("batch", "held-background", "-", "--callback")
    begun = world.run(*command, world.receiver.url("/batch"), "--no-wait", said=LINES)
    assert begun.returncode == 0, begun.stderr
    world.service.kill()
    world.service.start()
    other = world.run(*command, world.receiver.url("/other"), "--no-wait", said=LINES)
    assert other.returncode == 0, other.stderr
    assert other.stdout != begun.stdout
    world.go()
    again = world.run(*command, world.receiver.url("/batch"), "--settled", said=LINES)
    assert again.returncode == 0, again.stderr
    assert f"back {world.receiver.url('/batch')}" in again.stdout
    world.run("wait", other.stdout.strip(), "--settled")
    heard = {(hook.path, hook.headers["x-sendoff-batch-id"]) for hook in world.receiver.hooks}
    assert heard == {("/batch", begun.stdout.strip()), ("/other", other.stdout.strip())}
    assert len(world.receiver.hooks) == 2


def test_a_batch_that_is_named_by_its_key_has_one_callback(world: World) -> None:
    command = ("batch", "held-background", "-", "--no-wait", "--key", "mine", "--callback")
    assert world.run(*command, world.receiver.url("/batch"), said=LINES).returncode == 0
    other = world.run(*command, world.receiver.url("/other"), said=LINES)
    assert other.returncode == 1
    assert "another X-Callback-Url" in other.stderr
    world.go()


def test_what_cannot_be_is_said(world: World) -> None:
    refused = world.run("invoke", "held-background", "--callback", f"https://elsewhere.example/?{TOKEN}")
    assert refused.returncode == 1
    assert "elsewhere.example:443 is not among the hosts that callers may name here (allow_hosts)" in refused.stderr
    assert "hunter2" not in refused.stderr
    synchronous = world.run("invoke", "calm", "--callback", world.receiver.url("/mine"))
    assert synchronous.returncode == 1
    assert "--callback is for jobs, and calm is synchronous" in synchronous.stderr
    assert "--async makes a job of this call" in synchronous.stderr
    tested = world.run("destinations", "test", "back")
    assert tested.returncode == 1
    assert "has no address of its own" in tested.stderr
    encoded = world.run("invoke", "held-background", "--callback", "https://b\u00fccher.example/")
    assert encoded.returncode == 2
    assert "--callback: write the host in its ASCII form, xn--bcher-kva.example" in encoded.stderr
    assert world.service.items("/v1/jobs") == []
