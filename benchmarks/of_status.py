"""Status polls: GET /v1/jobs/{id} of a real service over 64 connections, beside a bare handler with the same bytes."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from samples import FUNCTION, SOURCE
from timing import CALLERS, Row, Stopwatch

SENDOFF = Path(sys.executable).with_name("sendoff")
BARE = Path(__file__).with_name("bare.py")
ROUNDS = 3


async def of_status(folder: Path, stopwatch: Stopwatch) -> list[Row]:
    """Measure both in turn, three times; the ratio is that of the medians."""
    (folder / "functions").mkdir()
    (folder / "functions" / f"{FUNCTION}.py").write_text(SOURCE)
    async with serving(folder) as port:
        path, body = await asyncio.to_thread(_ended_job, port)
        (folder / "body").write_bytes(body)
        async with _bare(folder / "body") as bare_port:
            rates: dict[int, list[float]] = {port: [], bare_port: []}
            for _ in range(ROUNDS):
                for each, found in rates.items():
                    found.append(await poll(each, path, stopwatch.seconds))
    ours, bare = (sorted(found)[ROUNDS // 2] for found in rates.values())
    return [
        Row(name="status: polls of a bare aiohttp handler", per_second=bare, note=f"{CALLERS} connections"),
        Row(name="status: GET /v1/jobs/{id}", per_second=ours, note=f"ratio {ours / bare:.2f} to the bare handler"),
    ]


class Poller(asyncio.Protocol):
    """One connection that asks again as soon as it has the answer."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received = bytearray()
        self._size = 0
        self.answers = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._size:  # every answer is as long as the first
            head, found, _ = bytes(self._received).partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 200"), head
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            self._size = len(head) + 4 + int(length.partition(b":")[2])
        if len(self._received) >= self._size:
            del self._received[: self._size]
            self.answers += 1
            self._transport.write(self._request)


async def poll(port: int, path: str, seconds: float) -> float:
    """Return how many answers a second came over all connections."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Poller(request), "127.0.0.1", port) for _ in range(CALLERS)]
    before, began = sum(poller.answers for _, poller in made), time.perf_counter()
    await asyncio.sleep(seconds)
    rate = (sum(poller.answers for _, poller in made) - before) / (time.perf_counter() - began)
    for transport, _ in made:
        transport.close()
    return rate


def _ended_job(port: int) -> tuple[str, bytes]:
    base = f"http://127.0.0.1:{port}"
    submitted = urlopen(Request(f"{base}/functions/{FUNCTION}", b'{"text": "a few words"}'))
    path = f"/v1/jobs/{json.loads(submitted.read())['id']}"
    return path, urlopen(f"{base}{path}?wait=30").read()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[int]:
    """Run a service in a folder, on the port that this yields."""
    process = await asyncio.create_subprocess_exec(
        SENDOFF, "serve", "--port", "0", cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stderr is not None
    try:
        while b"service.started" not in (line := await process.stderr.readline()):
            assert line, "the service did not start"
        unread = asyncio.create_task(process.stderr.read())
        yield int(line.partition(b"url=http://127.0.0.1:")[2].split()[0])
        process.terminate()
        await unread
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def _bare(body: Path) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, BARE, body, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()
