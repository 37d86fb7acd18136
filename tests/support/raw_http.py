"""Requests as bytes, for what no client would send."""

import asyncio
import contextlib

from tests.support.service import Service


async def raw(service: Service, *lines: str, body: bytes = b"", host: str | None = None) -> bytes:
    """Send a request byte by byte as it is written, and return the answer, which has a Content-Length."""
    port = service.app.config.service.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = [lines[0], f"Host: {host or f'127.0.0.1:{port}'}", *lines[1:], "", ""]
    writer.write("\r\n".join(sent).encode("latin-1") + body)
    try:
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return head + await reader.readexactly(int(length.partition(b":")[2]))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
