"""`sendoff explain` as a process: a delivery, a job, a destination."""

import json
import re
from pathlib import Path

import pytest

from tests.support.command import sendoff
from tests.support.listening import Listener
from tests.support.processes import eventually
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

CONFIG = """
functions: {settings: {quick-background: {on_success: [nobody, gone]}}}
destinations:
  nobody:
    type: webhook
    url: "http://127.0.0.1:9/"
    secrets: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    retry: [1h]
    rate: 30/m
    concurrency: 3
  gone: {type: webhook, url: "http://127.0.0.1:9/", secrets: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], retry: []}
"""
FUNCTIONS = {"quick-background.py": "def handler(event, context):\n    return 1\n"}


def test_a_delivery_a_job_and_a_destination_are_explained(tmp_path: Path) -> None:
    with Service(tmp_path / "service", FUNCTIONS, CONFIG) as service:
        url = f"http://127.0.0.1:{service.port}"

        def said(*arguments: str, code: int = 0) -> str:
            ended = sendoff(service.folder, "explain", *arguments, SENDOFF_URL=url)
            assert ended.returncode == code, ended.stderr
            return ended.stdout + ended.stderr

        job_id = service.submit("quick-background")
        eventually(lambda: {each["state"] for each in service.deliveries(job_id)} == {"retrying", "dead"})
        waiting, dead = sorted(service.deliveries(job_id), key=lambda each: each["state"] == "dead")
        told = said(waiting["id"])
        assert (
            f"Attempt 2 of 2 is made at {waiting['next_attempt_at']}: the policy waits 3600 s, and up to a fifth "
            in told
        )
        assert " s, and up to a fifth is added by chance." in told
        assert f"`sendoff replay {dead['id']}` sends it again." in said(dead["id"])
        of_job = said(job_id)
        assert "The job is done" in of_job
        assert waiting["explain"] in of_job
        assert dead["explain"] in of_job
        active = said("nobody")
        assert "It takes deliveries: 0 are being sent, 0 are due." in active
        assert "At most 3 are sent to it at a time, and 30/m." in active
        assert "At most 10 are sent to it at a time.\n" in said("gone")
        assert "1 delivery waits for its next attempt." in active
        last = rf"Its last error, \d+ s ago, was connection_refused: .+ \(delivery {waiting['id']}\)\.\n"
        assert re.search(last, active), active
        assert "dead" not in active
        given_up = said("gone")
        assert "1 delivery is dead: `sendoff deliveries --destination gone --state dead` lists them" in given_up
        assert f"(delivery {dead['id']})" in given_up
        assert json.loads(said(waiting["id"], "--json"))["explain"] == waiting["explain"]
        sendoff(service.folder, "destinations", "pause", "nobody", SENDOFF_URL=url)
        paused = said("nobody")
        assert re.search(r"It is paused since \d\d:\d\d:\d\d, for \d+ s: an operator paused it\.\n", paused), paused
        assert "1 delivery is held: `sendoff destinations resume nobody` has it sent." in paused
        listed = sendoff(service.folder, "destinations", SENDOFF_URL=url).stdout.splitlines()
        (row,) = (line for line in listed if line.startswith("nobody "))
        assert re.search(r"  since \d+ s: an operator paused it$", row), row
        assert "It is held: nobody is paused by an operator since" in said(waiting["id"])
        held = sendoff(service.folder, "deliveries", "--state", "held", "--json", SENDOFF_URL=url)
        assert [each["id"] for each in json.loads(held.stdout)["items"]] == [waiting["id"]], held.stderr
        told = said("stranger", code=1)
        assert told.startswith("sendoff: there is no job, batch, delivery, destination or replay stranger\n")


def test_a_batch_and_a_replay_are_explained(tmp_path: Path) -> None:
    with Service(tmp_path / "service", FUNCTIONS, CONFIG.replace("on_success", "on_batch")) as service:
        url = f"http://127.0.0.1:{service.port}"

        def said(*arguments: str, code: int = 0) -> str:
            ended = sendoff(service.folder, *arguments, SENDOFF_URL=url, said="{}\n{}\n")
            assert ended.returncode == code, ended.stderr
            return ended.stdout

        batch = json.loads(said("batch", "quick-background", "-", "--json"))
        owed = eventually(lambda: service.items(f"/v1/batches/{batch['id']}/deliveries"))
        eventually(lambda: {each["state"] for each in service.items("/v1/deliveries")} == {"retrying", "dead"})
        told = said("explain", batch["id"])
        assert told.startswith(f"batch {batch['id']}  quick-background  completed\n")
        assert "All of its 2 jobs succeeded." in told
        for delivery in owed:
            assert service.get(f"/v1/deliveries/{delivery['id']}").json()["explain"] in told
        as_json = json.loads(said("explain", batch["id"], "--json"))
        assert (as_json["batch"]["id"], len(as_json["deliveries"])) == (batch["id"], 2)
        replay = json.loads(said("destinations", "replay", "gone", "--since", "1h", "--follow", "--json", code=1))
        told = said("explain", replay["id"])
        assert told.startswith(f"replay {replay['id']}  gone  completed\n")
        assert "1 of 1 delivery has been opened again." in told


