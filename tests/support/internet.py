"""An Internet all of whose addresses lead to this machine, so that a test sees what is dialled, and that it answers."""

import asyncio
import socket
from typing import Any

import pytest


class Internet:
    """Notes every address that a TCP connection is made to, and makes it to the same port of 127.0.0.1."""

    def __init__(self) -> None:
        self.dialled: list[str] = []

    def route(self, family: int, address: tuple[Any, ...]) -> tuple[Any, ...]:
        """Note the address; return where it leads."""
        self.dialled.append(str(address[0]))
        return ("::ffff:127.0.0.1" if family == socket.AF_INET6 else "127.0.0.1", address[1])


def simulate(patch: pytest.MonkeyPatch) -> Internet:
    """Put the Internet in the place of the network for all connections that this process's loops make."""
    internet = Internet()
    loops = asyncio.selector_events.BaseSelectorEventLoop
    connect = loops.sock_connect

    async def sock_connect(self: Any, sock: socket.socket, address: tuple[Any, ...]) -> None:
        await connect(self, sock, internet.route(sock.family, address))

    patch.setattr(loops, "sock_connect", sock_connect)
    return internet
