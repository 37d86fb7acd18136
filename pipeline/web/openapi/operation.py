"""What an operation of the document is made of: what its handler takes, what it answers, and what many have alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp.typedefs import Handler

from pipeline.web import parameters as query
from pipeline.web.openapi import headers
from pipeline.web.openapi.components import page_of, reference
from pipeline.web.openapi.headers import Header
from pipeline.web.parameters import Parameter

JSON, PROBLEM = "application/json", "application/problem+json"
NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"
NOTHING, ANYTHING = "application/octet-stream", "*/*"

Content = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: a status, and what comes with it."""

    status: int | str
    description: str
    content: Content = field(default_factory=dict)
    """The schema of its body by media type; none: no body."""
    headers: tuple[Header, ...] = ()
    leads_to: tuple[str, ...] = ()
    """Operations that take the `id` that stands in its body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a handler takes and answers. Its words stand in the handler's docstring."""

    name: str
    tag: str
    query: tuple[Parameter, ...] = ()
    headers: tuple[Header, ...] = ()
    body: Mapping[str, Any] | None = None
    is_body_needed: bool = False
    answers: tuple[Answer, ...]
    problems: tuple[int, ...] = ()
    """Besides those that every route may answer with."""


Operations = Mapping[Handler, Operation]


def json_of(name: str, *, status: int = 200, says: str = "", **more: Any) -> Answer:
    """Return an answer whose body is of the schema of that name."""
    return Answer(status=status, description=says or "As asked.", content={JSON: reference(name)}, **more)


def list_of(shape: str) -> Answer:
    """Return the answer that is a page of a list."""
    return json_of(page_of(shape), says="A page of the list.", headers=(headers.LINK,))


def stream(media_type: str, shape: str, says: str, *more: Header) -> Answer:
    """Return the answer that is a stream of pieces of a shape."""
    content = {media_type: piece(shape)}
    return Answer(status=200, description=says, content=content, headers=more)


def piece(shape: str) -> dict[str, Any]:
    """Return what a stream consists of. OpenAPI before 3.2 has no words for it: a reader that knows streams hands over
    its pieces, any other one text.
    """
    return {"anyOf": [reference(shape), {"type": "string"}]}


NOT_MODIFIED = Answer(status=304, description="The ETag still holds.", headers=(headers.ETAG, headers.RETRY_AFTER))
AS_IT_IS = (headers.ETAG, headers.RETRY_AFTER)
PAGED = (query.LIMIT, query.CURSOR)
NUMBERED = (query.LIMIT, query.NUMBER_CURSOR)
WAITING = (query.WAIT, query.UNTIL)
THERE = (404, 410)
"""The problems of a route that names something by its id."""
