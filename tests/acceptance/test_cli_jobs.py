"""The commands that show jobs and what is owed, as processes against a real service."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen
from typing import Any

import pytest

from tests.support.command import SENDOFF, sendoff
from tests.support.hooks import SECRET, Hook, receiving
from tests.support.processes import eventually
from tests.support.serving import Service
from tests.support.terminal import Terminal

pytestmark = pytest.mark.acceptance

ATTACK = r"\x1b[31mred\x1b[0m \x1b]0;owned\x07\x9b2J"
FUNCTIONS = {
    "good-background.py": """
        import json, logging
        def handler(event, context):
            print("reading page 1")
            logging.getLogger().error("page 2 has no text")
            return {"words": 3}
        """,
    "bad-background.py": f"""
        def handler(event, context):
            print("before {ATTACK} after")
            raise ValueError("page 3 {ATTACK} is missing")
        """,
    "gated-background.py": """
        import os, time
        def handler(event, context):
            number = 0
            while not os.path.exists("go"):
                number += 1
                print("line", number)
                context.progress(number, 1000, "half way")
                time.sleep(0.05)
            return "went"
        """,
    "failing-background.py": "def handler(event, context):\n    return {'statusCode': 500, 'body': 'out of order'}\n",
    "bytes-background.py": """
        import base64
        def handler(event, context):
            return {"statusCode": 200, "body": base64.b64encode(bytes(range(256))).decode(), "isBase64Encoded": True}
        """,
}
CONFIG = """
    functions:
      settings:
        good-background: {{on_success: [good, bad]}}
        bad-background: {{retry: [1h]}}
        gated-background: {{retry: []}}
        failing-background: {{retry: []}}
    destinations:
      good: {{type: webhook, url: "{good}", secrets: ["{secret}"]}}
      bad: {{type: webhook, url: "{bad}", secrets: ["{secret}"], retry: [1h]}}
    """


class World:
    """A service, and what ran on it: a job that succeeded, with a delivery that is retried, and one to be retried."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.good = service.submit("good-background", {})
        self.bad = service.submit("bad-background", {})
        eventually(lambda: service.job(self.good)["deliveries"]["retrying"] == 1, what="a delivery is retried")
        eventually(lambda: service.job(self.good)["deliveries"]["delivered"] == 1, what="the other is delivered")
        eventually(lambda: service.job(self.bad)["state"] == "retrying", what="a job is retried")

    def run(self, *arguments: str) -> "CompletedProcess[str]":
        ended = sendoff(self.service.folder, *arguments, SENDOFF_URL=self.url)
        assert "\x1b" not in ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended

    def json(self, *arguments: str) -> Any:
        ended = self.run(*arguments, "--json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service.port}"


def answering(hook: Hook) -> int:
    return 503 if hook.path == "/bad" else 200


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with receiving(answering) as receiver:
        config = CONFIG.format(good=receiver.url("/good"), bad=receiver.url("/bad"), secret=SECRET)
        with Service(tmp_path_factory.mktemp("service"), FUNCTIONS, config) as service:
            yield World(service)


# Lists


def test_jobs_are_listed_newest_first(world: World) -> None:
    head, *rows = world.run("jobs", "--limit", "500").stdout.splitlines()
    assert head.split() == ["ID", "FUNCTION", "STATE", "ATTEMPT", "AGE", "TOOK", "DELIVERIES", "TAGS"]
    ids = [row.split()[0] for row in rows]
    assert ids == sorted(ids, reverse=True)
    (good,) = (row for row in rows if row.startswith(world.good))
    assert "  succeeded  " in good
    assert good.endswith("1 retrying, 1 delivered")


def test_filters_narrow_the_list_and_json_has_all_of_it(world: World) -> None:
    listed = world.json("jobs", "--function", "bad-background")
    assert [job["id"] for job in listed["items"]] == [world.bad]
    assert listed["items"][0] == world.service.job(world.bad)
    assert world.json("jobs", "--function", "good-background", "--state", "failed")["items"] == []
    assert world.run("jobs", "--function", "good-background", "--state", "failed").stderr == "No such jobs.\n"


@pytest.mark.parametrize("command", ["jobs", "batches", "usage", "deliveries", "replays"])
def test_a_name_that_is_none_is_told_with_those_that_there_are(world: World, command: str) -> None:
    functions = "bad-background, bytes-background, failing-background, gated-background, good-background"
    kind, name, said = "function", "god-background", f"Did you mean good-background? There are: {functions}."
    if command in ("deliveries", "replays"):
        kind, name, said = "destination", "god", "Did you mean good? There are: bad, good."
    ended = world.run(command, f"--{kind}", name)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"sendoff: there is no {kind} {name}\n  {said}\n"


def test_a_list_says_that_there_is_more(world: World) -> None:
    world.service.submit("failing-background", {})  # the third at least
    ended = world.run("jobs", "--limit", "1")
    assert len(ended.stdout.splitlines()) == 2
    assert ended.stderr == "There are more: this is the newest; --limit shows more of them.\n"
    assert "There are more: these are the newest 2; --limit" in world.run("jobs", "--limit", "2").stderr
    assert world.json("jobs", "--limit", "1")["next_cursor"]


def test_deliveries_are_listed_with_their_last_error(world: World) -> None:
    ended = world.run("deliveries", "--destination", "bad")
    assert ended.stdout.splitlines()[0].startswith("ID ")
    assert "retrying (http_error)  1/2" in ended.stdout
    assert "503" in ended.stdout
    assert {one["destination"] for one in world.json("deliveries", "--job", world.good)["items"]} == {"good", "bad"}
    assert world.run("deliveries", "--job", world.good, "--state", "dead").returncode == 2


def test_destinations_are_listed(world: World) -> None:
    rows = [line.split() for line in world.run("destinations").stdout.splitlines()]
    assert [row[:3] for row in rows] == [
        ["NAME", "KIND", "STATE"],
        ["bad", "webhook", "active"],
        ["good", "webhook", "active"],
    ]
    assert [item["name"] for item in world.json("destinations")["items"]] == ["bad", "good"]


# One job


def test_the_page_of_a_job_that_waits_for_its_next_attempt(world: World) -> None:
    text = world.run("job", world.bad).stdout
    assert text.startswith("bad-background  retrying (error)  attempt 1 of 2\n")
    assert re.search(r"Attempt 2 of 2, the last one, begins in (1 h|5\d m( \d+ s)?), at ", text)
    assert "failed (error)" in text
    assert "ValueError: page 3 red is missing" in text
    assert 'bad-background.py", line ' in text
    assert "before red  after" in text
    assert f"sendoff cancel {world.bad}" in text


def test_the_page_of_a_job_whose_delivery_is_retried(world: World) -> None:
    text = world.run("job", world.good).stdout
    assert text.startswith("good-background  succeeded  attempt 1 of 3\n")
    assert "The job is done; its result is kept.\n  Attempt 2 of 2 to bad is made in " in text
    assert "Deliveries (1 retrying, 1 delivered)" in text
    assert "attempt 1  http_error" in text
    assert "503" in text
    assert "ERROR  page 2 has no text" in text
    assert f"sendoff result {world.good}" in text


def test_the_page_as_json_has_all_that_it_shows(world: World) -> None:
    page = world.json("job", f"{world.url}/v1/jobs/{world.good}/deliveries", "--lines", "1")
    assert page["job"]["id"] == world.good
    assert [run["state"] for run in page["runs"]] == ["succeeded"]
    assert [line["text"] for line in page["log"]] == ["page 2 has no text"]
    assert {one["destination"]: len(one["attempts"]) for one in page["deliveries"]} == {"good": 1, "bad": 1}


def test_logs_are_printed_without_control_characters(world: World) -> None:
    assert world.run("logs", world.bad).stdout.endswith("  before red  after\n")
    (line,) = world.run("logs", world.bad, "--json").stdout.splitlines()
    assert json.loads(line)["text"] == "before \x1b[31mred\x1b[0m \x1b]0;owned\x07\x9b2J after"
    assert "\x9b" not in line
    lines = world.run("logs", world.good, "--last", "1").stdout.splitlines()
    assert [line[14:] for line in lines] == ["ERROR  page 2 has no text"]


def test_a_result_comes_byte_for_byte_and_not_on_a_terminal(world: World) -> None:
    job_id = world.service.submit("bytes-background", {})
    world.service.ended(job_id)
    assert world.run("result", job_id, "-o", "bytes").returncode == 0
    assert (world.service.folder / "bytes").read_bytes() == bytes(range(256))
    with Terminal(world.service.folder, "result", job_id, SENDOFF_URL=world.url) as terminal:
        assert terminal.ended() == 1
    assert "256 bytes of no text are nothing for a terminal" in terminal.drawn
    assert world.run("result", world.good).stdout == '{"words":3}'


def test_the_result_of_a_job_that_failed_is_printed_and_a_failure(world: World) -> None:
    job_id = world.service.submit("failing-background", {})
    world.service.ended(job_id)
    ended = world.run("result", job_id)
    assert (ended.returncode, ended.stdout) == (1, "out of order")


def test_a_result_that_is_not_there_says_what_to_do(world: World) -> None:
    ended = world.run("result", world.bad)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"sendoff: the job has not ended\n  `sendoff wait {world.bad}` waits for it.\n"


def test_an_unknown_job_says_what_to_do(world: World) -> None:
    unknown = "01a20f4d-f3aa-774a-9a49-aa16cc7e7be8"
    listed = "`sendoff jobs` and `sendoff batches` list what there is."
    for command, what in (("job", "job or batch"), ("wait", "job or batch"), ("logs", "job"), ("result", "job")):
        ended = world.run(command, unknown)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == f"sendoff: there is no {what} {unknown}\n  {listed}\n"


# Jobs that go on


@pytest.fixture
def gated(world: World) -> Iterator[str]:
    go = world.service.folder / "functions" / "go"
    go.unlink(missing_ok=True)
    job_id = world.service.submit("gated-background", {})
    eventually(lambda: world.service.job(job_id)["state"] == "running")
    yield job_id
    go.touch()
    world.service.ended(job_id)


def let_go(world: World) -> None:
    (world.service.folder / "functions" / "go").touch()


def test_waiting_ends_with_the_job_and_its_exit_code_is_the_outcome(world: World, gated: str) -> None:
    command = [SENDOFF, "wait", gated]
    with Popen(command, env={"SENDOFF_URL": world.url}, stdout=PIPE, stderr=PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        assert "gated-background  running  attempt 1 of 1" in waiting.stderr.readline()
        let_go(world)
        out, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0
    assert "gated-background  succeeded after " in out
    assert world.json("wait", gated)["state"] == "succeeded"


def test_waiting_gives_up_after_its_time(world: World) -> None:
    ended = world.run("wait", world.bad, "--timeout", "300ms")
    assert ended.returncode == 1
    assert "not ended within 300 ms" in ended.stderr
    assert f"sendoff job {world.bad}" in ended.stderr
    assert world.run("wait", world.good, "--settled", "--timeout", "300ms").returncode == 1


def test_followed_logs_go_on_until_the_job_ends(world: World, gated: str) -> None:
    command = [SENDOFF, "logs", "-f", gated]
    with Popen(command, env={"SENDOFF_URL": world.url}, stdout=PIPE, stderr=PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stdout.readline().endswith("  line 1\n")
        let_go(world)
        lines = following.stdout.read().splitlines()
        assert following.wait(30) == 0
    numbers = [int(line.rpartition(" ")[2]) for line in lines]
    assert numbers == list(range(2, 2 + len(numbers)))
    assert numbers[-1] == int(world.run("logs", gated, "--last", "1").stdout.rpartition(" ")[2])


def test_a_terminal_shows_the_job_as_it_goes_on(world: World, gated: str) -> None:
    with Terminal(world.service.folder, "wait", gated, SENDOFF_URL=world.url) as terminal:
        terminal.until(lambda drawn: "of 1000, half way" in drawn and "  line 2" in drawn)
        let_go(world)
        assert terminal.ended() == 0
    assert "\x1b[36mrunning" in terminal.drawn
    assert "succeeded\x1b[0m after" in terminal.drawn.splitlines()[-1]


def test_an_interrupted_command_ends_at_once_and_quietly(world: World, gated: str) -> None:
    with Terminal(world.service.folder, "wait", gated, SENDOFF_URL=world.url) as terminal:
        terminal.until(lambda drawn: "running" in drawn)
        terminal.interrupt()
        assert terminal.ended() == 130
    assert "Traceback" not in terminal.drawn
    assert world.service.job(gated)["state"] == "running"


def test_colours_are_for_terminals_and_for_those_who_want_them(world: World) -> None:
    for environ, has_colour in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        with Terminal(world.service.folder, "job", world.bad, SENDOFF_URL=world.url, **environ) as terminal:
            assert terminal.ended() == 0
        assert ("\x1b[33m" in terminal.drawn) is has_colour
        assert not [code for code in ("\x1b]", "\x1b[2J", "\x07", "\x9b") if code in terminal.drawn]


def test_on_a_terminal_that_is_too_narrow_for_a_table_nothing_of_it_is_left_out(world: World) -> None:
    def shown(columns: int) -> list[str]:
        with Terminal(world.service.folder, "jobs", columns=columns, SENDOFF_URL=world.url, NO_COLOR="1") as terminal:
            assert terminal.ended() == 0
        return re.sub(r"\x1b\[[0-9;]*m", "", terminal.drawn).splitlines()

    wide, narrow = shown(200), shown(60)
    assert wide[0].startswith("ID  ")
    (row,) = (line for line in wide if line.startswith(world.good))
    assert row.endswith("1 delivered")
    at = narrow.index(world.good)
    cells = " ".join(narrow[at + 1 : at + 4])
    assert "  function good-background  state succeeded  attempt 1/3" in cells
    assert "  deliveries 1 retrying, 1 delivered" in cells
    assert max(map(len, narrow)) <= 60


def test_waiting_and_following_survive_a_restart_of_the_service(tmp_path: Path) -> None:
    source = """
        import os, time
        def handler(event, context):
            print("begun")
            while not os.path.exists("go"):
                time.sleep(0.01)
        """
    with Service(tmp_path, {"slow-background.py": source}) as service:
        job_id = service.submit("slow-background", {})
        eventually(lambda: service.job(job_id)["state"] == "running")
        environ = {"SENDOFF_URL": f"http://127.0.0.1:{service.port}"}
        commands = [[SENDOFF, "wait", job_id], [SENDOFF, "logs", "-f", job_id]]
        asking = [Popen(command, env=environ, stdout=PIPE, stderr=PIPE, text=True) for command in commands]
        for each in asking:
            stream = each.stderr if each is asking[0] else each.stdout
            assert stream is not None
            assert stream.readline()
        service.kill()
        (tmp_path / "functions" / "go").touch()
        service.start()
        (waited, _), (followed, _) = (each.communicate(timeout=60) for each in asking)
    assert [each.returncode for each in asking] == [0, 0]
    assert "succeeded" in waited
    assert [line[14:] for line in followed.splitlines()][-1] == "begun"
