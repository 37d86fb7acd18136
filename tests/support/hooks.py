"""A receiver of webhooks in a thread of its own: fast, on a raw socket, and it keeps every byte that came."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.ports import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

Answering = Callable[["Hook"], int | None]
"""What a receiver says to a webhook: a status; None says nothing and keeps the connection."""


@dataclass(slots=True, kw_only=True)
class Hook:
    """One webhook as it came in; header names in lower case. `status` is what it was answered, None for nothing."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.time)
    status: int | None = None

    @property
    def id(self) -> str:
        """Return its webhook-id."""
        return self.headers.get("webhook-id", "")

    @property
    def job_id(self) -> str:
        """Return the id of the job that it tells of."""
        return self.headers.get("x-sendoff-job-id", "")


class Receiver:
    """Listens on one port of 127.0.0.1 while it is up, and answers each webhook as `answering` says, after a while."""

    def __init__(self, answering: Answering = lambda _: 200, after_s: float = 0.0) -> None:
        self.port = free_port()
        self.hooks: list[Hook] = []
        self.answering = answering
        self.after_s = after_s
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Transport] = set()

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Hook]:
        """Return what came to a path so far."""
        return [hook for hook in self.hooks if hook.path == path]

    def up(self) -> None:
        """Listen."""
        self._do(self._listen())

    def down(self) -> None:
        """Listen no more, and break off what is open."""
        self._do(self._close())

    def _do(self, coroutine: "asyncio._CoroutineLike[None]") -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(lambda: _Connection(self, self._open), "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for transport in list(self._open):
            transport.abort()

    def serve(self) -> None:
        """Run the thread's loop until it is stopped."""
        self._loop.run_forever()
        self._loop.close()

    def end(self) -> None:
        """Stop the thread's loop."""
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)


@contextmanager
def receiving(answering: Answering = lambda _: 200, *, after_s: float = 0.0) -> Iterator[Receiver]:
    """Have a receiver that is up; afterwards nothing of it is left."""
    receiver = Receiver(answering, after_s)
    thread = threading.Thread(target=receiver.serve, name="webhooks")
    thread.start()
    try:
        receiver.up()
        yield receiver
    finally:
        receiver.end()
        thread.join()


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver, connections: set[asyncio.Transport]) -> None:
        self._receiver = receiver
        self._connections = connections
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (hook := self._next()) is not None:
            hook.status = self._receiver.answering(hook)
            self._receiver.hooks.append(hook)
            if hook.status is not None:
                said = b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n" % hook.status
                asyncio.get_running_loop().call_later(self._receiver.after_s, self._transport.write, said)

    def _next(self) -> Hook | None:
        head, end, rest = self._held.partition(b"\r\n\r\n")
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        size = int(headers.get("content-length", "0"))
        if len(rest) < size:
            return None
        self._held = rest[size:]
        return Hook(path=first.split(" ")[1], headers=headers, body=rest[:size])
