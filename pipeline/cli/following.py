"""Follows a job to its end, over restarts of the service, and shows it on the way."""

import asyncio
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

from pipeline.cli.client import Client
from pipeline.cli.commands.logs import Seen, followed, stored
from pipeline.cli.failures import CommandError
from pipeline.cli.patience import Patience
from pipeline.cli.refusals import parsed, refusal
from pipeline.cli.screen import words
from pipeline.cli.screen.job_live import JobLive
from pipeline.clock import SystemClock

_WAIT_S = 30
_PAUSE_S = 0.1
"""Between two looks, for a function that tells of its progress without a pause."""
_LINES = 5


async def follow(client: Client, job: Any, live: JobLive, *, is_settling: bool) -> Any:
    """Return the job as it is at its end, or, where `is_settling`, once nothing is owed to any destination any more."""
    live.show(job)
    if _is_over(job, is_settling=is_settling):
        return job
    lines = asyncio.create_task(_lines(client, job["id"], live)) if live.is_drawn else None
    try:
        return await _until_over(client, job["id"], live, is_settling=is_settling)
    finally:
        if lines is not None:
            lines.cancel()
            with suppress(asyncio.CancelledError, CommandError):
                await lines


async def _until_over(client: Client, job_id: str, live: JobLive, *, is_settling: bool) -> Any:
    clock = SystemClock()
    patience = Patience(clock, live.trouble)
    tag = ""
    while True:
        job, tag = await patience.ask(partial(_look, client, job_id, tag))
        if job is not None:
            live.show(job)
            if _is_over(job, is_settling=is_settling):
                return job
        await clock.sleep(_PAUSE_S)


async def _look(client: Client, job_id: str, tag: str) -> tuple[Any | None, str]:
    """Return the job once it is not as it was at `tag` any more, or None, and its tag."""
    headers = {"If-None-Match": tag} if tag else {}
    query = {"wait": _WAIT_S} if tag else {}
    answer = await client.ask("GET", f"/v1/jobs/{job_id}", query=query, headers=headers)
    if answer.status == 304:
        return None, tag
    if answer.status != 200:
        raise refusal(answer, client.address)
    return parsed(answer, client.address), answer.headers.get("etag", "")


def _is_over(job: Any, *, is_settling: bool) -> bool:
    is_open = any(job["deliveries"][state] for state in words.OPEN_DELIVERIES)
    return job["state"] in words.FINAL and not (is_settling and is_open)


async def _lines(client: Client, job_id: str, live: JobLive) -> None:
    seen = Seen()
    async with aclosing(stored(client, job_id, last=_LINES)) as lines:
        async for line in lines:
            if seen.is_new(line):
                live.add_line(line)
    async with aclosing(followed(client, job_id, seen, lambda _: None)) as more:
        async for line in more:
            live.add_line(line)
