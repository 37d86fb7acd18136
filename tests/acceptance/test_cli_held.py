"""What is held is told by the commands that follow: with why, and what has it sent."""

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
