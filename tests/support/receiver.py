"""A webhook receiver on a real socket that says exactly the bytes it is told to, however broken."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Received:
    """One request as it came in; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    header_names: list[str]


Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """Answers each request with the next of `replies`, the last one for ever: bytes, or a function that writes."""

    replies: list[bytes | Reply]
    port: int = 0
    scheme: str = "http"
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    open: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hooks?a=1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        task.add_done_callback(self.open.discard)
        while True:
            self.requests.append(await read_request(reader))
            await self._reply(writer)

    async def abandoned(self) -> None:
        """Return when the sender has closed every connection that it made."""
        async with asyncio.timeout(10):
            while self.open:
                await asyncio.wait(self.open)

    async def _reply(self, writer: asyncio.StreamWriter) -> None:
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        if callable(reply):
            await reply(writer)
        else:
            writer.write(reply)
            await writer.drain()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(serve: Serve, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve each connection to a free port of 127.0.0.1, which is given; afterwards nothing of it is left."""
    tasks: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(served(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def receiving(*replies: bytes | Reply, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Have a receiver that answers with `replies`; afterwards nothing of it is left."""
    receiver = Receiver(replies=list(replies) or [OK], scheme="https" if tls else "http")
    async with listening(receiver.serve, tls=tls) as port:
        receiver.port = port
        yield receiver


async def read_request(reader: asyncio.StreamReader) -> Received:
    """Read one request; IncompleteReadError at the end of the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method=method, path=path, headers=headers, body=body, header_names=[name for name, _ in pairs])


def answer(status: int, headers: str = "", body: bytes = b"") -> bytes:
    """Return an answer with these header lines (each with its line break) and a Content-Length."""
    return f"HTTP/1.1 {status} Said\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def silence(writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close without an answer."""
    writer.close()
    await writer.wait_closed()


def drip(content: bytes, every_s: float) -> Reply:
    """Answer one byte at a time."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        for number in range(len(content)):
            writer.write(content[number : number + 1])
            await writer.drain()
            await asyncio.sleep(every_s)

    return reply


def then(first: bytes, end: Callable[[asyncio.StreamWriter], None]) -> Reply:
    """Answer with `first`, then do `end` to the connection."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await writer.drain()
        end(writer)

    return reply


@dataclass
class Flood:
    """Answers with `head`, then with `unit` again and again up to `most` bytes, and counts what was taken of them."""

    head: bytes
    unit: bytes
    most: int = 10**9
    taken: int = 0

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        """Write until the sender goes away."""
        writer.write(self.head)
        while self.taken < self.most:
            writer.write(self.unit)
            await writer.drain()
            self.taken += len(self.unit)
