"""A whole Sendoff as its users run it: `sendoff serve` in a folder of its own, asked over HTTP, killed, restarted."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import processes
from tests.support.ports import free_port
from tests.support.processes import Process, eventually

SENDOFF = Path(sys.executable).with_name("sendoff")
START_S = 60.0
FINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})
OPEN_DELIVERY = frozenset({"pending", "sending", "retrying", "held"})

CALM = "def handler(event, context):\n    return {'statusCode': 200, 'body': 'calm'}\n"
"""A synchronous function that answers."""


class Answer(NamedTuple):
    """An HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Ended(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    said: str


class Service:
    """One folder, one port, and the service process that runs there just now."""

    def __init__(self, folder: Path, functions: Mapping[str, str], config: str = "") -> None:
        """Write the functions (by file name) and the YAML; nothing is started yet."""
        self.folder = folder
        self.port = free_port()
        self.database = folder / "data" / "sendoff.db"
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch = folder / "tmp"
        self._guards: set[Process] = set()
        for place in (self._scratch, folder / "functions"):
            place.mkdir(parents=True, exist_ok=True)
        for name, source in functions.items():
            (folder / "functions" / name).write_text(textwrap.dedent(source))
        (folder / "sendoff.yaml").write_text(textwrap.dedent(config) or "service: {}\n")

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self.is_running:
            self.kill()
        for process in self.leftovers():
            process.kill()

    # Its life

    def launch(self, *arguments: str, through: Sequence[str] = ()) -> None:
        """Start the process without waiting for it; `through` is a command that runs the one behind it."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*through, SENDOFF, "serve", "--port", str(self.port), "--verbose", *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # On the list of what reaches functions, so that it marks all that comes of this service.
                env={**os.environ, "TMPDIR": str(self._scratch)},
            )
        (self.folder / "pid").write_text(str(self._process.pid))

    def start(self) -> float:
        """Start it and wait until it is ready; return how long that took."""
        began = time.monotonic()
        self.launch()
        self.ready()
        return time.monotonic() - began

    def ready(self) -> None:
        """Wait until it takes work."""
        eventually(self._is_ready, seconds=START_S, what="the service is ready")

    def _is_ready(self) -> bool:
        assert self.is_running, f"the service has ended:\n{self.log}"
        try:
            return self.get("/readyz").status == 200
        except (OSError, HTTPException):
            return False

    def run(self, *arguments: str, through: Sequence[str] = ()) -> Ended:
        """Run `sendoff serve` with these arguments to an end that it is expected to find by itself."""
        size = len(self.log)
        self.launch(*arguments, through=through)
        try:
            return Ended(self.wait(START_S), self.log[size:])
        finally:
            self._popen.kill()

    def send(self, signum: int) -> None:
        """Send a signal to the service process."""
        self._popen.send_signal(signum)

    def kill(self) -> None:
        """Kill -9 the service process; nothing is awaited but its own end."""
        self._guards.update(processes.children(self.pid))
        self._popen.kill()
        self._popen.wait()

    def wait(self, seconds: float = 20.0) -> int:
        """Return the exit code once the process has ended."""
        return self._popen.wait(seconds)

    def stop(self, seconds: float = 20.0) -> int:
        """Ask it to end, and return its exit code."""
        self._guards.update(processes.children(self.pid))
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    # What can be seen from outside

    @property
    def _popen(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def pid(self) -> int:
        """Return the number of the service process."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Tell whether the service process has not ended."""
        return self._popen.poll() is None

    @property
    def log(self) -> str:
        """Return all that was written to stdout and stderr since the first start."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def guard(self) -> Process:
        """Return the guard process."""
        (guard,) = processes.children(self.pid)
        return guard

    def leftovers(self) -> list[Process]:
        """Return every process that ever came of this service and lives, but not the service itself."""
        guards = [guard for guard in self._guards if guard.is_alive]
        marked = processes.marked(f"TMPDIR={self._scratch}")
        return guards + [found for found in marked if self._process is None or found.pid != self.pid]

    # HTTP

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, seconds: float = 30.0
    ) -> Answer:
        """Ask the service; OSError or HTTPException where it does not answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body, dict(headers or {}))
            return _answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        """GET a path."""
        return self.request("GET", path)

    def post(self, function: str, body: object = None) -> Answer:
        """Invoke a function with a JSON body."""
        headers = {"Content-Type": "application/json"}
        return self.request("POST", f"/functions/{function}", json.dumps(body).encode(), headers)

    def submit(self, function: str, body: object = None) -> str:
        """Have a background function invoked; return the id of its job."""
        answer = self.post(function, body)
        assert answer.status == 202, answer
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        answer = self.get(f"/v1/jobs/{job_id}")
        assert answer.status == 200, answer
        return dict(answer.json())

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return all items of a list, over all its pages."""
        found: list[dict[str, Any]] = []
        start = f"{path}{'&' if '?' in path else '?'}limit=500"
        cursor = ""
        while True:
            page = self.get(start + cursor).json()
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def runs(self, job_id: str) -> list[dict[str, Any]]:
        """Return the runs of a job, oldest first."""
        return self.items(f"/v1/jobs/{job_id}/runs")

    def deliveries(self, job_id: str) -> list[dict[str, Any]]:
        """Return the deliveries of a job, each with its attempts."""
        listed = self.items(f"/v1/jobs/{job_id}/deliveries")
        return [self.get(f"/v1/deliveries/{one['id']}").json() for one in listed]

    def ended(self, job_id: str, seconds: float = 20.0) -> dict[str, Any]:
        """Return a job once it is in a final state."""
        return eventually(lambda: _if_final(self.job(job_id)), seconds=seconds, what=f"job {job_id} is final")

    def settled(self, job_id: str, seconds: float = 20.0) -> dict[str, Any]:
        """Return a job once it is in a final state and none of its deliveries is open."""
        return eventually(lambda: _if_settled(self.job(job_id)), seconds=seconds, what=f"job {job_id} is settled")


def _answer(response: HTTPResponse) -> Answer:
    body = response.read()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


def _if_final(job: dict[str, Any]) -> dict[str, Any] | None:
    return job if job["state"] in FINAL else None


def _if_settled(job: dict[str, Any]) -> dict[str, Any] | None:
    is_open = any(job["deliveries"][state] for state in OPEN_DELIVERY)
    return None if is_open else _if_final(job)
