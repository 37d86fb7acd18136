"""`sendoff destinations test` as a process: from a real service to a real `sendoff listen`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.command import sendoff
from tests.support.hooks import SECRET, receiving
from tests.support.listening import Listener
from tests.support.processes import eventually
from tests.support.serving import CALM, Service
from tests.support.terminal import Terminal

pytestmark = pytest.mark.acceptance

CONFIG = """
    destinations:
      hook: {{type: webhook, url: "{url}", secrets: ["{secret}"]}}
      picky: {{type: webhook, url: "{url}", secrets: ["{secret}"], body: {{template: "[{{{{ result.n }}}}]"}}}}
      stranger: {{type: webhook, url: "{url}"}}
      nobody: {{type: webhook, url: "http://127.0.0.1:9/", retry: [1h]}}
      ops: {{type: email, smtp: "smtp://127.0.0.1:{smtp}", from: s@example.com, to: [a@example.com, b@example.com]}}
      next: {{type: function, function: calm}}
    """


class World:
    """A service, and the receiver that its destinations lead to."""

    def __init__(self, service: Service, listener: Listener) -> None:
        self.service = service
        self.listener = listener

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service.port}"

    def run(self, *arguments: str) -> "CompletedProcess[str]":
        ended = sendoff(self.service.folder, "destinations", *arguments, SENDOFF_URL=self.url)
        assert "\x1b" not in ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Listener(tmp_path, "--json", "--smtp", "0", SENDOFF_WEBHOOK_SECRET=SECRET) as listener:
        config = CONFIG.format(url=listener.url(), smtp=listener.port("smtp"), secret=SECRET)
        with Service(tmp_path / "service", {"calm.py": CALM, "quiet-background.py": CALM}, config) as service:
            yield World(service, listener)


def test_a_webhook_gets_one_signed_message_and_its_answer_is_told(world: World) -> None:
    ended = world.run("test", "hook")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("hook  delivered  200  ")
    (hook,) = world.listener.came()
    assert (hook["method"], hook["type"], hook["signature"], hook["attempt"]) == ("POST", "webhook.test", "good", 1)
    assert hook["body"]["data"]["result"] == {"test": True}
    assert world.service.items("/v1/jobs") == []
    assert world.service.items("/v1/deliveries") == []


def test_a_test_tells_of_the_result_or_the_job_that_is_named(world: World) -> None:
    (world.service.folder / "result.json").write_text('{"n": 2}')
    ended = world.run("test", "picky")
    assert ended.returncode == 1
    assert "the result of a test is" in ended.stdout
    assert "--data" in ended.stdout
    assert world.run("test", "picky", "--data", '{"n": 1}').returncode == 0
    assert world.run("test", "picky", "--data", "@result.json").returncode == 0
    job = world.service.submit("quiet-background")
    world.service.settled(job)
    assert world.run("test", "hook", "--job", job).returncode == 0
    *titled, of_job = world.listener.came(3)
    assert [each["body"] for each in titled] == [[1], [2]]
    assert (of_job["type"], of_job["body"]["data"]["job"]["id"]) == ("webhook.test", job)
    for arguments, said in (
        (("--data", "{title"), "expected JSON, or @FILE with it: "),
        (("--data", "@nothing.json"), "nothing.json cannot be read: No such file"),
        (("--data", "1", "--job", job), "not allowed with argument"),
    ):
        ended = world.run("test", "hook", *arguments)
        assert ended.returncode == 2
        assert said in ended.stderr
    ended = world.run("test", "hook", "--job", "nothing")
    assert (ended.returncode, ended.stderr.splitlines()[0]) == (1, "sendoff: there is no job nothing")


def test_what_is_not_delivered_is_told_why_and_is_not_tried_again(world: World) -> None:
    ended = world.run("test", "stranger")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith("stranger  not delivered (http_error)  401  ")
    ended = world.run("test", "nobody")
    assert ended.returncode == 1
    assert ended.stdout.startswith("nobody  not delivered (connection_refused)  ")
    assert len(world.listener.came()) == 1
    assert world.service.items("/v1/deliveries") == []


def test_every_recipient_of_mails_gets_one(world: World) -> None:
    ended = world.run("test", "ops")
    assert ended.returncode == 0
    assert [line.split("  ")[:2] for line in ended.stdout.splitlines()] == [
        ["ops a@example.com", "delivered"], ["ops b@example.com", "delivered"],
    ]  # fmt: skip
    mails = world.listener.came(2)
    assert sorted(mail["to"][0] for mail in mails) == ["a@example.com", "b@example.com"]
    assert {mail["subject"] for mail in mails} == {"webhook-test succeeded"}


def test_json_is_what_the_service_answered_wherever_the_option_stands(world: World) -> None:
    for arguments in (
        ("test", "hook", "--json"),
        ("--json", "test", "hook"),
        ("--url", world.url, "--json", "test", "hook"),
    ):
        tested = json.loads(world.run(*arguments).stdout)
        assert (tested["destination"], tested["kind"], tested["delivered"]) == ("hook", "webhook", True)
        (tried,) = tested["tries"]
        assert (tried["status"], tried["class"], tried["remote_address"]) == (200, None, "127.0.0.1")
    assert world.run("--url", "http://127.0.0.1:9", "test", "hook").returncode == 1


def test_what_cannot_be_tested_is_said_with_what_helps(world: World) -> None:
    ended = world.run("test", "missing")
    assert (ended.returncode, ended.stdout) == (1, "")
    known = "hook, next, nobody, ops, picky, stranger"
    assert ended.stderr == f"sendoff: there is no destination missing\n  There are: {known}.\n"
    ended = world.run("test", "next")
    assert ended.returncode == 1
    assert "makes jobs, and sends nothing: call its function" in ended.stderr
    assert world.run("test", "a/b").returncode == 2
    assert world.run("test").returncode == 2
    assert world.run().returncode == 0


def test_a_terminal_has_colours(world: World) -> None:
    arguments = ("destinations", "test", "hook")
    with Terminal(world.service.folder, *arguments, SENDOFF_URL=world.url) as terminal:
        assert terminal.ended() == 0
    assert "\x1b[32mdelivered" in terminal.drawn


def test_a_destination_is_paused_and_resumed(world: World) -> None:
    paused = world.run("pause", "nobody")
    assert (paused.returncode, paused.stdout) == (0, "destination nobody  paused  0 deliveries waiting\n"), (
        paused.stderr
    )
    again = world.run("pause", "nobody")
    assert again.returncode == 0, again.stderr
    already = r"destination nobody  paused  already, since \d\d:\d\d:\d\d  0 deliveries waiting\n"
    assert re.fullmatch(already, again.stdout), again.stdout
    assert "paused" in world.run().stdout
    empty = world.run("resume", "nobody")
    assert (empty.returncode, empty.stdout) == (0, "destination nobody  active  0 deliveries go on now\n")
    assert world.run("pause", "nobody").returncode == 0
    resumed = world.run("resume", "nobody", "--json")
    assert (resumed.returncode, json.loads(resumed.stdout)["state"]) == (0, "active")
    unknown = world.run("resume", "nobodi")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("sendoff: there is no destination nobodi\n  Did you mean nobody? There are: ")


RESUMING = """
    functions: {{settings: {{calm-background: {{on_success: [hook]}}}}}}
    destinations: {{hook: {{type: webhook, url: "{url}"}}}}
    """


def test_resuming_counts_what_was_held_also_what_is_taken_up_at_once(tmp_path: Path) -> None:
    with receiving() as receiver:
        config = RESUMING.format(url=receiver.url("/hook"))
        with Service(tmp_path / "service", {"calm-background.py": CALM}, config) as service:

            def said(verb: str) -> str:
                url = f"http://127.0.0.1:{service.port}"
                ended = sendoff(service.folder, "destinations", verb, "hook", SENDOFF_URL=url)
                assert (ended.returncode, ended.stderr) == (0, "")
                return ended.stdout

            said("pause")
            for job_id in [service.submit("calm-background") for _ in range(3)]:
                eventually(lambda each=job_id: service.job(each)["deliveries"]["held"], what="it is held")
            assert said("resume") == "destination hook  active  3 deliveries go on now\n"


def test_resuming_tells_what_waits_for_its_next_attempt_and_a_replay_of_what_is_held_sends_it_at_once(
    tmp_path: Path,
) -> None:
    statuses = [500]
    with receiving(lambda _: statuses[-1]) as receiver:
        config = RESUMING.format(url=receiver.url("/hook")).replace('"}', '", retry: [1h]}')
        with Service(tmp_path / "service", {"calm-background.py": CALM}, config) as service:

            def said(verb: str, *options: str, code: int = 0) -> str:
                url = f"http://127.0.0.1:{service.port}"
                ended = sendoff(service.folder, "destinations", verb, "hook", *options, SENDOFF_URL=url)
                assert ended.returncode == code, ended.stderr
                return ended.stdout

            def counted(job_id: str, state: str) -> None:
                eventually(lambda: service.job(job_id)["deliveries"][state], what=f"it is {state}")

            failed = [service.submit("calm-background") for _ in range(2)]
            for job_id in failed:
                counted(job_id, "retrying")
            statuses.append(200)
            said("pause")
            fresh = service.submit("calm-background")
            counted(fresh, "held")
            assert said("resume") == "destination hook  active  1 delivery goes on now, 2 at their next attempt\n"
            counted(fresh, "delivered")
            assert [service.job(each)["deliveries"]["retrying"] for each in failed] == [1, 1]

            said("pause")
            said("replay", "--since", "1h", "--state", "held", "--follow", code=1)  # held, and so not sent
            assert said("resume") == "destination hook  active  2 deliveries go on now\n"
            for job_id in failed:
                counted(job_id, "delivered")
