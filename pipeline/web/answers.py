"""Small pieces that the resource files share: JSON answers, ETags, pages of a list, query parameters."""

import base64
import binascii
from collections.abc import Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import Any

import orjson
from aiohttp import web

from pipeline.functions import wire
from pipeline.ids import first_id_at, is_id, made_at
from pipeline.model import Result
from pipeline.shapes import moment_of
from pipeline.web.parts import PARTS, base_url
from pipeline.web.problems import ProblemError

_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}
DEFAULT_LIMIT, MOST = 50, 500
_FIRST_YEAR = 1970  # ids know no time before it
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
    named = request.headers.get("If-None-Match", "")
    return named.strip() == "*" or tag in [part.strip().removeprefix("W/") for part in named.split(",")]


def whole_number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    """Return a whole number from the query, or raise a 400 that names the parameter and what it takes."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise bad_parameter(name, f"expected a whole number from {least} to {most}, got {text!r}")
    return int(text)


def bad_parameter(name: str, detail: str) -> ProblemError:
    """Return the 400 for a parameter of the query."""
    return ProblemError(400, "Bad parameter", f"{name}: {detail}", errors=[{"detail": detail, "parameter": name}])


def cursor(request: web.Request) -> str | None:
    """Return what the `cursor` parameter stands for, or None where there is none."""
    text = request.query.get("cursor")
    if text is None:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        raise bad_parameter("cursor", "expected a next_cursor of an earlier answer") from None


def id_cursor(request: web.Request) -> str | None:
    """Return the id that the cursor stands for."""
    found = cursor(request)
    if found is not None and not is_id(found):
        raise bad_parameter("cursor", "expected a next_cursor of an earlier answer")
    return found


def since(request: web.Request, name: str) -> str | None:
    """Return the least id that anything made at or after a moment in the query has, or None where there is none."""
    text = request.query.get(name)
    if text is None:
        return None
    at = moment_of(text.replace(" ", "+"))  # a + that was not percent-encoded
    if at is None or at.year < _FIRST_YEAR:
        raise bad_parameter(name, f"expected a moment with its offset such as 2026-01-05T12:00:00Z, got {text!r}")
    return first_id_at(at)


def number_cursor(request: web.Request) -> int:
    """Return the number that the cursor stands for, 0 where there is none."""
    found = cursor(request) or "0"
    if not (found.isdigit() and len(found) < 18):
        raise bad_parameter("cursor", "expected a next_cursor of an earlier answer")
    return int(found)


def page(request: web.Request, items: Sequence[Any], limit: int, last: str) -> web.Response:
    """Return a page of a list; `items` holds one more than `limit` where there is a next page, which starts after
    `last`.
    """
    if len(items) <= limit:
        return json_answer({"items": list(items), "next_cursor": None})
    token = base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")
    following = request.rel_url.update_query(cursor=token)
    link = f"<{base_url(request)}{following}>; rel=next"
    return json_answer({"items": list(items[:limit]), "next_cursor": token}, headers={"Link": link})


def choice(request: web.Request, name: str, known: Sequence[str]) -> str | None:
    """Return a parameter that takes one of a few words."""
    text = request.query.get(name)
    if text is not None and text not in known:
        raise bad_parameter(name, f"expected one of {', '.join(known)}, got {text!r}")
    return text


def not_there(request: web.Request, what: str, identifier: str) -> ProblemError:
    """Return the 404 for an id that is unknown, or the 410 for one so old that it may have been pruned."""
    parts = request.app[PARTS]
    keep = parts.config.service.retention
    if is_id(identifier):
        oldest = parts.clock.now() - timedelta(seconds=min(keep.succeeded, keep.failed, keep.dead))
        if made_at(identifier) < oldest:
            return ProblemError(410, "Gone", f"{what} {identifier} is older than the retention")
    return ProblemError(404, "Not found", f"there is no {what} {identifier}")
