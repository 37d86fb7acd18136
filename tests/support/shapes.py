"""Every answer held against the schemas: which route answers in which shape, and the formats that they name."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from schemas import load_schema, schema_names

FORMATS = FormatChecker()
_URI_CHARACTERS = re.compile(r"(%[0-9A-Fa-f]{2}|[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=])*")
_POINTER = re.compile(r"(/([^/~]|~[01])*)*")


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("uri-reference", raises=ValueError)
def _is_uri_reference(value: object) -> bool:
    return not isinstance(value, str) or (_URI_CHARACTERS.fullmatch(value) is not None and bool(urlsplit(value)))


@FORMATS.checks("uri", raises=ValueError)
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or (_is_uri_reference(value) and all(urlsplit(value)[:2]))


@FORMATS.checks("json-pointer")
def _is_json_pointer(value: object) -> bool:
    return not isinstance(value, str) or _POINTER.fullmatch(value) is not None


# Shapes that are too small for a schema of their own.
_ACCEPTED = ("id", "function", "state", "attempt", "max_attempts", "created_at", "links")
_WAITING = ("id", "state")
_FUNCTION = {
    "type": "object",
    "required": ["name", "background", "on_success", "on_failure", "on_batch"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "background": {"type": "boolean"},
        "on_success": {"type": "array", "items": {"type": "string"}},
        "on_failure": {"type": "array", "items": {"type": "string"}},
        "on_batch": {"type": "array", "items": {"type": "string"}},
    },
}
_HEALTH = {"const": {"status": "ok"}}
_READY = {
    "type": "object",
    "required": ["status", "missing_functions"],
    "additionalProperties": False,
    "properties": {
        "status": {"enum": ["ready", "draining"]},
        "missing_functions": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
    },
}


@cache
def _registry() -> Registry[Any]:
    # The schemas of destinations have no name of their own: they are joined with the configuration's.
    loaded = (schema for name in schema_names() if "$id" in (schema := load_schema(name)))
    return Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in loaded)


def check(shape: str, value: Any) -> None:
    """Fail unless `value` has a shape: a schema's name, `list of NAME`, or one of the small ones."""
    item = shape.removeprefix("list of ")
    if item != shape:
        _validate(load_schema("list"), value)
        for each in value["items"]:
            check(item, each)
        return
    _validate(_schema(shape), value)


def _schema(shape: str) -> Mapping[str, Any]:
    match shape:
        case "accepted":
            return _part_of_job(_ACCEPTED)
        case "waiting":
            return _part_of_job(_WAITING)
        case "function":
            return _FUNCTION
        case "health":
            return _HEALTH
        case "ready":
            return _READY
        case "delivery with attempts":
            schema = load_schema("delivery")
            attempts = {"type": "array", "items": {"$ref": load_schema("attempt")["$id"]}}
            return schema | {
                "required": [*schema["required"], "attempts"],
                "properties": schema["properties"] | {"attempts": attempts},
            }
    return load_schema(shape)


def _part_of_job(keys: tuple[str, ...]) -> Mapping[str, Any]:
    job = load_schema("job")
    return job | {"required": list(keys), "properties": {key: job["properties"][key] for key in keys}}


def _validate(schema: Mapping[str, Any], value: Any) -> None:
    Draft202012Validator(schema, registry=_registry(), format_checker=FORMATS).validate(value)


SHAPES = [
    (r"/v1/jobs", "list of job"),
    (r"/v1/jobs/[^/]+", "job"),
    (r"/v1/jobs/[^/]+/(cancel|retry)", "job"),
    (r"/v1/jobs/[^/]+/replay", "accepted"),
    (r"/v1/jobs/[^/]+/runs", "list of run"),
    (r"/v1/jobs/[^/]+/logs", "list of log-line"),
    (r"/v1/jobs/[^/]+/deliveries", "list of delivery"),
    (r"/v1/batches", "list of batch"),
    (r"/v1/batches/[^/]+(/cancel|/retry-failed)?", "batch"),
    (r"/v1/batches/[^/]+/deliveries", "list of delivery"),
    (r"/v1/deliveries", "list of delivery"),
    (r"/v1/deliveries/[^/]+", "delivery with attempts"),
    (r"/v1/destinations", "list of destination"),
    (r"/v1/destinations/[^/]+", "destination"),
    (r"/v1/functions", "list of function"),
    (r"/v1/usage", "list of usage"),
    (r"/healthz", "health"),
    (r"/readyz", "ready"),
]
"""Which path answers in which shape."""


def shape_of(path: str, status: int) -> str | None:
    """Return the shape that the body of an answer must have, or None where it is a function's own."""
    if status == 503 and path == "/readyz":
        return "ready"
    if status >= 400:
        return "problem"
    if path.startswith(("/functions/", "/.netlify/functions/")):
        return "accepted" if status == 202 else None
    if path == "/v1/batches" and status == 202:
        return "batch"
    if path.endswith(("/results", "/events")) or path == "/metrics":
        return None
    if path.endswith("/result"):
        return "waiting" if status == 202 else None
    found = [shape for pattern, shape in SHAPES if re.fullmatch(pattern, path)]
    assert len(found) == 1, f"no shape is known for {path}"
    return found[0]
