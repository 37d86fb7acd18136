"""Ten thousand deliveries to a destination that was added later, replayed by the command line and killed in between."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import sendoff
from tests.support.hooks import SECRET, Receiver, receiving
from tests.support.processes import eventually
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

MANY = 10_000
FUNCTIONS = {"quick-background.py": "def handler(event, context):\n    return 1\n"}
BEFORE = "functions: {settings: {quick-background: {}}}\n"
AFTER = """
functions: {{settings: {{quick-background: {{on_success: [hook]}}}}}}
destinations:
  hook: {{type: webhook, url: "{url}", secrets: ["{secret}"], concurrency: 50}}
"""
CONFIG = """
functions: {{settings: {{quick-background: {{on_success: [hook]}}}}}}
destinations:
  hook: {{type: webhook, url: "{url}", secrets: ["{secret}"], retry: []}}
"""


def run(service: Service, *arguments: str, code: int = 0) -> Any:
    """Run a command; return the JSON that it prints."""
    ended = sendoff(service.folder, *arguments, "--json", SENDOFF_URL=f"http://127.0.0.1:{service.port}")
    assert ended.returncode == code, ended.stderr
    return json.loads(ended.stdout)


def done(service: Service, replay_id: str) -> int:
    return int(service.get(f"/v1/replays/{replay_id}").json()["done"])


def replayed_with_a_kill(service: Service, *wish: str) -> None:
    """Replay ten thousand, kill the service on the way, and return when all are sent."""
    replay = run(service, *wish, "--rate", "2000/s")
    eventually(lambda: done(service, replay["id"]) > MANY // 4, seconds=60)
    service.kill()
    service.start()
    assert done(service, replay["id"]) < MANY
    ended = run(service, "replays", replay["id"], "--follow")
    assert (ended["state"], ended["total"], ended["done"], ended["skipped"]) == ("completed", MANY, MANY, 0)
    eventually(lambda: not service.get("/v1/destinations/hook").json()["due"], seconds=60)
    eventually(lambda: not service.get("/v1/destinations/hook").json()["in_flight"], seconds=60)


def unexplained(service: Service, receiver: Receiver, made: list[dict[str, Any]], times: int) -> tuple[Any, Any]:
    """Return which messages came less than so many times, and which more often without a reason, by their ids.

    What was on its way when the service died comes once more, under one id, and the service says so: at least once.
    """
    seen = Counter(hook.id for hook in receiver.at("/hook"))
    expected = Counter({each["message_id"]: times for each in made})
    ids = {each["id"]: each["message_id"] for each in made}
    rescued = Counter(ids[found] for found in re.findall(r"delivery\.rescued delivery_id=(\S+)", service.log))
    return expected - seen, seen - expected - rescued


@pytest.mark.timeout(400)
def test_ten_thousand_are_neither_lost_nor_doubled_by_a_kill_in_between(tmp_path: Path) -> None:
    lines = b'{"body": 1}\n' * MANY
    with receiving() as receiver, Service(tmp_path / "service", FUNCTIONS, BEFORE) as service:
        headers = {"Content-Type": "application/x-ndjson"}
        batch = service.request("POST", "/v1/batches?function=quick-background", lines, headers).json()["id"]
        eventually(lambda: service.get(f"/v1/batches/{batch}").json()["ended_at"], seconds=120)
        service.stop()

        (service.folder / "sendoff.yaml").write_text(AFTER.format(url=receiver.url("/hook"), secret=SECRET))
        service.start()
        wish = ("destinations", "replay", "hook", "--since", "1h", "--state")
        assert run(service, *wish, "missing", "--dry-run") | {"since": "", "until": ""} == {
            "destination": "hook", "since": "", "until": "", "states": {"missing": MANY}, "total": MANY,
        }  # fmt: skip
        replayed_with_a_kill(service, *wish, "missing")
        made = service.items("/v1/deliveries")
        assert Counter((each["state"], each["attempt"]) for each in made) == {("delivered", 1): MANY}
        assert len({each["job_id"] for each in made}) == MANY
        assert unexplained(service, receiver, made, 1) == ({}, {})
        assert run(service, *wish, "missing", "--dry-run")["total"] == 0

        replayed_with_a_kill(service, *wish, "delivered")
        again = service.items("/v1/deliveries")
        assert {each["id"] for each in again} == {each["id"] for each in made}
        assert Counter((each["state"], each["attempt"]) for each in again) == {("delivered", 2): MANY}
        assert unexplained(service, receiver, made, 2) == ({}, {})


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[tuple[Service, Receiver]]:
    """A service whose receiver has refused three messages for good, and is well now."""
    answers = iter([500] * 3)
    with receiving(lambda _: next(answers, 200)) as receiver:
        config = CONFIG.format(url=receiver.url("/hook"), secret=SECRET)
        with Service(tmp_path / "service", FUNCTIONS, config) as service:
            for job in [service.submit("quick-background") for _ in range(3)]:
                service.settled(job)
            yield service, receiver


def test_a_destination_is_replayed_and_followed_by_the_command_line(failing: tuple[Service, Receiver]) -> None:
    service, receiver = failing
    url = f"http://127.0.0.1:{service.port}"
    ended = sendoff(
        service.folder, "destinations", "replay", "hook", "--since", "2h", "--dry-run", "--state", "dead",
        "--state", "missing", SENDOFF_URL=url,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (0, "hook  3 deliveries to send: 3 dead, 0 missing\n")
    ended = sendoff(service.folder, "destinations", "replay", "hook", "--since", "2h", "--follow", SENDOFF_URL=url)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("  hook  completed  3 of 3 opened: 3 delivered\n")
    assert len(receiver.at("/hook")) == 6
    (listed,) = run(service, "replays")["items"]
    assert (listed["done"], listed["rate"], listed["states"]) == (3, "50/s", ["dead"])
    shown = sendoff(service.folder, "replays", "--destination", "hook", SENDOFF_URL=url)
    assert "3 of 3 opened" in shown.stdout


def test_following_ends_with_what_became_of_what_was_opened(tmp_path: Path) -> None:
    answers = iter([500, 500, 503, 500])
    with receiving(lambda _: next(answers, 200)) as receiver:
        config = CONFIG.format(url=receiver.url("/hook"), secret=SECRET)
        with Service(tmp_path / "service", FUNCTIONS, config) as service:
            url = f"http://127.0.0.1:{service.port}"
            for job in [service.submit("quick-background") for _ in range(2)]:
                service.settled(job)
            wish = ("destinations", "replay", "hook", "--since", "2h", "--follow")
            ended = sendoff(service.folder, *wish, SENDOFF_URL=url)
            assert ended.returncode == 1
            assert ended.stdout.endswith("  hook  completed  2 of 2 opened: 2 dead\n")
            run(service, "destinations", "pause", "hook")
            ended = sendoff(service.folder, *wish, SENDOFF_URL=url)
            assert ended.returncode == 1
            assert ended.stdout.endswith("  hook  completed  2 of 2 opened: 2 held\n")
            assert ended.stderr.endswith(
                "2 deliveries are held, as hook is paused: `sendoff destinations resume hook` has them sent.\n"
            )
            (last, first) = run(service, "replays")["items"]
            assert "deliveries" not in last
            run(service, "destinations", "resume", "hook")
            assert run(service, "replays", last["id"], "--follow")["deliveries"]["delivered"] == 2
            assert sum(run(service, "replays", first["id"], "--follow")["deliveries"].values()) == 0


def test_a_replay_is_cancelled_and_a_delivery_replayed_under_a_new_id(failing: tuple[Service, Receiver]) -> None:
    service, receiver = failing
    replay = run(service, "destinations", "replay", "hook", "--since", "2h", "--rate", "1/h")
    eventually(lambda: done(service, replay["id"]) == 1)
    assert run(service, "cancel", replay["id"])["state"] == "cancelled"
    assert run(service, "replays", replay["id"], "--follow", code=1)["done"] == 1
    eventually(lambda: len(receiver.at("/hook")) == 4)
    dead = run(service, "deliveries", "--state", "dead")["items"][0]
    again = run(service, "replay", dead["id"], "--new-id")
    assert again["message_id"] != dead["message_id"]
    eventually(lambda: len(receiver.at("/hook")) == 5)
    assert receiver.at("/hook")[-1].id == again["message_id"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hook"], "--since"),
        (["hook", "--since", "yesterday"], "expected a duration such as 2h, or a moment"),
        (["hook", "--since", "999999d"], "expected a duration such as 2h, or a moment"),
        (["hook", "--since", "0h"], "argument --since: expected a duration of more than 0s such as 2h, got '0h'"),
        (["hook", "--since", "2h", "--until", "3h"], " is before --since "),
        (["hook", "--since", "2999-01-01T00:00:00Z"], "--since 2999-01-01T00:00:00.000Z has not come yet"),
        (["hook", "--since", "2h", "--rate", "fast"], "expected a rate such as 20/s"),
        (["hook", "--since", "2h", "--state", "pending"], "invalid choice: 'pending'"),
    ],
)
def test_what_cannot_be_asked_for_is_wrong_usage(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    ended = sendoff(tmp_path, "destinations", "replay", *arguments, SENDOFF_URL="http://127.0.0.1:9")
    assert ended.returncode == 2
    assert sentence in ended.stderr
    ended = sendoff(tmp_path, "replays", "--follow", SENDOFF_URL="http://127.0.0.1:9")
    assert ended.returncode == 2
