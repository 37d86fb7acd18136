"""Uploads of a batch: the request's body read piece by piece, in three forms, each wait bounded in time.

What comes out are portions of items, none of them larger than is good to hold in memory.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from types import MappingProxyType
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from pipeline import strictjson
from pipeline.config.shape import Shape
from pipeline.errors import BadJsonError, BodyTooLargeError
from pipeline.model import Reject
from pipeline.web.fitting import misfits_of, refusal
from pipeline.web.invocations.items import Item, item_of_file, items_of_lines, items_of_values, too_long
from pipeline.web.parts import PARTS
from pipeline.web.problems import ProblemError, other_type
from pipeline.web.timely import timely

JSON_LIMIT = 64 * 1024 * 1024
"""The largest upload in the form of one JSON document; NDJSON has no such limit."""
_FORMS = ("application/json", "application/x-ndjson", "multipart/form-data")
_DOCUMENT = MappingProxyType(
    {
        "type": "object",
        "x-expected": 'a mapping such as {"function": "NAME", "items": [...]}',
        "required": ["items"],
        "additionalProperties": False,
        "properties": {
            "function": {"type": "string", "x-expected": "the name of a function"},
            "items": {"type": "array", "x-expected": "a list of items"},
        },
    }
)
_PORTION = 200
_PORTION_BYTES = 1024 * 1024
_LINE_EXTRA = 64 * 1024  # what a line may have besides its body

Portion = list[Item | Reject]


def form_of(request: web.Request) -> str:
    """Return the media type of the upload; raises a 415 for one that is not taken."""
    if request.content_type not in _FORMS:
        raise other_type(request, *_FORMS)
    if "Content-Encoding" in request.headers:
        detail = f"expected no Content-Encoding, got {request.headers['Content-Encoding']!r}: send the body as it is"
        raise ProblemError(
            415, "Unsupported media type", detail, errors=[{"detail": detail, "header": "Content-Encoding"}]
        )
    return request.content_type


async def read_document(request: web.Request) -> dict[str, Any]:
    """Return the JSON document of an upload: an object with `items`, and perhaps `function`."""
    pieces, size = [], 0
    while piece := await timely(request, request.content.readany()):
        size += len(piece)
        if size > JSON_LIMIT:
            raise BodyTooLargeError(f"the document is longer than {JSON_LIMIT} bytes; send NDJSON, an item a line")
        pieces.append(piece)
    try:
        return await asyncio.to_thread(_document, b"".join(pieces))
    except (BadJsonError, UnicodeDecodeError) as error:
        raise ProblemError(400, "Bad JSON", f"expected a JSON document: {error}") from None


def _document(text: bytes) -> dict[str, Any]:
    value = strictjson.parse(text)
    if found := misfits_of(_shape(), value):
        raise refusal(found)
    document: dict[str, Any] = value
    return document


@cache
def _shape() -> Shape:
    return Shape(_DOCUMENT)


async def portions(request: web.Request, form: str, document: dict[str, Any] | None) -> AsyncIterator[Portion]:
    """Yield the items of an upload, in order, and what cannot be one."""
    limit = request.app[PARTS].config.service.body_limit
    if document is not None:
        items = document["items"]
        for start in range(0, len(items), _PORTION):
            part = list(enumerate(items[start : start + _PORTION], start))
            yield await asyncio.to_thread(items_of_values, part, limit)
    elif form == "application/x-ndjson":
        async for portion in _of_lines(request, limit):
            yield portion
    else:
        async for portion in _of_files(request, limit):
            yield portion


async def _of_lines(request: web.Request, limit: int) -> AsyncIterator[Portion]:
    line_limit = limit * 4 // 3 + _LINE_EXTRA
    waiting: list[tuple[int, bytes]] = []
    size = 0
    cut_off: ProblemError | None = None
    try:
        async for index, line in _lines(request, line_limit):
            if line is None:
                yield [too_long(index, line_limit)]
                continue
            waiting.append((index, line))
            size += len(line)
            if len(waiting) == _PORTION or size > _PORTION_BYTES:
                yield await asyncio.to_thread(items_of_lines, waiting, limit)
                waiting, size = [], 0
    except ProblemError as error:
        cut_off = error
    if waiting:
        yield await asyncio.to_thread(items_of_lines, waiting, limit)
    if cut_off is not None:
        raise cut_off


async def _lines(request: web.Request, limit: int) -> AsyncIterator[tuple[int, bytes | None]]:
    """Yield each line that is not blank, with its index; None for one longer than `limit`, which is not kept."""
    index, begun, is_skipping = 0, bytearray(), False
    while True:
        piece = await timely(request, request.content.readany())
        *whole, rest = (begun + piece).split(b"\n") if piece else [begun, bytearray()]
        for line in whole:
            if is_skipping or len(line) > limit:
                yield index, None
            elif line.strip():
                yield index, bytes(line)
            else:
                continue
            index, is_skipping = index + 1, False
        begun = rest
        if not piece:
            return
        if len(begun) > limit:
            begun, is_skipping = bytearray(), True


async def _of_files(request: web.Request, limit: int) -> AsyncIterator[Portion]:
    try:
        reader = await request.multipart()
        portion: Portion = []
        size, index = 0, 0
        while (part := await timely(request, reader.next())) is not None:
            portion.append(await _of_part(request, index, part, limit))
            size += len(portion[-1].body) if isinstance(portion[-1], Item) else 0
            index += 1
            if len(portion) == _PORTION or size > _PORTION_BYTES:
                yield portion
                portion, size = [], 0
        if portion:
            yield portion
    except ValueError as error:  # what aiohttp says of a body that is not what its type promises
        raise ProblemError(400, "Bad multipart", f"expected multipart/form-data with files: {error}") from None
    except HttpProcessingError:  # it would repeat what was sent
        raise ProblemError(400, "Bad multipart", "the headers of a part are none, or too long") from None


async def _of_part(request: web.Request, index: int, part: Any, limit: int) -> Item | Reject:
    if not isinstance(part, BodyPartReader) or part.filename is None:
        if isinstance(part, BodyPartReader):
            await timely(request, part.release())
        return Reject(index=index, detail="expected a file, with a filename in its Content-Disposition")
    body = bytearray()
    while chunk := await timely(request, part.read_chunk()):
        if len(body) <= limit:
            body += chunk
    # Bytes that are no UTF-8 come as lone surrogates, which cannot be stored.
    name = part.filename[:500].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return item_of_file(index, name, part.headers.get("Content-Type"), bytes(body), limit)
