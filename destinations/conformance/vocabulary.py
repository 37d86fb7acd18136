"""The keywords that a schema of settings may have. JSON Schema lets unknown ones pass, so that a mistyped one means
nothing and nobody is told.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

OWN = frozenset(
    {"x-unit", "x-path", "x-secret", "x-secret-url", "x-hidden", "x-retry", "x-breaker", "x-expected", "x-choices"}
)
"""Sendoff's own: `pipeline.config` reads them."""
_ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$defs"}
    | {"$schema", "$id", "then", "else", "minContains", "maxContains", "contentEncoding", "contentMediaType"}
)
_KNOWN = frozenset(Draft202012Validator.VALIDATORS) | _ANNOTATIONS | OWN
_NAMED = ("properties", "patternProperties", "$defs", "dependentSchemas")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE: tuple[str, ...] = ("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else")
_SINGLE += ("unevaluatedItems", "unevaluatedProperties")


def subschemas(schema: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a schema and all that stand within it, each with the way that leads there."""
    if not isinstance(schema, Mapping):
        return
    yield path, schema
    before = f"{path}." if path else ""
    for keyword in _NAMED:
        for name, part in schema.get(keyword, {}).items():
            yield from subschemas(part, f"{before}{name}" if keyword == "properties" else f"{before}{keyword}.{name}")
    for keyword in _LISTED:
        for index, part in enumerate(schema.get(keyword, ())):
            yield from subschemas(part, f"{before}{keyword}[{index}]")
    for keyword in _SINGLE:
        if keyword in schema:
            yield from subschemas(schema[keyword], f"{before}{keyword}")


def objects(schema: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the objects that hold settings, the outermost first; what only tells one case from another is none."""
    for path, part in subschemas(schema):
        if "properties" in part and (not path or part.get("type") == "object"):
            yield path, part


def unknown_keywords(schema: Any) -> list[str]:
    """Return the keywords that nobody reads, each with its place."""
    return [
        f"{keyword} at {path or 'the top'}"
        for path, part in subschemas(schema)
        for keyword in part
        if keyword not in _KNOWN
    ]


def has_secret(schema: Any) -> bool:
    """Tell whether a secret may stand in a setting."""
    return any(part.get("x-secret") for _, part in subschemas(schema))
