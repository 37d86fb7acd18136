"""GET /openapi.json: the document as bytes, made once for each address that the service is reached by."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson
from aiohttp import web

from pipeline.web.answers import etag_of, is_match
from pipeline.web.parts import PARTS, base_url

Document = dict[str, Any]


class Rendered:
    """The document's bytes, and their ETag, by what they depend on."""

    def __init__(self, make: Callable[[str, bool], Document]) -> None:
        """Take what makes the document for an address, of a service that has keys or none."""
        # Where any Host may be named, any number of addresses may be: only the last few are kept.
        self.of = lru_cache(maxsize=8)(lambda base, has_keys: _rendered(make(base, has_keys)))


def _rendered(document: Document) -> tuple[bytes, str]:
    body = orjson.dumps(document)
    return body, etag_of(body)


RENDERED = web.AppKey("rendered", Rendered)


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /openapi.json: this API as an OpenAPI 3.1 document, from which clients can be made."""
    parts = request.app[PARTS]
    has_keys = bool(parts.config.keys)
    body, tag = request.app[RENDERED].of(base_url(request, parts), has_keys)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if is_match(request, tag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers | {"Content-Type": "application/json"})
