"""Receivers that say back all that they were told: a web server that echoes a request, and a mail server that quotes
what it refuses.
"""

import asyncio
import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.support.mail_server import mail_server


class Echo(ThreadingHTTPServer):
    """Answers `/STATUS/...` with it, and with the request's path, headers and body in its own; as a proxy, too."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.received: list[bytes] = []

    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that end early."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        told = f"{self.path}\n{self.headers}".encode()
        server = self.server
        assert isinstance(server, Echo)
        server.received.append(told + body)
        # A proxy is told the whole URL; one that is asked for a tunnel has no such path, and refuses.
        status = 502 if self.command == "CONNECT" else int(urlsplit(self.path).path.split("/")[1])
        answer = told + base64.b64encode(told) + body
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Location", self.path)
        for name, value in self.headers.items():
            self.send_header(f"X-Echo-{name}", value)
        self.end_headers()
        self.wfile.write(answer)

    def do_CONNECT(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def echoing(tls: ssl.SSLContext | None = None) -> Iterator[Echo]:
    """Serve on a free port of 127.0.0.1."""
    server = Echo()
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def refusing_mail(username: str, password: str) -> Iterator[tuple[int, list[str]]]:
    """Serve SMTP on a free port that refuses every login, and quotes it; yield the port, and the commands that came."""
    plain = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
    refusal = f"535 {password} ({plain}) is wrong"
    started: list[tuple[int, list[str]]] = []
    is_ready, loop = threading.Event(), asyncio.new_event_loop()
    end = asyncio.Event()

    async def serve() -> None:
        async with mail_server(AUTH=refusal) as server:
            started.append((server.port, server.commands))
            is_ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert is_ready.wait(10)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()
