"""A destination with ten thousand deliveries behind it is disabled, held, resumed and killed on the way: all arrive."""

import json
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import sendoff
from tests.support.hooks import SECRET, Hook, receiving
from tests.support.processes import eventually
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

MANY = 10_000
FUNCTIONS = {"quick-background.py": "def handler(event, context):\n    return 1\n"}
CONFIG = """
functions: {{settings: {{quick-background: {{on_success: [hook]}}}}}}
destinations:
  hook: {{type: webhook, url: "{url}", secrets: ["{secret}"], concurrency: 50, rate: 2000/s, retry: [{waits}]}}
"""


class Moody:
    """A receiver that goes out of service after some webhooks: it answers 410 once, and then refuses until it is well.

    It counts what it took.
    """

    def __init__(self, takes: int) -> None:
        self.is_well = threading.Event()
        self.taken: Counter[str] = Counter()
        self._left = takes
        self._has_said_gone = False

    def answer(self, hook: Hook) -> int:
        if self._left > 0 or self.is_well.is_set():
            self._left -= 1
            self.taken[hook.id] += 1
            return 200
        if self._has_said_gone:
            return 500
        self._has_said_gone = True
        return 410


def run(service: Service, *arguments: str) -> Any:
    """Run a command; return the JSON that it prints."""
    ended = sendoff(service.folder, *arguments, "--json", SENDOFF_URL=f"http://127.0.0.1:{service.port}")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def hook(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.get("/v1/destinations/hook").json()
    return found


@pytest.mark.timeout(400)
def test_ten_thousand_survive_disabling_holding_resuming_and_two_kills(tmp_path: Path) -> None:
    moody = Moody(takes=500)
    with receiving(moody.answer) as receiver:
        config = CONFIG.format(url=receiver.url("/hook"), secret=SECRET, waits=", ".join(["1s"] * 30))
        with Service(tmp_path / "service", FUNCTIONS, config) as service:
            headers = {"Content-Type": "application/x-ndjson"}
            lines = b'{"body": 1}\n' * MANY
            batch = service.request("POST", "/v1/batches?function=quick-background", lines, headers).json()["id"]
            eventually(lambda: hook(service)["state"] == "disabled", seconds=60)
            eventually(lambda: service.get(f"/v1/batches/{batch}").json()["ended_at"], seconds=120)
            eventually(lambda: not hook(service)["in_flight"])

            service.kill()
            service.start()
            shown, came = hook(service), len(receiver.hooks)
            assert (shown["state"], shown["due"]) == ("disabled", 0)
            (dead,) = service.items("/v1/deliveries?state=dead")
            assert dead["reason"] == "gone"
            assert shown["held"] == MANY - 1 - sum(moody.taken.values())
            waiting = service.items("/v1/deliveries?destination=hook&limit=1")[0]
            assert "disabled since" in run(service, "explain", waiting["id"])["explain"]
            assert len(receiver.hooks) == came  # nothing is sent to it, whoever starts

            moody.is_well.set()
            run(service, "destinations", "resume", "hook")
            eventually(lambda: len(moody.taken) > MANY // 2, seconds=60)
            service.kill()
            service.start()
            eventually(lambda: len(moody.taken) == MANY - 1, seconds=60)
            run(service, "replay", dead["id"])
            eventually(lambda: len(moody.taken) == MANY)

            eventually(lambda: not hook(service)["in_flight"] and not hook(service)["due"])
            made = service.items("/v1/deliveries")
            assert Counter(each["state"] for each in made) == {"delivered": MANY}
            assert moody.taken.keys() == {each["message_id"] for each in made}
            # Twice came only what was on its way when the service died, which it says: at least once, and one id.
            twice = {each["id"] for each in made if moody.taken[each["message_id"]] > 1}
            assert twice <= set(re.findall(r"delivery\.rescued delivery_id=(\S+)", service.log))
            assert max(moody.taken.values()) <= 2  # by luck nothing was on its way
