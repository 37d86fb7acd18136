"""Ten thousand documents of this machine through `sendoff batch`, and polls of another job meanwhile."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP
from of_status import SENDOFF, serving
from timing import Row, Stopwatch

FUNCTIONS = Path(__file__).parents[1] / "examples" / "documents" / "functions"
SINK = Path(__file__).with_name("sink.py")
FOLDERS = ("/usr/share/doc", "/usr/share", "/usr/lib")
TYPES = {".pdf": ".pdf", ".html": ".html"} | dict.fromkeys((".txt", ".md", ".rst", ".py", ".h", ".pl", ".pm"), ".txt")
LARGEST = 2**20
MANY, FEW = 10_000, 50
PAUSE_S = 0.005
CONFIG = """
functions:
  directory: {functions}
  settings:
    extract-background: {{on_success: [hook], on_batch: [hook, post]}}
destinations:
  hook: {{type: webhook, url: "http://127.0.0.1:{sink}/"}}
  post: {{type: email, smtp: "smtp://127.0.0.1:{mail}", from: bench@example.com, to: [ops@example.com]}}
"""


async def of_batch(folder: Path, stopwatch: Stopwatch) -> list[Row]:
    """Measure one batch, from the start of the command to the mail that tells of its end."""
    documents = _linked(folder / "documents", MANY if stopwatch.seconds >= 1 else FEW)
    mails: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    mailbox = await loop.create_server(lambda: SMTP(_Mailbox(mails), hostname="localhost", loop=loop), "127.0.0.1", 0)
    sink = await asyncio.create_subprocess_exec(sys.executable, SINK, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert sink.stdin is not None
    assert sink.stdout is not None
    ports = {"sink": int(await sink.stdout.readline()), "mail": mailbox.sockets[0].getsockname()[1]}
    (folder / "sendoff.yaml").write_text(CONFIG.format(functions=FUNCTIONS, **ports))
    try:
        async with serving(folder) as port:
            return await _measured(port, documents, folder / "results.ndjson", mails)
    finally:
        sink.stdin.close()
        await sink.wait()
        mailbox.close()


async def _measured(port: int, documents: list[Path], results: Path, mails: "asyncio.Queue[str]") -> list[Row]:
    is_over = asyncio.Event()
    polling = asyncio.create_task(asyncio.to_thread(_polled, port, is_over))
    began = time.perf_counter()
    arguments = ("--files-from", "-", "--results", results, "--url", f"http://127.0.0.1:{port}")
    command = await asyncio.create_subprocess_exec(
        SENDOFF, "batch", "extract-background", *arguments,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    await command.communicate("\n".join(map(str, documents)).encode("utf-8", "surrogateescape"))
    took = time.perf_counter() - began
    subject = await asyncio.wait_for(mails.get(), 60)
    mailed = time.perf_counter() - began
    is_over.set()
    lags = sorted(await polling)
    lines = len((await asyncio.to_thread(results.read_bytes)).splitlines())
    p50, p99 = (1000 * lags[int(len(lags) * part)] for part in (0.5, 0.99))
    return [
        Row(
            name="batch: documents",
            per_second=lines / took,
            note=f"{lines:,} results, exit code {command.returncode}; mail after {mailed:.1f} s: {subject}",
        ),
        Row(
            name="batch: status of another job meanwhile",
            per_second=len(lags) / mailed,
            note=f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {1000 * lags[-1]:.1f} ms",
        ),
    ]


def _polled(port: int, is_over: asyncio.Event) -> list[float]:
    """Return how long each answer took, in seconds."""
    connection = HTTPConnection("127.0.0.1", port)

    def ask(method: str, path: str, **options: Any) -> Any:
        connection.request(method, path, **options)
        return json.loads(connection.getresponse().read())

    job = ask("POST", "/functions/index-background", body="{}", headers={"X-Job-Delay": "1h"})
    lags = []
    while not is_over.is_set():
        began = time.perf_counter()
        ask("GET", f"/v1/jobs/{job['id']}")
        lags.append(time.perf_counter() - began)
        time.sleep(PAUSE_S)
    return lags


def _linked(folder: Path, count: int) -> list[Path]:
    """Return links to so many files with text in them, or to as many as there are; sources are text, too."""
    folder.mkdir()
    links = []
    for number, path in enumerate(islice(_documents(), count)):
        links.append(folder / f"{number:05d}-{path.stem}{TYPES[path.suffix]}")
        links[-1].symlink_to(path)
    return links


def _documents() -> Iterator[Path]:
    seen: set[Path] = set()
    for folder in FOLDERS:
        for at, _, names in os.walk(folder):
            for path in (Path(at, name) for name in sorted(names)):
                if path.suffix in TYPES and path not in seen and path.is_file() and path.stat().st_size <= LARGEST:
                    seen.add(path)
                    yield path


class _Mailbox:
    def __init__(self, mails: "asyncio.Queue[str]") -> None:
        self._mails = mails

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        head = envelope.content.decode("utf-8", "replace").splitlines()
        self._mails.put_nowait(next(line for line in head if line.startswith("Subject: ")).removeprefix("Subject: "))
        return "250 kept"
