"""Receivers for the conformance suite, of the built-in kinds: each serves in threads of its own, as told."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope

from destinations.conformance import Manner, Receiver
from pipeline.model import Outcome
from tests.support.certificates import written
from tests.support.hooks import SECRET
from tests.support.ports import free_port


class Door:
    """Where what hangs waits, and is counted."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._lock = threading.Lock()
        self.waiting = 0

    def wait(self) -> None:
        with self._lock:
            self.waiting += 1
        self._open.wait()
        with self._lock:
            self.waiting -= 1

    def open(self) -> None:
        self._open.set()


class Endpoint(Receiver):
    """A webhook's endpoint."""

    STATUSES: Mapping[Manner, int] = {Manner.TEMPORARY: 503, Manner.PERMANENT: 413}

    def __init__(self, folder: Path) -> None:
        files = written(trustme.CA().issue_cert("client@example.com"), folder)
        key = files.encrypted("open-sesame")
        self.tls = {"certificate": str(files.certificate), "key": str(key), "password": "open-sesame"}
        self.manner = Manner.WELL
        self.door = Door()
        self.taken: list[str] = []
        self.refusals = 0
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.receiver = self
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hooks"

    @property
    def options(self) -> Mapping[str, Any]:
        return {"url": self.url, "secrets": [SECRET], "headers": {"authorization": "Bearer open-sesame"}}

    def other_options(self) -> Sequence[Mapping[str, Any]]:
        login = {"username": "sendoff", "password": "open-sesame"}
        proxied = {"bearer": "open-sesame", "proxy": {"url": "http://127.0.0.1:3128", **login}}
        return [
            {"url": self.url, **proxied},
            {"url": self.url.replace("http:", "https:"), "basic": login, "tls": self.tls},
        ]

    def answer(self, manner: Manner) -> None:
        self.manner = manner
        if manner is Manner.ABSENT:
            self.end()

    def ids(self) -> Sequence[str]:
        return self.taken

    def refused(self) -> int:
        return self.refusals

    def hanging(self) -> int:
        return self.door.waiting

    def release(self) -> None:
        self.manner = Manner.WELL if self.manner is Manner.HANG else self.manner
        self.door.open()

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class NamedEndpoint(Endpoint):
    """The endpoint of a caller, who names its URL."""

    @property
    def options(self) -> Mapping[str, Any]:
        return {"allow_hosts": ["127.0.0.1"], "secrets": [SECRET], "headers": {"x-token": "open-sesame"}}

    def other_options(self) -> Sequence[Mapping[str, Any]]:
        return ()

    def named(self) -> tuple[str, ...]:
        return (self.url,)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 50
    receiver: Endpoint

    def handle_error(self, *_: Any) -> None:
        """Say nothing: whoever called has gone."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        receiver = self.server.receiver
        self.rfile.read(int(self.headers["content-length"]))
        if receiver.manner is Manner.HANG:
            receiver.door.wait()
        status = Endpoint.STATUSES.get(receiver.manner, 200)
        if status == 200:
            receiver.taken.append(self.headers["webhook-id"])
        else:
            receiver.refusals += 1
        with suppress(OSError):
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Mailbox(Receiver):
    """A mail server with one mailbox."""

    def __init__(self) -> None:
        self.manner = Manner.WELL
        self.taken: list[str] = []
        self.refusals = 0
        self.waiting = 0
        self.port = free_port()
        self.server = Controller(
            self, "127.0.0.1", self.port, authenticator=self._log_in, auth_require_tls=False, ready_timeout=30
        )
        self.server.start()

    def _log_in(self, *_: Any) -> AuthResult:
        return AuthResult(success=True)

    @property
    def options(self) -> Mapping[str, Any]:
        login = {"username": "sendoff", "password": "open-sesame", "starttls": "never"}
        addresses = {"from": "sendoff@example.com", "to": ["a@example.com", "b@example.com"]}
        return {"smtp": f"smtp://127.0.0.1:{self.port}", **addresses, **login}

    def answer(self, manner: Manner) -> None:
        self.manner = manner
        if manner is Manner.ABSENT:
            self.end()

    def ids(self) -> Sequence[str]:
        return self.taken

    def refused(self) -> int:
        return self.refusals

    def hanging(self) -> int:
        return self.waiting

    def release(self) -> None:
        self.manner = Manner.WELL if self.manner is Manner.HANG else self.manner

    async def handle_DATA(  # noqa: N802 - aiosmtpd looks for this name
        self, _server: object, _session: object, envelope: Envelope
    ) -> str:
        self.waiting += 1
        while self.manner is Manner.HANG:
            await asyncio.sleep(0.01)
        self.waiting -= 1
        if self.manner is not Manner.WELL:
            self.refusals += 1
            return {Manner.TEMPORARY: "451 later", Manner.PERMANENT: "552 never"}[self.manner]
        content = envelope.content
        assert isinstance(content, bytes)
        (line,) = [line for line in content.splitlines() if line.lower().startswith(b"message-id:")]
        self.taken.append(line.decode())
        return "250 taken"

    def end(self) -> None:
        if self.server.smtpd is not None:  # it was not ended before
            self.server.stop(no_assert=True)


class Jobs(Receiver):
    """What becomes of the jobs that a function destination asks for: the outcome holds them."""

    cannot = dict.fromkeys(
        (Manner.TEMPORARY, Manner.PERMANENT, Manner.HANG, Manner.ABSENT),
        "nothing is sent: the service stores the job with the attempt",
    )

    def __init__(self) -> None:
        self.taken: list[str] = []

    @property
    def options(self) -> Mapping[str, Any]:
        return {"function": "second-background"}

    def answer(self, manner: Manner) -> None:
        assert manner is Manner.WELL

    def ids(self) -> Sequence[str]:
        return self.taken

    def note(self, outcome: Outcome) -> None:
        assert outcome.child is not None
        self.taken.append(outcome.child.subject_id)


@contextmanager
def endpoint(kind: type[Endpoint] = Endpoint) -> Iterator[Receiver]:
    """Have an endpoint."""
    with TemporaryDirectory() as folder:
        receiver = kind(Path(folder))
        try:
            yield receiver
        finally:
            receiver.release()
            receiver.end()


def named_endpoint() -> AbstractContextManager[Receiver]:
    """Have an endpoint that a caller names."""
    return endpoint(NamedEndpoint)


@contextmanager
def mailbox() -> Iterator[Receiver]:
    """Have a mail server."""
    receiver = Mailbox()
    try:
        yield receiver
    finally:
        receiver.release()
        receiver.end()


@contextmanager
def jobs() -> Iterator[Receiver]:
    """Have what takes jobs."""
    yield Jobs()
