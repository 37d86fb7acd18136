"""A world for `sendoff batch`: a service, the receiver of what it owes, and files to submit."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess, Popen
from typing import Any

from tests.support.command import SENDOFF, sendoff
from tests.support.hooks import SECRET, Receiver, receiving
from tests.support.serving import Service

FUNCTIONS = {
    # Tells what it was called with, and notes which job it ran.
    "read-background.py": """
        import base64, os, time
        def handler(event, context):
            body = base64.b64decode(event["body"]) if event["isBase64Encoded"] else (event["body"] or "").encode()
            with open("journal", "a") as journal:
                journal.write(context.job_id + "\\n")
            while os.path.exists("hold"):
                time.sleep(0.01)
            time.sleep(0.001 if len(body) > 1000 else 0.02)
            if b"broken" in body and not os.path.exists("mended"):
                raise ValueError("no text in it")
            return {"type": event["headers"]["content-type"], "bytes": len(body)}
        """,
}
CONFIG = """
    functions:
      settings:
        read-background: {{concurrency: 2, retry: [], on_success: [slow], on_batch: [hook]}}
    destinations:
      hook: {{type: webhook, url: "{hook}", secrets: ["{secret}"], retry: [200ms, 1s]}}
      slow: {{type: webhook, url: "{slow}", secrets: ["{secret}"], retry: [1h]}}
    """


class World:
    """A service and the receiver of what it owes."""

    def __init__(self, service: Service, receiver: Receiver) -> None:
        self.service = service
        self.receiver = receiver
        self.functions = service.folder / "functions"

    @property
    def environ(self) -> dict[str, str]:
        """What tells the command where the service is."""
        return {"SENDOFF_URL": f"http://127.0.0.1:{self.service.port}"}

    def run(self, folder: Path, *arguments: str, said: str | None = None) -> "CompletedProcess[str]":
        """Run the command to its end."""
        ended = sendoff(folder, *arguments, said=said, **self.environ)
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended

    def start(self, folder: Path, *arguments: str) -> "Popen[str]":
        """Start the command, and return its process."""
        return Popen(
            [SENDOFF, *arguments], cwd=folder, env=self.environ, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, text=True
        )

    def hold(self) -> None:
        """Let every run wait from now on."""
        (self.functions / "hold").touch()

    def let_go(self) -> None:
        """Let them go on."""
        (self.functions / "hold").unlink(missing_ok=True)

    def batches(self) -> list[dict[str, Any]]:
        """Return all batches that the service has, newest first."""
        return self.service.items("/v1/batches")

    def jobs_that_ran(self) -> set[str]:
        """Return the ids of the jobs whose function was called."""
        journal = self.functions / "journal"
        return set(journal.read_text().split()) if journal.exists() else set()


@contextmanager
def batching(folder: Path) -> Iterator[World]:
    """Run a service in a folder, and the receiver of what it owes, which says nothing to `slow`."""
    with receiving(lambda hook: None if hook.path == "/slow" else 200) as receiver:
        config = CONFIG.format(hook=receiver.url("/hook"), slow=receiver.url("/slow"), secret=SECRET)
        with Service(folder, FUNCTIONS, config) as service:
            yield World(service, receiver)


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, and the folders that they are in."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def many(folder: Path, number: int) -> list[str]:
    """Write so many small documents; return their names."""
    names = [f"{index:04}.txt" for index in range(number)]
    write(folder, {name: f"document {name}".encode() for name in names})
    return names


def results(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of results."""
    return [json.loads(line) for line in path.read_text().splitlines()]
