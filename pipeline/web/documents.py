"""Small JSON documents as the bodies of requests: read within bounds, strict, and held against their schema."""

from typing import Any

from aiohttp import web

from pipeline import strictjson
from pipeline.errors import BadJsonError, BodyTooLargeError
from pipeline.web.fitting import Misfit, misfits, pointer, refusal
from pipeline.web.problems import ProblemError, other_type
from pipeline.web.timely import timely

_MOST = 64 * 1024


async def read(request: web.Request, shape: str) -> dict[str, Any]:
    """Return the JSON object that the body is, which has that shape; no body is an empty one.

    Raises the 400 that names every field at fault, the 413 for a body that is too long, the 415 for another type.
    """
    body = await _body(request)
    if body and request.content_type != "application/json":
        raise other_type(request, "application/json")
    try:
        value = strictjson.parse(body) if body else {}
    except (BadJsonError, UnicodeDecodeError) as error:
        raise ProblemError(400, "Bad JSON", f"expected a JSON document: {error}") from None
    if found := misfits(shape, value):
        raise refusal(found)
    document: dict[str, Any] = value
    return document


def refused(detail: str, field: str) -> ProblemError:
    """Return the 400 for a field of a document."""
    return refusal([Misfit(path=field, pointer=pointer((field,)), detail=detail)])


async def _body(request: web.Request) -> bytes:
    pieces, size = [], 0
    while piece := await timely(request, request.content.readany()):
        size += len(piece)
        if size > _MOST:
            raise BodyTooLargeError(f"the document is longer than {_MOST} bytes")
        pieces.append(piece)
    return b"".join(pieces)
