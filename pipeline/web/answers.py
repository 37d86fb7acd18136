"""Small pieces that the resource files share: JSON answers, ETags, pages of a list."""

from collections.abc import Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import Any

import orjson
from aiohttp import web

from pipeline.functions import wire
from pipeline.ids import is_id, made_at
from pipeline.model import Result
from pipeline.web.parameters import CURSOR
from pipeline.web.parts import PARTS, base_url
from pipeline.web.problems import ProblemError

_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}
UNTYPED = web.ResponseKey("untyped", bool)
"""Marks an answer that must go out without a Content-Type."""


def json_answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return `value` as JSON."""
    return web.Response(status=status, body=orjson.dumps(value), headers=_JSON | headers if headers else _JSON)


def replay(result: Result) -> web.Response:
    """Return a function's result as the answer that it describes: its status, its headers, its bytes, and no type of
    our own.
    """
    response = web.Response(status=result.status, body=result.body)
    for name, value in wire.answer_headers(result):
        response.headers.add(name, value)
    if result.content_type is None:
        response[UNTYPED] = True
    return response


def etag_of(body: bytes) -> str:
    """Return a strong ETag over exactly these bytes."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def is_match(request: web.Request, tag: str) -> bool:
    """Tell whether the request's If-None-Match names this tag."""
    named = request.headers.get("If-None-Match")
    if named is None:
        return False
    return named.strip() == "*" or tag in [part.strip().removeprefix("W/") for part in named.split(",")]


def page(request: web.Request, items: Sequence[Any], limit: int, last: str) -> web.Response:
    """Return a page of a list; `items` holds one more than `limit` where there is a next page, which starts after
    `last`.
    """
    if len(items) <= limit:
        return json_answer({"items": list(items), "next_cursor": None})
    following = request.rel_url.update_query({CURSOR.name: last})
    link = f"<{base_url(request, request.app[PARTS])}{following}>; rel=next"
    return json_answer({"items": list(items[:limit]), "next_cursor": last}, headers={"Link": link})


def not_there(request: web.Request, what: str, identifier: str) -> ProblemError:
    """Return the 404 for an id that is unknown, or the 410 for one so old that it may have been pruned."""
    parts = request.app[PARTS]
    keep = parts.config.service.retention
    if is_id(identifier):
        oldest = parts.clock.now() - timedelta(seconds=min(keep.succeeded, keep.failed, keep.dead))
        if made_at(identifier) < oldest:
            return ProblemError(410, "Gone", f"{what} {identifier} is older than the retention")
    return ProblemError(404, "Not found", f"there is no {what} {identifier}")
