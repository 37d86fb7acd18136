"""Small JSON documents as the bodies of requests: read within bounds, strict, and held against their schema."""

from functools import cache
from typing import Any

from aiohttp import web
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry

from pipeline import strictjson
from pipeline.errors import BadJsonError, BodyTooLargeError
from pipeline.web.problems import ProblemError
from pipeline.web.uploads import timely
from schemas import load_schema

_MOST = 64 * 1024


async def read(request: web.Request, shape: str) -> dict[str, Any]:
    """Return the JSON object that the body is, which has that shape; no body is an empty one.

    Raises the 400 that names the field at fault, the 413 for a body that is too long, the 415 for another type.
    """
    body = await _body(request)
    if body and request.content_type != "application/json":
        detail = f"expected application/json, got {request.headers.get('Content-Type', 'nothing')!r}"
        raise ProblemError(415, "Unsupported media type", detail)
    try:
        value = strictjson.parse(body) if body else {}
    except (BadJsonError, UnicodeDecodeError) as error:
        raise ProblemError(400, "Bad JSON", f"expected a JSON document: {error}") from None
    fault = best_match(_validator(shape).iter_errors(value))
    if fault is not None:
        raise refused(fault.message[:500], *map(str, fault.absolute_path))
    document: dict[str, Any] = value
    return document


def refused(detail: str, *steps: str) -> ProblemError:
    """Return the 400 for a field of a document, which `steps` lead to."""
    pointer = "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in steps)
    shown = f"{'.'.join(steps)}: {detail}" if steps else detail
    return ProblemError(400, "Bad document", shown, errors=[{"detail": detail, "pointer": pointer}])


async def _body(request: web.Request) -> bytes:
    pieces, size = [], 0
    while piece := await timely(request, request.content.readany()):
        size += len(piece)
        if size > _MOST:
            raise BodyTooLargeError(f"the document is longer than {_MOST} bytes")
        pieces.append(piece)
    return b"".join(pieces)


@cache
def _validator(shape: str) -> Draft202012Validator:
    return Draft202012Validator(load_schema(shape), registry=Registry())
