"""Signed links on the command line: what was submitted without a key is followed by its link, and by nothing else."""

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.keys import digest
from tests.support.callers import token_of
from tests.support.command import SENDOFF, sendoff
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

FUNCTIONS = {
    "open-background.py": """
        def handler(event, context):
            return {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "done: " + event["body"]}
        """,
}
SETTINGS = f"""
service: {{link_keys: ["lk_{"k" * 43}"]}}
functions: {{settings: {{open-background: {{access: public}}}}}}
keys: [{{name: all, sha256: {digest(token_of("all"))}, scopes: [invoke, read, admin]}}]
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service"), FUNCTIONS, SETTINGS) as running:
        yield running


def url_of(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}"


def submitted(service: Service, folder: Path) -> str:
    """Call the function without a key; return the link that the command names."""
    ended = sendoff(folder, "invoke", "open-background", "--data", "x", SENDOFF_URL=url_of(service))
    assert ended.returncode == 0, ended.stderr
    found = re.fullmatch(r"Accepted; follow it: sendoff wait '(\S+)'\n", ended.stderr)
    assert found, ended.stderr
    assert found[1].startswith(f"{url_of(service)}/v1/jobs/{ended.stdout.strip()}?sig=v1.")
    return found[1]


def test_a_job_made_without_a_key_is_followed_by_its_link(service: Service, tmp_path: Path) -> None:
    link = submitted(service, tmp_path)
    # The link says where its service is; whatever is configured, and whatever key, is for another one.
    elsewhere = {"SENDOFF_URL": "http://127.0.0.1:9", "SENDOFF_KEY": "sk_of_another"}
    waited = sendoff(tmp_path, "wait", link, **elsewhere)
    assert (waited.returncode, "succeeded" in waited.stdout) == (0, True), waited.stderr
    result = sendoff(tmp_path, "result", link, **elsewhere)
    assert (result.returncode, result.stdout) == (0, "done: x")
    page = sendoff(tmp_path, "job", link, **elsewhere)
    assert (page.returncode, "succeeded" in page.stdout) == (0, True), page.stderr
    explained = sendoff(tmp_path, "explain", link, **elsewhere)
    assert (explained.returncode, "The job is done" in explained.stdout) == (0, True), explained.stderr


def test_waiting_for_it_gives_its_result_at_once(service: Service, tmp_path: Path) -> None:
    ended = sendoff(tmp_path, "invoke", "open-background", "--data", "y", "--wait", SENDOFF_URL=url_of(service))
    assert (ended.returncode, ended.stdout) == (0, "done: y"), ended.stderr


def test_the_key_is_not_sent_to_where_a_link_leads(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        link = f"http://127.0.0.1:{stranger.getsockname()[1]}/v1/jobs/019b8e07-4600-7795-92e6-b545353c631c?sig=v1.1.x"
        command = subprocess.Popen(
            [SENDOFF, "result", link], cwd=tmp_path, env={"SENDOFF_KEY": "sk_secret"}, stderr=subprocess.DEVNULL
        )
        connection, _ = stranger.accept()
        with connection:
            asked = connection.recv(65536)
        command.kill()
        command.wait()
    assert asked.startswith(b"GET /v1/jobs/")
    assert b"sk_secret" not in asked


def test_a_link_that_was_changed_is_refused_with_the_reason(service: Service, tmp_path: Path) -> None:
    ended = sendoff(tmp_path, "result", submitted(service, tmp_path)[:-1], SENDOFF_URL=url_of(service))
    assert ended.returncode == 1
    assert "the link's signature is cut off or changed" in ended.stderr
