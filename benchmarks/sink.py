"""A receiver that does as little as possible: a raw protocol that answers every request with 200.

    python sink.py

It prints its port in one line, and ends when its standard input does. Bodies must come with a Content-Length.
"""

import asyncio
import sys

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LENGTH = b"\r\ncontent-length:"


class Sink(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._end_of_first()) is not None:
            self._received = self._received[end:]
            self._transport.write(ANSWER)

    def _end_of_first(self) -> int | None:
        """Return where the first request ends, or None while it is not whole."""
        body_at = self._received.find(b"\r\n\r\n") + 4
        if body_at < 4:
            return None
        head = self._received[:body_at].lower()
        length_at = head.index(LENGTH) + len(LENGTH)
        end = body_at + int(head[length_at : head.index(b"\r\n", length_at)])
        return end if len(self._received) >= end else None


async def serve() -> None:
    """Answer until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve())
