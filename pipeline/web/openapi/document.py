"""The OpenAPI document, put together from the route table."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp.typedefs import Handler

from pipeline import __version__
from pipeline.web.openapi.components import components
from pipeline.web.openapi.headers import Header
from pipeline.web.openapi.operation import Operation
from pipeline.web.openapi.operations import OPERATIONS
from pipeline.web.openapi.responses import responses_of
from pipeline.web.parameters import SIGNATURE, Parameter
from pipeline.web.policies import OPEN, Policy
from pipeline.web.row import Row

Made = dict[str, Any]

ANY_METHOD = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
"""What a route for any method takes, as far as OpenAPI has a word for it."""
_NAMES = re.compile(r"\{(\w+)\}")
_LINKED = re.compile(r"\[([^]]*)\]\([^)]*\)")  # links are for the pages of the documentation
_WITH_BODY = frozenset({"put", "post", "patch"})
_PATH = {
    "id": ("What its maker was told as `id`.", {"type": "string", "format": "uuid"}),
    "name": ("Its name.", {"type": "string"}),
    "rest": ("Any further path, which is the function's own affair.", {"type": "string"}),
}
_FUNCTION_NAME = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
_TAGS = {
    "Functions": "Calling functions. Those of `/.netlify/functions` are the same.",
    "Jobs": "What became of a call that was answered with 202.",
    "Batches": "Many jobs of one function, submitted together.",
    "Deliveries": "What is owed to destinations, and every attempt to bring it there.",
    "Destinations": "Where messages go.",
    "Service": "The service itself.",
}
_ABOUT = """\
Functions that run in the background: a call is answered with 202 at once, and the status of its job with what became
of it. Moments are RFC 3339 in UTC, ids are UUIDs of version 7, which sort by time; errors are problems (RFC 9457).
Lists are newest first unless they say otherwise. Every GET answers HEAD, too.
"""


_LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
_BEARER, _LINK = "bearer", "link"
_SCHEMES = {
    _BEARER: {"type": "http", "scheme": "bearer", "description": "An access key, as `sendoff key new` prints it."},
    _LINK: {
        "type": "apiKey",
        "in": "query",
        "name": SIGNATURE.name,
        "description": f"{SIGNATURE.description} It is good for one job, or a batch's results, and a while.",
    },
}


def document(rows: Iterable[Row], base: str, has_keys: bool) -> Made:
    """Return the document of a route table, for a service that is reached at `base`, and that asks for keys or not."""
    paths: dict[str, Made] = {}
    shared: dict[str, Made] = {}
    for row in rows:
        told = OPERATIONS[row.handler]
        policy = row.policy if has_keys else OPEN
        responses, more = responses_of(told, needs_key=policy is not OPEN)
        shared |= more
        shown = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", row.path)
        item = paths.setdefault(shown, _with_parameters([_of_path(name, told) for name in _NAMES.findall(shown)]))
        own = _of_policy(policy) | {"responses": responses}
        if row.method != "*":
            item[row.method.lower()] = _operation(row.handler, told.name, told.body) | _with_parameters(_of(told)) | own
            continue
        item["parameters"] += _of(told)  # said once for all its methods
        for method in ANY_METHOD:
            body = told.body if method in _WITH_BODY else None
            item[method] = _operation(row.handler, _name(told, method, shown), body) | own
    made: Made = {
        "openapi": "3.1.0",
        "info": {"title": "Sendoff", "version": __version__, "description": _ABOUT, "license": _LICENSE},
        "servers": [{"url": base}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {"schemas": components(), "responses": dict(sorted(shared.items()))},
    }
    if has_keys:
        made["components"]["securitySchemes"] = _SCHEMES
    return made


def _with_parameters(parameters: list[Made]) -> Made:
    return {"parameters": parameters} if parameters else {}


def _operation(handler: Handler, name: str, body: Mapping[str, Any] | None) -> Made:
    told = OPERATIONS[handler]
    summary, description = _words(handler)
    made: Made = {"operationId": name, "tags": [told.tag], "summary": summary}
    if description:
        made["description"] = description
    if body is not None:
        made["requestBody"] = {"required": told.is_body_needed, "content": dict(body)}
    return made


def _of_policy(policy: Policy) -> Made:
    """Return who may use a route: what stands beside each other is as good."""
    if policy is OPEN:
        return {}
    ways: list[Made] = [{_BEARER: [policy.scope]}]
    if policy.is_linked:
        ways.append({_LINK: []})
    if policy.is_function:
        ways.append({})  # one with public access
    return {"security": ways}


def _of(told: Operation) -> list[Made]:
    return [*map(_of_query, told.query), *map(_of_header, told.headers)]


def _words(handler: Handler) -> tuple[str, str]:
    """Return what a handler's docstring says behind its route, and what it says beyond that."""
    first, _, rest = (handler.__doc__ or "").partition("\n\n")
    sentence = " ".join(first.split()).removeprefix("Answer ")
    said = _LINKED.sub(r"\1", sentence.partition(": ")[2] or sentence)
    return said[:1].upper() + said[1:], _LINKED.sub(r"\1", " ".join(rest.split()))


def _name(told: Operation, method: str, path: str) -> str:
    parts = (method, "netlify" if path.startswith("/.netlify") else "", told.name, "path" if "{rest}" in path else "")
    return "_".join(filter(None, parts))


def _of_path(name: str, told: Operation) -> Made:
    description, schema = _PATH[name]
    if (name, told.tag) == ("name", "Functions"):
        schema = _FUNCTION_NAME
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _of_query(parameter: Parameter) -> Made:
    schema = dict(parameter.schema)
    return {"name": parameter.name, "in": "query", "description": parameter.description, "schema": schema}


def _of_header(header: Header) -> Made:
    return {"name": header.name, "in": "header", "description": header.description, "schema": dict(header.schema)}
