"""What the commands say where the service is not there, is something else, or wants a key: and what helps."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.command import SENDOFF, sendoff
from tests.support.ports import free_port
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

FUNCTIONS = {"good-background.py": "def handler(event, context):\n    return 1\n"}


class Stranger(BaseHTTPRequestHandler):
    """Answers as something that is not Sendoff; under /keyed as a Sendoff that wants a key and takes just one."""

    def do_GET(self) -> None:
        if not self.path.startswith("/keyed"):
            self._say(404, "text/html", b"<h1>Not found</h1>")
        elif self.headers["Authorization"] == "Bearer sk_right":
            self._say(200, "application/json", b'{"items": [], "next_cursor": null}')
        else:
            detail = b"a key is needed" if self.headers["Authorization"] is None else b"the key has expired"
            self._say(401, "application/problem+json", b'{"title": "T", "status": 401, "detail": "%s"}' % detail)

    def do_POST(self) -> None:
        self.do_GET()

    def _say(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def stranger() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def lines_of(folder: Path, *arguments: str, code: int = 1, **environ: str) -> list[str]:
    ended = sendoff(folder, *arguments, **environ)
    assert (ended.returncode, ended.stdout) == (code, "")
    return ended.stderr.splitlines()


@pytest.mark.parametrize(
    "command", [["jobs"], ["job", "x"], ["wait", "x"], ["invoke", "x"], ["cancel", "x"], ["destinations"]]
)
def test_a_service_that_is_not_there_is_told_with_where_it_was_looked_for(command: list[str], tmp_path: Path) -> None:
    port = free_port()
    said = lines_of(tmp_path, *command, SENDOFF_URL=f"http://127.0.0.1:{port}")
    assert said[0] == f"sendoff: no service answers at http://127.0.0.1:{port} (connection refused)"
    assert said[1].startswith("  Start one with `sendoff serve`. That URL comes from SENDOFF_URL;")


def test_the_port_of_the_yaml_is_the_one_that_is_asked(tmp_path: Path) -> None:
    with Service(tmp_path, FUNCTIONS) as service:
        (tmp_path / "sendoff.yaml").write_text(f"service: {{port: {service.port}}}\n")
        assert sendoff(tmp_path, "invoke", "good-background", "--wait").stdout == "1"
    (said, advice) = lines_of(tmp_path, "jobs")
    assert f":{service.port} " in said
    assert "comes from sendoff.yaml" in advice


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    (said, _) = lines_of(tmp_path, "jobs", "--url", "http://nowhere.invalid")
    assert said == "sendoff: nobody knows where http://nowhere.invalid is"


@pytest.mark.parametrize("command", [["jobs"], ["invoke", "x"], ["job", "x"], ["result", "x"]])
def test_something_else_that_answers_is_told_from_a_service(command: list[str], tmp_path: Path) -> None:
    with stranger() as url:
        (said, advice) = lines_of(tmp_path, *command, "--url", url)
    assert said == f"sendoff: {url} answered 404 with text/html, which is not Sendoff's answer"
    assert "Is that the service's URL?" in advice


def test_a_path_too_many_in_the_url(tmp_path: Path) -> None:
    with Service(tmp_path, FUNCTIONS) as service:
        (said, advice) = lines_of(tmp_path, "jobs", "--url", f"http://127.0.0.1:{service.port}/api")
    assert "does not know this: nothing is at /api/v1/jobs" in said
    assert "a path that it should not have" in advice


def test_a_key_is_asked_for_sent_and_said_to_be_wrong(tmp_path: Path) -> None:
    with stranger() as url:
        keyed = {"SENDOFF_URL": f"{url}/keyed"}
        (said, advice) = lines_of(tmp_path, "jobs", **keyed)
        assert said == f"sendoff: the service at {url}/keyed wants a key"
        assert "SENDOFF_KEY" in advice
        (said, advice) = lines_of(tmp_path, "jobs", **keyed, SENDOFF_KEY="sk_wrong")
        assert said.endswith("does not take the key in SENDOFF_KEY: the key has expired")
        assert "sk_wrong" not in said + advice
        assert sendoff(tmp_path, "jobs", **keyed, SENDOFF_KEY="sk_right").returncode == 0


def test_who_has_read_enough_may_stop(tmp_path: Path) -> None:
    with Service(tmp_path, FUNCTIONS) as service:
        for _ in range(300):
            service.submit("good-background")
        script = f"{SENDOFF} jobs --limit 300 --url http://127.0.0.1:{service.port} | head -1"
        ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.startswith("ID ")
    assert ended.stderr == ""
