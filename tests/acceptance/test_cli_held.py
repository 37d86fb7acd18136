"""What is held is told by the commands that follow: with why, and what has it sent."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.command import sendoff
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

CONFIG = """
functions: {settings: {quick-background: {on_success: [hook], on_batch: [hook]}}}
destinations:
  hook: {type: webhook, url: "http://127.0.0.1:9/", retry: []}
"""
FUNCTIONS = {"quick-background.py": "def handler(event, context):\n    return 1\n"}


def test_what_is_held_is_told_where_a_job_or_a_batch_is_followed(tmp_path: Path) -> None:
    with Service(tmp_path / "service", FUNCTIONS, CONFIG) as service:

        def run(*arguments: str) -> "CompletedProcess[str]":
            url = f"http://127.0.0.1:{service.port}"
            return sendoff(service.folder, *arguments, said="{}\n", SENDOFF_URL=url)

        assert run("destinations", "pause", "hook").returncode == 0
        waited = run("wait", service.submit("quick-background"), "--settled")
        assert (waited.returncode, waited.stdout.endswith("; deliveries: 1 held\n")) == (0, True)
        said = "1 delivery is held, as hook is paused: `sendoff destinations resume hook` has it sent.\n"
        assert waited.stderr.endswith(said)
        batch = run("batch", "quick-background", "-")
        assert (batch.returncode, batch.stdout.endswith("its message to hook: held (paused)\n")) == (0, True)
        assert batch.stderr.endswith(said)
        assert run("destinations", "resume", "hook").returncode == 0
        again = run("batch", "quick-background", "-", "--new", "--settled")
        assert "its message to hook: dead (connection_refused)  " in again.stdout
        assert "held" not in again.stderr


class Restarting(BaseHTTPRequestHandler):
    """Answers as a service with a job that has ended, whose delivery is held, and which is restarted before that is
    asked for.
    """

    asked = 0

    def do_GET(self) -> None:
        deliveries = dict.fromkeys(("pending", "sending", "retrying", "delivered", "dead", "skipped", "cancelled"), 0)
        job = {"id": "a", "function": "quick", "state": "succeeded", "reason": None, "deliveries": deliveries}
        job |= {"started_at": None, "ended_at": None, "created_at": "2026-01-05T12:00:00Z", "progress": None, "run": 0}
        if not self.path.startswith("/v1/jobs/a/deliveries"):
            self._say(200, "application/json", job | {"deliveries": deliveries | {"held": 1}})
            return
        Restarting.asked += 1
        if Restarting.asked == 1:
            self._say(503, "application/problem+json", {"detail": "the service is shutting down"})
            return
        held = {"destination": "hook", "state": "held", "reason": "paused"}
        self._say(200, "application/json", {"items": [held], "next_cursor": None})

    def _say(self, status: int, kind: str, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_a_restart_just_before_the_end_of_waiting_hides_nothing_that_is_held(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Restarting) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            waited = sendoff(tmp_path, "wait", "a", "--settled", "--json", SENDOFF_URL=url)
        finally:
            server.shutdown()
    assert waited.returncode == 0, waited.stderr
    assert json.loads(waited.stdout)["state"] == "succeeded"
    assert waited.stderr.endswith(
        "the service is shutting down; trying again\nthe service answers again\n"
        "1 delivery is held, as hook is paused: `sendoff destinations resume hook` has it sent.\n"
    )
