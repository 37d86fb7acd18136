"""How connections end that are not kept: whatever the receiver does then, others are made in their place at once.

Most receivers here are stuck at some point: they read nothing any more, so that they never end TLS.
"""

import asyncio
import itertools
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from destinations.bodies.forms import RAW
from destinations.dial import connector
from destinations.dial.tls import Tls
from destinations.webhook.destination import Webhook
from pipeline.model import DeliveryReason, Outcome, Result, Verdict
from tests.support.certificates import HOST, showing
from tests.support.forward_proxy import forward_proxy
from tests.support.loops import LOOPS
from tests.support.pools import until
from tests.support.proxied import proxied, tls_of
from tests.support.receiver import OK, Serve, answer, listening, read_request
from tests.support.webhooks import SHORT_S, exchange_of, opened, sending

SLOTS = 2
SMALL = Result(status=200, headers=(), body=bytes(range(256)) * 200)
LARGE = Result(status=200, headers=(), body=bytes(40_000_000))
"""More than all sockets on the way take in, if nobody reads it."""


@dataclass(frozen=True)
class Way:
    """How a receiver is reached, and the loop on which that is."""

    scheme: str
    is_proxied: bool
    loop: Callable[[], asyncio.AbstractEventLoop]
    authority: trustme.CA
    ca: Path

    def run(self, test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=self.loop) as runner:
            runner.run(test)

    @asynccontextmanager
    async def to(self, serve: Serve) -> AsyncIterator[Webhook]:
        """Open a webhook with a few slots that leads to whoever serves."""
        tls = showing(self.authority.issue_cert(HOST)) if self.scheme == "https" else None
        async with listening(serve, tls=tls) as port, forward_proxy() as proxy:
            url, trusted = f"{self.scheme}://{HOST}:{port}/", tls_of(self.scheme, self.ca)
            by = proxied(proxy) if self.is_proxied else None
            async with opened(url, body=RAW, concurrency=SLOTS, tls=trusted, proxy=by) as destination:
                yield destination


@pytest.fixture(params=["http", "https", "https by a proxy"])
def way(
    request: pytest.FixtureRequest,
    loop: Callable[[], asyncio.AbstractEventLoop],
    authority: trustme.CA,
    ca: Path,
) -> Way:
    scheme, _, by = request.param.partition(" ")
    return Way(scheme, bool(by), loop, authority, ca)


def stuck_at_first(serve: Serve) -> Serve:
    """Serve each of the first connections so, and be stuck then; be well on all others."""
    count = itertools.count()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(count) < SLOTS:
            await serve(reader, writer)
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # typeshed has it as one that only writes
            await asyncio.Event().wait()
        while True:
            await read_request(reader)
            writer.write(OK)

    return served


