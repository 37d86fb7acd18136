"""Receivers that hang, each in a way of its own: whoever sends to them waits, and never learns anything."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from destinations.email.settings import Settings as Email
from pipeline.config.settings import DestinationSettings
from tests.support.mail_server import mail_server
from tests.support.names import SILENCE, name_server
from tests.support.receiver import Reply, drip, listening, receiving, silence
from tests.support.service import webhook

_PATIENT: dict[str, Any] = {"timeout": 600.0, "connect_timeout": 600.0, "breaker": None}


@dataclass(frozen=True, kw_only=True)
class Hanging:
    """Some destinations that hang, and one that is well."""

    destinations: dict[str, DestinationSettings]
    well: str
    """The host under which a receiver on this machine is reached, by the way that the others hang on if it can be."""
    seen: Callable[[], int | None] = lambda: None
    """How many attempts hang at the far end; None where that cannot be seen there."""


@asynccontextmanager
async def hanging(kind: str, names: list[str], concurrency: int, patch: pytest.MonkeyPatch) -> AsyncIterator[Hanging]:
    """Have destinations with these names hang, in one of the ways of KINDS."""
    async with KINDS[kind](names, concurrency, patch) as found:
        yield found


def _webhooks(names: list[str], concurrency: int, url: str) -> dict[str, DestinationSettings]:
    return {name: webhook(url.format(name), concurrency=concurrency, **_PATIENT) for name in names}


def _answering(reply: Reply) -> Any:
    @asynccontextmanager
    async def hang(names: list[str], concurrency: int, _: pytest.MonkeyPatch) -> AsyncIterator[Hanging]:
        async with receiving(reply) as receiver:
            yield Hanging(
                destinations=_webhooks(names, concurrency, receiver.url),
                well="127.0.0.1",
                seen=lambda: len(receiver.requests) if len(receiver.requests) == len(receiver.open) else None,
            )

    return hang


@asynccontextmanager
async def _without_a_handshake(names: list[str], concurrency: int, _: pytest.MonkeyPatch) -> AsyncIterator[Hanging]:
    begun = 0

    async def take(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal begun
        assert await reader.readexactly(1) == b"\x16"  # a client's greeting
        begun += 1
        await asyncio.Event().wait()

    async with listening(take) as port:
        destinations = _webhooks(names, concurrency, f"https://127.0.0.1:{port}/")
        yield Hanging(destinations=destinations, well="127.0.0.1", seen=lambda: begun)


@asynccontextmanager
async def _without_an_address(names: list[str], concurrency: int, patch: pytest.MonkeyPatch) -> AsyncIterator[Hanging]:
    async with name_server(patch, tries=1000) as server:  # after a few tries the resolver would give up by itself
        server.lead("well.example", "127.0.0.1")
        for name in names:
            server.lead(f"{name}.example", SILENCE)
        destinations = _webhooks(names, concurrency, "http://{}.example/")
        yield Hanging(destinations=destinations, well="well.example")


@asynccontextmanager
async def _without_a_connection(names: list[str], concurrency: int, _: pytest.MonkeyPatch) -> AsyncIterator[Hanging]:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        fill = [socket.socket() for _ in range(4)]  # a full backlog drops what comes after
        try:
            for each in fill:
                each.setblocking(False)
                each.connect_ex(address)
            destinations = _webhooks(names, concurrency, f"http://127.0.0.1:{address[1]}/")
            yield Hanging(destinations=destinations, well="127.0.0.1")
        finally:
            for each in fill:
                each.close()


@asynccontextmanager
async def _mute_mail_server(names: list[str], concurrency: int, _: pytest.MonkeyPatch) -> AsyncIterator[Hanging]:
    async with mail_server(banner="silence") as server:
        settings = Email(
            smtp=f"smtp://127.0.0.1:{server.port}",
            from_="sendoff@example.com",
            to=("ops@example.com",),
            timeout=600.0,
            concurrency=concurrency,
            breaker=None,
        )
        yield Hanging(
            destinations={name: DestinationSettings(name="", kind="email", options=settings) for name in names},
            well="127.0.0.1",
            seen=lambda: len(server.connections),
        )


KINDS = {
    "silence": _answering(silence),
    "a byte a second": _answering(drip(b"HTTP/1.1 200 OK\r\nServer: " + b"x" * 1000, every_s=1.0)),
    "no handshake": _without_a_handshake,
    "no address": _without_an_address,
    "no connection": _without_a_connection,
    "a mute mail server": _mute_mail_server,
}
"""The ways in which a destination can hang."""
