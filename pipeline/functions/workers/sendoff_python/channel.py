"""The worker's end of its channel: frames over descriptor 3, as in `pipeline.functions.channel`."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

CHANNEL_FD = 3
HEADER = struct.Struct("!BIII")
CALL, READY, UNLOADED, STARTED, VALUE, RESPONSE, FAILED = range(1, 8)
COPY_LIMIT = 64 * 1024


class Channel:
    """Frames to and from the service."""

    def __init__(self) -> None:
        os.set_inheritable(CHANNEL_FD, False)
        self._socket = socket.socket(fileno=CHANNEL_FD)
        # read(2) at the speed of C, which makefile() has not.
        self._file = open(CHANNEL_FD, "rb", closefd=False)  # noqa: SIM115 - open as long as the process
        self._pid = os.getpid()

    def receive(self) -> tuple[int, dict[str, Any], bytes] | None:
        """Wait for a call and return its run number, head and event; None once the service has gone."""
        try:
            start = self._file.read(HEADER.size)
            if len(start) < HEADER.size:
                return None
            _, run, head_size, body_size = HEADER.unpack(start)
            head, body = self._file.read(head_size), self._file.read(body_size)
        except OSError:
            return None  # the service closed its end with something unread
        return (run, json.loads(head), body) if len(body) == body_size else None

    def send(self, kind: int, run: int = 0, head: dict[str, Any] | None = None, body: bytes = b"") -> None:
        """Write one frame."""
        if os.getpid() != self._pid:
            os._exit(0)  # a forked child that fell out of the handler: the run is its parent's
        # What UTF-8 cannot hold becomes "?": a lone surrogate would not be JSON.
        said = b"" if head is None else json.dumps(head, ensure_ascii=False).encode("utf-8", "replace")
        start = HEADER.pack(kind, run, len(said), len(body)) + said
        try:
            if len(body) <= COPY_LIMIT:
                self._socket.sendall(start + body)
            else:
                self._socket.sendall(start)
                self._socket.sendall(body)
        except OSError:
            os._exit(1)  # the service has closed the channel: nobody is left to tell anything
