"""The worker's end of its channel: frames over descriptor 3, as in `pipeline.functions.channel`."""

from __future__ import annotations

import json
import os
import socket
import struct
from _thread import allocate_lock
from typing import Any, NamedTuple

CHANNEL_FD = 3
HEADER = struct.Struct("!BIII")
CALL, READY, UNLOADED, STARTED, VALUE, RESPONSE, FAILED, CANCEL, PROGRESS = range(1, 10)
COPY_LIMIT = 64 * 1024
READ_SIZE = 64 * 1024


class Order(NamedTuple):
    """A frame from the service: a call, or the cancellation of one."""

    kind: int
    run: int
    call: dict[str, Any]
    event: bytes


class Channel:
    """Frames to and from the service."""

    def __init__(self) -> None:
        os.set_inheritable(CHANNEL_FD, False)
        self._socket = socket.socket(fileno=CHANNEL_FD)
        # read(2) at the speed of C, which makefile() has not.
        self._file = open(CHANNEL_FD, "rb", closefd=False)  # noqa: SIM115 - open as long as the process
        self._pid = os.getpid()
        self._sending = allocate_lock()
        self._received = bytearray()

    def fileno(self) -> int:
        """Return the descriptor, to wait for what can be received."""
        return CHANNEL_FD

    def receive(self) -> Order | None:
        """Wait for an order and return it; None once the service has gone."""
        try:
            start = self._file.read(HEADER.size)
            if len(start) < HEADER.size:
                return None
            kind, run, head_size, body_size = HEADER.unpack(start)
            head, body = self._file.read(head_size), self._file.read(body_size)
        except OSError:
            return None  # the service closed its end with something unread
        return Order(kind, run, json.loads(head or b"{}"), body) if len(body) == body_size else None

    def receive_ready(self) -> list[Order] | None:
        """Return the orders that have come in whole, without waiting; None once the service has gone.

        Not to be mixed with `receive`.
        """
        try:
            chunk = self._socket.recv(READ_SIZE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not chunk:
            return None
        received = self._received
        received += chunk
        orders = []
        at = 0
        while len(received) - at >= HEADER.size:
            kind, run, head_size, body_size = HEADER.unpack_from(received, at)
            head_at = at + HEADER.size
            body_at = head_at + head_size
            end = body_at + body_size
            if end > len(received):
                break
            call = json.loads(received[head_at:body_at] or b"{}")
            orders.append(Order(kind, run, call, bytes(received[body_at:end])))
            at = end
        del received[:at]
        return orders

    def send(self, kind: int, run: int = 0, head: dict[str, Any] | None = None, body: bytes = b"") -> None:
        """Write one frame; from any thread."""
        if os.getpid() != self._pid:
            os._exit(0)  # a forked child that fell out of the handler: the run is its parent's
        # What UTF-8 cannot hold becomes "?": a lone surrogate would not be JSON.
        said = b"" if head is None else json.dumps(head, ensure_ascii=False).encode("utf-8", "replace")
        start = HEADER.pack(kind, run, len(said), len(body)) + said
        try:
            with self._sending:
                if len(body) <= COPY_LIMIT:
                    self._socket.sendall(start + body)
                else:
                    self._socket.sendall(start)
                    self._socket.sendall(body)
        except OSError:
            os._exit(1)  # the service has closed the channel: nobody is left to tell anything
