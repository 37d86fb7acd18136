"""A real service that hears what no honest client sends, byte for byte, and comes through it."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.serving import Service

ECHO = """
import json
def handler(event, context):
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}
"""
FUNCTIONS = {"echo.py": ECHO, "f-background.py": "def handler(event, context):\n    return 1\n"}
KEY = "sk_" + "k" * 43
# A body of 64 KiB at most; half a second for a body, one second for a head.
CONFIG = "service: {keepalive: 1s, body_timeout: 500ms, body_limit: 64KiB}\n"
HOST = b"Host: 127.0.0.1\r\n"
CLOSE = b"Connection: close\r\n"
POST = b"POST /functions/echo HTTP/1.1\r\n" + HOST
PATIENCE_S = 20.0
"""Longer than anything may take: what is refused before its body has come is read on for ten seconds."""


class Heard(NamedTuple):
    """All that came until the service closed the connection."""

    status: int | None
    body: bytes
    raw: bytes


@contextmanager
def besieged(folder: Path) -> Iterator[Service]:
    """Run a service for such clients; after all of it, it is alive, in order, and has told nothing of what it heard."""
    with Service(folder, FUNCTIONS, CONFIG) as running:
        yield running
        assert running.get("/readyz").status == 200
        assert running.request("POST", "/functions/echo", b"x").status == 200
        assert "Traceback" not in running.log
        assert "library.logged" not in running.log
        assert KEY not in running.log
        assert running.items("/v1/jobs") == []


def send(service: Service, *parts: bytes, ends: bool = False) -> Heard:
    """Send the parts, one at a time; with `ends` say that no more will come. Read until the service closes."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S) as connection:
        heard = b""
        try:
            for part in parts:
                connection.sendall(part)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65536):
                heard += more
        except (ConnectionResetError, BrokenPipeError):
            pass  # closed while something was on its way
    found = re.match(rb"HTTP/\d\.\d (\d{3}) ", heard)
    return Heard(int(found[1]) if found else None, heard.partition(b"\r\n\r\n")[2], heard)


def assert_problem(heard: Heard, status: int) -> None:
    """Hold that the answer is a problem of this status, and nothing follows it."""
    assert heard.status == status, heard.raw[:500]
    assert b"\r\ncontent-type: application/problem+json\r\n" in heard.raw.lower()
    problem = json.loads(heard.body)
    assert problem["status"] == status
    assert KEY not in heard.raw.decode("latin-1")
