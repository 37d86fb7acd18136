"""The caller's side: submits documents and follows each job by its status URL until nothing of it is open."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
from account import Case

IN_FLIGHT = 16
WAIT_S = 30
PAUSE_S = 0.05  # between two looks, should the service answer at once although nothing has changed
CONTENT_TYPES = {
    ".pdf": "application/pdf",
    ".html": "text/html",
    ".htm": "text/html",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".csv": "text/csv",
}


class RefusedError(Exception):
    """The service gave an answer that ends a case; the message is the answer in short."""


async def process_all(url: str, cases: list[Case], moved: Callable[[], None]) -> None:
    """Bring every case to its end, at most 16 at a time; `moved` is called whenever one has come further.

    What the service refuses is noted in the case and stops nothing else.
    """
    timeout = aiohttp.ClientTimeout(total=2 * WAIT_S)
    queue = iter(cases)
    async with aiohttp.ClientSession(url, timeout=timeout) as session, asyncio.TaskGroup() as tasks:
        for _ in range(min(IN_FLIGHT, len(cases))):
            tasks.create_task(_work(session, queue, moved))


async def _work(session: aiohttp.ClientSession, queue: Iterator[Case], moved: Callable[[], None]) -> None:
    for case in queue:
        try:
            await _process(session, case, moved)
        except (RefusedError, OSError, aiohttp.ClientError, TimeoutError) as fault:
            case.problem = str(fault) if isinstance(fault, RefusedError) else f"{type(fault).__name__}: {fault}"
        moved()


async def _process(session: aiohttp.ClientSession, case: Case, moved: Callable[[], None]) -> None:
    """Submit one document, then follow its job: first to its final state, then until its deliveries are settled."""
    content = await asyncio.to_thread(case.path.read_bytes)
    started = time.perf_counter()
    location = await _submit(session, case, content)
    while not case.is_final:
        case.job = await _look(session, location, {"wait": str(WAIT_S)})
        await asyncio.sleep(0 if case.is_final else PAUSE_S)
    case.elapsed_s = time.perf_counter() - started
    moved()
    while not case.is_settled:
        case.job = await _look(session, location, {"wait": str(WAIT_S), "until": "settled"})
        await asyncio.sleep(0 if case.is_settled else PAUSE_S)


async def _submit(session: aiohttp.ClientSession, case: Case, content: bytes) -> str:
    """Post the document and return the job's status URL."""
    headers = {"content-type": CONTENT_TYPES.get(case.path.suffix.lower(), "application/octet-stream")}
    path = "/functions/extract-background"
    async with session.post(path, params={"name": case.name}, data=content, headers=headers) as answer:
        body = await _json(answer, 202)
        case.job_id, location = body.get("id"), answer.headers.get("location")
        if not case.job_id or not location:
            raise RefusedError("the 202 names no job or no status URL")
        return location


async def _look(session: aiohttp.ClientSession, location: str, params: dict[str, str]) -> dict[str, Any]:
    async with session.get(location, params=params) as answer:
        return await _json(answer, 200)


async def _json(answer: aiohttp.ClientResponse, expected: int) -> dict[str, Any]:
    """Return the answer's JSON object; an unexpected status raises RefusedError with the problem's detail."""
    body = await answer.json(content_type=None) if "json" in answer.content_type else {}
    if answer.status != expected:
        what = body.get("detail") or body.get("title") or answer.reason
        raise RefusedError(f"{answer.method} {answer.url.path} was answered with {answer.status}: {what}")
    if not isinstance(body, dict):
        raise RefusedError(f"{answer.method} {answer.url.path} was answered with JSON that is no object")
    return body
