"""Every answer held against the OpenAPI document, and everything else against the schemas, with their formats."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from pipeline.web.openapi.document import document
from pipeline.web.routes import ROUTES
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


@cache
def openapi() -> Mapping[str, Any]:
    """Return the OpenAPI document of a service that asks for keys, which says the most."""
    return document(ROUTES, "http://127.0.0.1:8888", has_keys=True)


@cache
def _registry() -> Registry[Any]:
    # The schemas of destinations have no name of their own: they are joined with the configuration's.
    loaded = (schema for name in schema_names() if "$id" in (schema := load_schema(name)))
    return Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in loaded)


def check(name: str, value: Any) -> None:
    """Fail unless `value` is as the schema of that name says."""
    Draft202012Validator(load_schema(name), registry=_registry(), format_checker=FORMATS).validate(value)


def fits(schema: Mapping[str, Any], value: Any) -> None:
    """Fail unless `value` is as a schema of the OpenAPI document says."""
    _fitting(json.dumps(schema)).validate(value)


@cache
def _fitting(schema: str) -> Draft202012Validator:
    whole = {**json.loads(schema), "components": openapi()["components"]}
    return Draft202012Validator(whole, format_checker=FORMATS)


@cache
def _patterns() -> list[tuple[re.Pattern[str], Mapping[str, Any]]]:
    named = {path: path.replace("{rest}", ".*") for path in openapi()["paths"]}
    return [
        (re.compile(re.sub(r"\{\w+\}", "[^/]+", pattern)), openapi()["paths"][path]) for path, pattern in named.items()
    ]


def operation_of(method: str, path: str) -> Mapping[str, Any] | None:
    """Return the operation that a request is for, or None where the document knows none."""
    found = [item for pattern, item in _patterns() if pattern.fullmatch(path)]
    assert len(found) < 2, f"more than one path is for {path}"
    item = found[0] if found else {}
    return item.get(method.lower()) or (item.get("get") if method == "HEAD" else None)


def resolved(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of the document, where it stands once for several."""
    if "$ref" not in told:
        return told
    found: Any = openapi()
    for step in told["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(found)


def hold(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fail unless an answer is one that the document has for this request: status, type, headers and body."""
    operation = operation_of(method, path)
    if operation is None:
        assert status in {400, 401, 403, 404, 405}, f"nobody answers {method} {path}, and yet the answer is {status}"
        check("problem", json.loads(body) if body else {"title": "no body", "status": status})
        return
    answers = operation["responses"]
    told = answers.get(str(status), answers.get("default"))
    assert told is not None, f"{method} {path} is not said to answer {status}"
    told = resolved(told)
    missing = [name for name, each in told.get("headers", {}).items() if each["required"] and name not in headers]
    assert not missing, f"the {status} of {method} {path} lacks {missing}"
    if not body or "content" not in told:
        return
    media_type = headers.get("Content-Type", "").partition(";")[0]
    content = told["content"].get(media_type, told["content"].get("*/*"))
    assert content is not None, f"the {status} of {method} {path} is {media_type}, not one of {list(told['content'])}"
    if media_type.endswith("json"):
        for each in body.splitlines() if media_type == "application/x-ndjson" else [body]:
            fits(content["schema"], json.loads(each))
