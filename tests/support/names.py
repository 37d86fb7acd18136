"""A name server on a real UDP socket that says what it is told to, however badly, and is asked by all look-ups."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import aiodns
import pytest

SILENCE = "silence"
"""Nothing is ever answered."""
CODES = {"servfail": 2, "nxdomain": 3, "refused": 5}
"""Answers without an address."""
_A, _AAAA = 1, 28


class NameServer(asyncio.DatagramProtocol):
    """Leads names to addresses: each look-up to the next of its answers, the last one for ever."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: Counter[str] = Counter()
        """How often each name was looked up; for IPv6 it is asked in the same breath, before or after."""
        self._questions: Counter[tuple[str, int]] = Counter()
        self._answers: dict[str, tuple[tuple[str, ...], ...]] = {}
        self._transport: Any = None

    def lead(self, name: str, *answers: str | tuple[str, ...]) -> None:
        """Have `name` lead to these: addresses, an entry of CODES, `garbage`, `empty`, or SILENCE."""
        self._answers[name] = tuple((each,) if isinstance(each, str) else each for each in answers)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        name, kind, end = _question(data)
        self._questions[name, kind] += 1
        self.asked[name] = self._questions[name, _A]
        answers = self._answers.get(name, (("nxdomain",),))
        said = answers[min(self._questions[name, kind], len(answers)) - 1]
        if said == (SILENCE,):
            return
        self._transport.sendto(b"\xff" * 40 if said == ("garbage",) else _reply(data, end, kind, said), address)


def _question(data: bytes) -> tuple[str, int, int]:
    """Return what is asked: the name, the type, and where the question ends."""
    labels, at = [], 12
    while size := data[at]:
        labels.append(data[at + 1 : at + 1 + size].decode())
        at += 1 + size
    return ".".join(labels).lower(), struct.unpack_from("!H", data, at + 1)[0], at + 5


def _reply(data: bytes, end: int, kind: int, said: tuple[str, ...]) -> bytes:
    code = CODES.get(said[0], 0)
    wanted = {_A: IPv4Address, _AAAA: IPv6Address}.get(kind)
    addresses = [ip_address(text) for text in said if text not in CODES and text != "empty"]
    records = [
        struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(each.packed)) + each.packed
        for each in addresses
        if type(each) is wanted
    ]
    return data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0) + data[12:end] + b"".join(records)


@contextlib.asynccontextmanager
async def name_server(patch: pytest.MonkeyPatch, **options: Any) -> AsyncIterator[NameServer]:
    """Run a name server, and have it asked by every look-up that begins in this process, with these options."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, ("127.0.0.1", 0))
    server.port = transport.get_extra_info("sockname")[1]
    ask(patch, server.port, **options)
    try:
        yield server
    finally:
        transport.close()


def ask(patch: pytest.MonkeyPatch, port: int, **options: Any) -> None:
    """Have this port of 127.0.0.1 asked for names from now on."""
    make = aiodns.DNSResolver.__init__

    def made(self: aiodns.DNSResolver, nameservers: Any = None, loop: Any = None, **keywords: Any) -> None:
        make(self, ["127.0.0.1"], loop, **{**keywords, **options, "udp_port": port, "tcp_port": port})

    patch.setattr(aiodns.DNSResolver, "__init__", made)


def closed_port() -> int:
    """Return a UDP port where nobody answers, which the system says at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
