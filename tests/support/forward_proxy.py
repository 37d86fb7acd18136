"""A forward proxy on a real socket: CONNECT and whole URLs in the first line, with Basic, and able to misbehave.

Every name leads to this machine.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.receiver import Received, Reply, answer, listening, read_request

CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass
class ForwardProxy:
    """Takes requests to anywhere; with `credentials` (`user:password`) only from who has them.

    `says`, where it is given, is all that it does about a request: bytes, or a function that writes.
    """

    credentials: str | None = None
    says: bytes | Reply | None = None
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    upstream: int = 0
    """How many connections it has made to receivers."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def name(self) -> str:
        return f"the proxy 127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        async with contextlib.AsyncExitStack() as stack:
            onward: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
            while True:
                request = await read_request(reader)
                self.requests.append(request)
                if self.says is not None:
                    await self._misbehave(writer)
                elif not self._may(request):
                    writer.write(answer(407, 'Proxy-Authenticate: Basic realm="proxy"\r\n', b"who are you?"))
                elif request.method == "CONNECT":
                    await self._tunnel(reader, writer, request)
                    return
                else:
                    parts = urlsplit(request.path)
                    assert parts.scheme == "http", f"no whole URL: {request.path}"
                    onward = onward or await self._connected(stack, parts.port or 80)
                    await _forward(request, f"{parts.path}?{parts.query}", onward, writer)

    def _may(self, request: Received) -> bool:
        if self.credentials is None:
            return True
        wanted = base64.b64encode(self.credentials.encode()).decode()
        return request.headers.get("proxy-authorization") == f"Basic {wanted}"

    async def _misbehave(self, writer: asyncio.StreamWriter) -> None:
        assert self.says is not None
        if callable(self.says):
            await self.says(writer)
        else:
            writer.write(self.says)
            await writer.drain()

    async def _connected(
        self, stack: contextlib.AsyncExitStack, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.upstream += 1
        stack.callback(writer.transport.abort)
        return reader, writer

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Received) -> None:
        async with contextlib.AsyncExitStack() as stack:
            inner, outer = await self._connected(stack, int(request.path.rpartition(":")[2]))
            writer.write(CONNECTED)
            ways = [asyncio.create_task(_pump(reader, outer)), asyncio.create_task(_pump(inner, writer))]
            try:
                await asyncio.wait(ways)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(2**16):
            writer.write(content)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()  # what one side ends, ends for the other


async def _forward(
    request: Received,
    path: str,
    onward: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    writer: asyncio.StreamWriter,
) -> None:
    reader, outer = onward
    kept = {name: value for name, value in request.headers.items() if not name.startswith("proxy-")}
    lines = [f"{request.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in kept.items())]
    outer.write("\r\n".join([*lines, "", ""]).encode() + request.body)
    head = await reader.readuntil(b"\r\n\r\n")
    sizes = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    writer.write(head + await reader.readexactly(int(sizes[0])))


@contextlib.asynccontextmanager
async def forward_proxy(
    *, credentials: str | None = None, says: bytes | Reply | None = None
) -> AsyncIterator[ForwardProxy]:
    """Have a proxy; afterwards nothing of it is left."""
    proxy = ForwardProxy(credentials=credentials, says=says)
    async with listening(proxy.serve) as port:
        proxy.port = port
        yield proxy
