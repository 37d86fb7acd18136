"""Reading a request's body while its sender keeps sending: each wait is bounded in time."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiohttp import web

from pipeline.web.parts import PARTS
from pipeline.web.problems import ProblemError

T = TypeVar("T")


async def timely(request: web.Request, reading: Awaitable[T]) -> T:
    """Return what comes of reading from the request, if that comes in time; raises the 408 or the 400 that says what
    went wrong.
    """
    seconds = request.app[PARTS].config.service.body_timeout
    try:
        async with asyncio.timeout(seconds):
            return await reading
    except ConnectionError:
        raise ProblemError(400, "Upload cut off", "the connection broke off before all had come") from None
    except TimeoutError:
        detail = f"nothing came for {seconds:g} s; send it again, a batch with the same Idempotency-Key to go on"
        raise ProblemError(408, "Request timeout", detail, headers={"Connection": "close"}) from None
