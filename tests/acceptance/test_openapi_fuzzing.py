"""schemathesis over a real service with jobs, batches and deliveries in it: no 500, and every answer in its schema."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.keys import digest
from tests.support.callers import bearer, token_of
from tests.support.fuzzing import fuzz
from tests.support.hooks import SECRET, receiving
from tests.support.processes import eventually
from tests.support.serving import Answer, Service
from tests.support.shapes import openapi

FUNCTIONS = {
    "sync.py": "def handler(event, context):\n    return {'statusCode': 200, 'body': event['httpMethod']}\n",
    "fine-background.py": "def handler(event, context):\n    print('working')\n    return {'done': True}\n",
    "poor-background.py": "def handler(event, context):\n    raise ValueError('it went wrong')\n",
}
CONFIG = """
service: {{link_keys: [lk_of_the_tests_0123456789abcdefghijklmnop]}}
functions:
  settings:
    fine-background: {{retry: [], on_success: [hook, refused, next], on_batch: [hook]}}
    poor-background: {{retry: [], on_failure: [hook]}}
destinations:
  hook: {{type: webhook, url: "{url}", secrets: ["{secret}"], retry: []}}
  refused: {{type: webhook, url: "http://127.0.0.1:9/", secrets: ["{secret}"], retry: []}}
  next: {{type: function, function: sync}}
  back: {{type: callback, allow_hosts: [127.0.0.1], secrets: ["{secret}"], retry: []}}
"""
KEYS = f"""
keys: [{{name: all, sha256: {digest(token_of("all"))}, scopes: [invoke, read, admin]}}]
"""
# Whether these succeed is a matter of the state that the run finds: what they answer is held against the document in
# tests of their own. The document itself is how schemathesis begins.
BY_STATE = {
    "POST /v1/jobs/{id}/cancel",
    "POST /v1/jobs/{id}/retry",
    "POST /v1/batches/{id}/cancel",
    "POST /v1/batches/{id}/retry-failed",
    "POST /v1/deliveries/{id}/cancel",
    "POST /v1/deliveries/{id}/replay",
    "POST /v1/replays/{id}/cancel",
    "DELETE /v1/jobs/{id}",
    "GET /openapi.json",
}
LAST_ID = "ffffffff-ffff-7fff-bfff-ffffffffffff"
LINES = b'{"body": {"n": 1}, "key": "one"}\n{"body": "two"}\n{"wrong": 3}\n'


def submit_batch(service: Service, function: str) -> str:
    answer = service.request(
        "POST", f"/v1/batches?function={function}", LINES, {"Content-Type": "application/x-ndjson"}
    )
    assert answer.status == 202, answer
    return str(answer.json()["id"])


def replay(service: Service) -> str:
    body = b'{"since": "2026-01-05T12:00:00Z"}'
    path, headers = "/v1/destinations/refused/replay", {"Content-Type": "application/json"}
    answer = service.request("POST", path, body, headers)
    assert answer.status == 202, answer
    return str(answer.json()["id"])


def filled(service: Service) -> dict[str, list[Any]]:
    """Have jobs, batches and deliveries of every sort made; return what the service knows since."""
    jobs = [service.submit("fine-background", {"n": n}) for n in range(3)]
    failed = [service.submit("poor-background") for _ in range(8)]
    batches = [submit_batch(service, name) for name in ("fine-background", "poor-background")]
    for job in (*jobs, *failed):
        service.settled(job)
    for batch in batches:
        eventually(lambda each=batch: service.get(f"/v1/batches/{each}").json()["ended_at"], what="the batch has ended")
    return {
        "wait": [0, 1],
        "function": ["sync", "fine-background", "poor-background"],
        "destination": ["hook", "refused", "next", "back"],
        "job": [*jobs, *failed, LAST_ID],
        "batch": [*batches, LAST_ID],
        "replay": [replay(service), LAST_ID],
        "delivery": [*[each["id"] for each in service.items("/v1/deliveries")][:4], LAST_ID],
    }


def expected() -> set[str]:
    """Return `METHOD path` of every operation."""
    return {
        f"{method.upper()} {path}"
        for path, item in openapi()["paths"].items()
        for method in item
        if method != "parameters"
    }


class KeyedService(Service):
    """A service that asks for keys, asked with one."""

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, seconds: float = 30.0
    ) -> Answer:
        """Ask the service with the key."""
        return super().request(method, path, body, {**(headers or {}), **bearer("all")}, seconds)


@pytest.mark.timeout(330)  # it takes one minute; on a machine that has much else to do, three
@pytest.mark.parametrize("has_keys", [False, True], ids=["without keys", "with keys"])
def test_schemathesis_finds_nothing(tmp_path: Path, has_keys: bool) -> None:
    with receiving() as receiver:
        config = CONFIG.format(url=receiver.url("/hook"), secret=SECRET) + (KEYS if has_keys else "")
        with (KeyedService if has_keys else Service)(tmp_path / "service", FUNCTIONS, config) as service:
            url, headers = f"http://127.0.0.1:{service.port}", bearer("all") if has_keys else {}
            fuzzed = fuzz(tmp_path, url, filled(service), examples=8, headers=headers)
            assert "request.failed" not in service.log
    assert fuzzed.code == 0, fuzzed.said
    # Nothing found is worth no more than what was reached.
    reached = {line.rpartition(" ")[0] for line in fuzzed.seen if line.rpartition(" ")[2] in {"200", "202", "204"}}
    assert expected() - reached <= BY_STATE
    refused = {line.rpartition(" ")[0] for line in fuzzed.seen if line.endswith(" 401")}
    assert bool(refused) == has_keys