def test_what_a_destination_that_has_gone_was_owed_can_be_given_up(tmp_path: Path) -> None:
    with Service(tmp_path / "service", FUNCTIONS, CONFIG) as service:
        url = f"http://127.0.0.1:{service.port}"

        def said(*arguments: str, code: int = 0) -> str:
            ended = sendoff(service.folder, *arguments, SENDOFF_URL=url)
            assert ended.returncode == code, ended.stderr
            return ended.stdout

        job_id = service.submit("quick-background")
        eventually(lambda: {each["state"] for each in service.deliveries(job_id)} == {"retrying", "dead"})
        service.kill()
        before, _, after = CONFIG.partition("  nobody:")
        config = before.replace("[nobody, gone]", "[gone]") + "  gone:" + after.partition("  gone:")[2]
        (service.folder / "sendoff.yaml").write_text(config)
        service.start()
        (held,) = (each for each in service.deliveries(job_id) if each["state"] == "held")
        told = said("explain", "nobody")
        assert "It is not in the configuration any more: 1 delivery is held until it is back.\n" in told
        assert "`sendoff cancel ID` gives a delivery up; `sendoff deliveries --destination nobody --state held`" in told
        assert f"It goes on when nobody is back; `sendoff cancel {held['id']}` gives it up." in said("explain", job_id)
        assert held["id"] in said("deliveries", "--destination", "nobody", "--state", "held")
        said("cancel", held["id"])
        assert "cancelled" in said("deliveries", "--destination", "nobody")


LOST = """
functions: {settings: {quick-background: {on_success: [ops]}}}
destinations:
  ops: {type: email, smtp: "smtp://127.0.0.1:9", from: sendoff@example.com, to: [%s], retry: []}
"""


def test_the_command_that_sends_all_that_is_dead_again_finds_all_of_it(tmp_path: Path) -> None:
    with Service(
        tmp_path / "service", FUNCTIONS, LOST % ", ".join(f"r{number}@example.com" for number in range(7))
    ) as service:
        url = f"http://127.0.0.1:{service.port}"
        job_id = service.submit("quick-background")
        assert service.settled(job_id)["deliveries"]["dead"] == 7
        told = sendoff(service.folder, "job", job_id, SENDOFF_URL=url).stdout
        assert "  7 deliveries are dead: nothing more is sent by itself.\n" in told
        (command,) = re.findall("`sendoff (destinations replay [^`]+)`", told)
        counted = sendoff(service.folder, *command.split(), "--dry-run", SENDOFF_URL=url)
        assert counted.stdout == "ops  7 deliveries to send: 7 dead\n", counted.stderr


MANY = """
functions: {settings: {quick-background: {on_success: [oldest, crowd], on_batch: [oldest, crowd]}}}
destinations:
  oldest: {type: webhook, url: "http://127.0.0.1:9/", secrets: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], retry: []}
  crowd: {type: email, smtp: "smtp://127.0.0.1:%d", from: sendoff@example.com, to: [%s], concurrency: 25}
"""


def test_of_many_deliveries_those_that_need_somebody_are_shown_and_the_others_are_counted(tmp_path: Path) -> None:
    with Listener(tmp_path, "--smtp", "0") as listener:
        config = MANY % (listener.port("smtp"), ", ".join(f"r{number}@example.com" for number in range(25)))
        with Service(tmp_path / "service", FUNCTIONS, config) as service:

            def said(*arguments: str) -> str:
                url = f"http://127.0.0.1:{service.port}"
                ended = sendoff(service.folder, *arguments, SENDOFF_URL=url, said="{}\n")
                assert ended.returncode == 0, ended.stderr
                return ended.stdout

            job_id = service.submit("quick-background")
            assert service.settled(job_id)["deliveries"]["delivered"] == 25
            batch = json.loads(said("batch", "quick-background", "-", "--settled", "--json"))["id"]
            (dead,) = (each for each in service.deliveries(job_id) if each["state"] == "dead")
            listed = f"`sendoff deliveries --job {job_id} --limit 26` lists them"
            for told in (said("explain", job_id), said("job", job_id)):
                assert told.count(" delivered") - told.count("all delivered") >= 19
                assert f"\n  ... and 6 more, all delivered; {listed}\n" in told
            assert dead["explain"] in said("explain", job_id)
            assert "oldest" in said("job", job_id)
            assert len(json.loads(said("deliveries", "--job", job_id, "--limit", "26", "--json"))["items"]) == 26
            for told in (said("explain", batch), said("job", batch)):
                assert "oldest" in told
                assert f"  ... and 6 more, all delivered; `sendoff explain {batch} --json` lists them\n" in told
            for command in ("explain", "job"):
                for each in (job_id, batch):
                    assert len(json.loads(said(command, each, "--json"))["deliveries"]) == 26
