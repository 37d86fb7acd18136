"""The caller's side: submits documents and follows each job by its status URL until nothing of it is open."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import aiohttp
from account import FINAL_STATES, Case, Found

T = TypeVar("T")

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


class Patience:
    """How to take it that the service does not answer: a fault, or, where it is killed on purpose, ask again."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.unanswered = 0
        """Submissions that had no answer, and were sent again with the same key."""

    async def ask(self, question: Callable[[], Awaitable[T]], *, is_submission: bool = False) -> T:
        """Ask until there is an answer, for so many seconds."""
        until = time.monotonic() + self.seconds
        while True:
            try:
                return await question()
            except aiohttp.ClientConnectionError as fault:
                if time.monotonic() >= until:
                    raise
                # Where there was no connection nothing was sent, and nothing can have been lost.
                self.unanswered += is_submission and not isinstance(fault, aiohttp.ClientConnectorError)
            await asyncio.sleep(PAUSE_S)


async def process_all(url: str, cases: list[Case], moved: Callable[[], None], patience: Patience | None = None) -> None:
    """Bring every case to its end, at most 16 at a time; `moved` is called whenever one has come further.

    What the service refuses is noted in the case and stops nothing else.
    """
    patience = patience or Patience()
    queue = iter(cases)
    async with _session(url) as session, asyncio.TaskGroup() as tasks:
        for _ in range(min(IN_FLIGHT, len(cases))):
            tasks.create_task(_work(session, queue, moved, patience))


async def search(url: str, case: Case) -> Found:
    """Search the index for the word that one document has most often."""
    async with _session(url) as session:
        result = await _look(session, f"/v1/jobs/{case.job_id}/result", {})
        words = [term["term"] for term in result["terms"]] or [result["title"] or ""]
        found = await _look(session, "/functions/search", {"q": words[0]})
    names = [hit["name"] for hit in found["hits"]]
    return Found(query=found["query"], names=names, entries=found["entries"], documents=found["documents"])


def _session(url: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=2 * WAIT_S))


async def _work(
    session: aiohttp.ClientSession, queue: Iterator[Case], moved: Callable[[], None], patience: Patience
) -> None:
    for case in queue:
        try:
            await _process(session, case, moved, patience)
        except (RefusedError, OSError, aiohttp.ClientError, TimeoutError) as fault:
            case.problem = str(fault) if isinstance(fault, RefusedError) else f"{type(fault).__name__}: {fault}"
        moved()


async def _process(session: aiohttp.ClientSession, case: Case, moved: Callable[[], None], patience: Patience) -> None:
    """Submit one document, then follow its job: to its final state, until its deliveries are settled, and its children
    to their ends.
    """
    content = await asyncio.to_thread(case.path.read_bytes)
    started = time.perf_counter()

    async def look(path: str, **params: str) -> dict[str, Any]:
        return await patience.ask(lambda: _look(session, path, params))

    location = await patience.ask(lambda: _submit(session, case, content), is_submission=True)
    while not case.is_final:
        case.job = await look(location, wait=str(WAIT_S))
        await asyncio.sleep(0 if case.is_final else PAUSE_S)
    case.elapsed_s = time.perf_counter() - started
    moved()
    while not case.is_settled:
        case.job = await look(location, wait=str(WAIT_S), until="settled")
        await asyncio.sleep(0 if case.is_settled else PAUSE_S)
    for child in (await look("/v1/jobs", parent=str(case.job_id)))["items"]:
        while child["state"] not in FINAL_STATES:
            child = await look(f"/v1/jobs/{child['id']}", wait=str(WAIT_S))  # noqa: PLW2901 - the same job, later
        case.children.append(child)


async def _submit(session: aiohttp.ClientSession, case: Case, content: bytes) -> str:
    """Post the document and return the job's status URL."""
    headers = {
        "content-type": CONTENT_TYPES.get(case.path.suffix.lower(), "application/octet-stream"),
        # Sent again after an answer that was lost, the same document is the same job.
        "idempotency-key": case.key,
    }
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
