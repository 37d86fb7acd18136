"""Log lines of a job that may still run: those that are stored, and behind them those of the running run; as a page, or
as a stream that goes on until the job ends.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from aiohttp import web

from pipeline.functions.tail import Tail
from pipeline.model import Job, JobState, LogLine
from pipeline.web import views
from pipeline.web.parameters import MOST
from pipeline.web.parts import PARTS, Parts

KEEPALIVE_S = 15.0
"""After so long without a line an empty one is sent, which shows whether the reader is still there."""
PATIENCE_S = 30.0
"""A reader that takes nothing for so long is cut off."""
_TYPE = "application/x-ndjson"


async def running_lines(parts: Parts, job: Job, after: int, most: int) -> list[LogLine]:
    """Return up to `most` lines above the number `after` that the job's running run has written so far."""
    if job.state is not JobState.RUNNING or most <= 0:
        return []
    tail = parts.pool.tail_of(job.function, job.id)
    if tail is None or tail.run != job.run or (start := await _start_of(parts, job.id, tail)) is None:
        return []
    found: list[LogLine] = []
    while len(found) < most and (lines := tail.read(after + 1 - start)) is not None:
        found += _numbered(lines, tail, start)
    return found[:most]


async def last_lines(parts: Parts, job: Job, most: int) -> list[LogLine]:
    """Return the last `most` lines that the job's runs have written so far."""
    number, _ = await parts.store.log_end(job.id)
    found = await parts.store.list_log(job.id, after=max(number - 1 - most, 0), most=most)
    found += await running_lines(parts, job, number - 1, sys.maxsize)
    return found[-most:]


async def _start_of(parts: Parts, job_id: str, tail: Tail) -> int | None:
    """Return the number of the run's first line; None where its lines are stored already, which ends its tail."""
    start, last_run = await parts.store.log_end(job_id)
    return start if last_run < tail.run else None


def _numbered(lines: Sequence[tuple[int, tuple[Any, ...]]], tail: Tail, start: int) -> list[LogLine]:
    return [
        LogLine(number=start + count, run=tail.run, at=at, stream=stream, level=level, text=text)
        for count, (at, stream, level, text) in lines
    ]


async def stream(request: web.Request, job_id: str, after: int) -> web.StreamResponse:
    """Answer with the lines above the number `after`, a JSON object a line, until the job has ended."""
    return await streamed(request, _TYPE, _pieces(request.app[PARTS], job_id, after))


async def _pieces(parts: Parts, job_id: str, after: int) -> AsyncGenerator[bytes, None]:
    async with aclosing(lines_of(parts, job_id, after)) as found:
        async for lines in found:
            yield b"".join([orjson.dumps(views.log_line(line)) + b"\n" for line in lines]) or b"\n"


async def streamed(request: web.Request, content_type: str, pieces: AsyncGenerator[bytes, None]) -> web.StreamResponse:
    """Answer with the pieces as they come; a reader that takes none for PATIENCE_S, or has gone, is cut off."""
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return web.Response(headers=headers)
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                async with asyncio.timeout(PATIENCE_S):
                    await response.write(piece)
        await response.write_eof()
    except (ConnectionError, TimeoutError):
        # Nobody reads any more. An orderly end would wait for the reader, too.
        if request.transport is not None:
            request.transport.abort()
    return response


async def lines_of(parts: Parts, job_id: str, after: int) -> AsyncGenerator[list[LogLine], None]:
    """Yield a job's lines above the number `after`, as they come, until it has ended; none where there are none yet,
    every KEEPALIVE_S.
    """
    watches = parts.pool.watches
    with parts.changes.subscribe(job_id) as changes, watches.open(job_id, changes.event) as watch:
        while True:
            # Its state first: what has ended by now has all its lines stored by now.
            view = await parts.store.get_job(job_id)
            if view is None:
                return
            while lines := await parts.store.list_log(job_id, after=after, most=MOST):
                after = lines[-1].number
                yield lines
            if view.job.state.is_final or watches.is_closed:
                return
            if watch.tail is None:
                watch.attach(parts.pool.tail_of(view.job.function, job_id))
            tail = watch.tail
            if tail is not None and tail.run != view.job.run:
                tail = None  # of a later run: the lines of the one before may not have been read yet
            start = tail and await _start_of(parts, job_id, tail)
            is_live = True
            while is_live:
                while tail is not None and start and (read := tail.read(after + 1 - start)) is not None:
                    if lines := _numbered(read, tail, start):
                        after = lines[-1].number
                        yield lines
                if not await changes.next(KEEPALIVE_S):
                    yield []
                # Woken without news of the run: then it is the job that has some.
                is_live = tail is not None and bool(start) and tail.has_news