async def reading_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be stuck from the start."""


async def begun(destination: Webhook, result: Result, count: int = SLOTS) -> list[asyncio.Task[Outcome]]:
    """Return attempts that have written all that sockets take."""
    attempts = [asyncio.create_task(destination.send(sending(result=result))) for _ in range(count)]
    connections = exchange_of(destination)._open
    await until(lambda: len([each for each in connections if each._room or result is SMALL]) == count)
    return attempts


async def assert_well(destination: Webhook) -> None:
    """Hold that more is delivered at once than there are slots."""
    outcomes = await asyncio.gather(*(destination.send(sending()) for _ in range(2 * SLOTS + 1)))
    assert {outcome.verdict for outcome in outcomes} == {Verdict.DELIVERED}, outcomes


# They keep no slot

SAID = {
    "nothing": b"",
    "a head": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    "that it closes": answer(200, "Connection: close\r\n", b"ok"),
    "an answer of old": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "too long a body": answer(200, body=b"y" * 70_000),
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "too much": OK + OK,
}


@LOOPS
@pytest.mark.parametrize("said", SAID)
def test_a_receiver_that_is_stuck_after_what_it_said_keeps_no_slot(
    said: str, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        asked = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            await read_request(reader)
            asked += 1
            writer.write(SAID[said])
            await writer.drain()

        async with way.to(stuck_at_first(serve)) as destination:
            with monkeypatch.context() as impatient:
                impatient.setattr(exchange_of(destination), "_timeout_s", SHORT_S)
                while asked < SLOTS:  # what was late with its connection has asked for nothing
                    await asyncio.gather(*(destination.send(sending()) for _ in range(SLOTS)))
            await assert_well(destination)

    way.run(test())


@LOOPS
@pytest.mark.parametrize("result", [SMALL, LARGE], ids=["sent", "unsent"])
def test_an_attempt_that_is_cancelled_keeps_no_slot(result: Result, way: Way) -> None:
    async def test() -> None:
        async with way.to(stuck_at_first(reading_nothing)) as destination:
            attempts = await begun(destination, result)
            for attempt in attempts:
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)
            await assert_well(destination)

    way.run(test())


@LOOPS
def test_a_connection_that_was_idle_for_long_keeps_no_slot(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "IDLE_S", 0.05)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)

    async def test() -> None:
        async with way.to(stuck_at_first(serve)) as destination:
            await asyncio.gather(*(destination.send(sending()) for _ in range(SLOTS)))
            await until(lambda: not exchange_of(destination)._open)
            await assert_well(destination)

    way.run(test())


@LOOPS
def test_a_connection_that_says_what_nobody_asked_for_keeps_no_slot(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "IDLE_S", 600.0)

    async def test() -> None:
        is_kept = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(OK)
            await is_kept.wait()
            writer.write(b"and another thing")

        async with way.to(stuck_at_first(serve)) as destination:
            await asyncio.gather(*(destination.send(sending()) for _ in range(SLOTS)))
            assert len(exchange_of(destination)._idle) == SLOTS
            is_kept.set()
            await until(lambda: not exchange_of(destination)._open)
            await assert_well(destination)

    way.run(test())


@LOOPS
@pytest.mark.parametrize("result", [SMALL, LARGE], ids=["sent", "unsent"])
def test_a_webhook_is_closed_whatever_is_under_way(result: Result, way: Way) -> None:
    async def test() -> None:
        async with way.to(stuck_at_first(reading_nothing)) as destination:
            attempts = await begun(destination, result)
            async with asyncio.timeout(30):
                await destination.close()
            outcomes = await asyncio.gather(*attempts)
        assert {outcome.reason for outcome in outcomes} == {DeliveryReason.CONNECTION_RESET}

    way.run(test())


# And in good order


class Late(threading.Thread):
    """A receiver of one connection over TLS that reads, to the end, only when it is told to; a blocking one.

    An end of the connection that is no end of TLS is an error there.
    """

    def __init__(self, context: ssl.SSLContext, says: bytes) -> None:
        super().__init__()
        self._listener = socket.create_server((HOST, 0))
        self._context = context
        self._says = says
        self.url = f"https://{HOST}:{self._listener.getsockname()[1]}/"
        self.may_read = threading.Event()
        self.received = b""
        self.error: OSError | None = None

    def run(self) -> None:
        with self._listener, self._listener.accept()[0] as accepted:
            accepted.settimeout(20)
            with self._context.wrap_socket(accepted, server_side=True, suppress_ragged_eofs=False) as secured:
                self.may_read.wait(20)
                try:
                    while piece := secured.recv(2**16):
                        self.received += piece
                        if self._says and self.received.endswith(SMALL.body):
                            secured.sendall(self._says)
                except OSError as error:
                    self.error = error


@LOOPS
@pytest.mark.parametrize(
    "says", [b"", OK, answer(200, "Connection: close\r\n")], ids=["cancelled", "idle", "that it closes"]
)
def test_what_was_sent_is_received_whole_and_the_end_of_tls_is_said(
    says: bytes,
    loop: Callable[[], asyncio.AbstractEventLoop],
    authority: trustme.CA,
    ca: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connector, "IDLE_S", 0.05)
    receiver = Late(showing(authority.issue_cert(HOST)), says)

    async def test() -> None:
        async with opened(receiver.url, body=RAW, concurrency=1, tls=Tls(ca=ca)) as destination:
            (attempt,) = await begun(destination, SMALL, count=1)
            if says:
                receiver.may_read.set()
                assert (await attempt).verdict is Verdict.DELIVERED
            else:
                attempt.cancel()
            await until(lambda: not exchange_of(destination)._open)

    receiver.start()
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(test())
    finally:
        receiver.may_read.set()
        receiver.join(30)
    assert receiver.received.endswith(b"\r\n\r\n" + SMALL.body)
    assert receiver.error is None
