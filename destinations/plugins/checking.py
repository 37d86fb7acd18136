"""Whether a kind from outside can stand beside the others: what is wrong with it, in a sentence. Pure."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from destinations.base import Kind
from pipeline.config.shape import Schema, Shape, join
from pipeline.config.units import UNITS
from schemas import load_schema

_DRAFT = "https://json-schema.org/draft/2020-12/schema"

_SHARED: Mapping[str, tuple[str, object, str, str]] = MappingProxyType(
    {
        "rate": ("x-unit", "rate", "the attempts in a time", "#/$defs/rate"),
        "breaker": ("x-breaker", True, "when one that fails is left alone", "#/$defs/breaker"),
        "disable_after": ("x-unit", "duration", "how long one may fail until it is disabled", "#/$defs/duration"),
    }
)
"""The names that a schema may have for what the service reads, and for nothing else: the keyword by which that is
known, what it is, and what it is written by.
"""

_OF_CALLERS = "callback"
"""The built-in kind whose URLs callers name; no plug-in has its name."""


def fault_of(kind: object, name: str, others: Mapping[str, Kind]) -> str | None:
    """Say what is wrong with a kind that is to be called `name`, beside `others`; None where nothing is."""
    if not isinstance(kind, Kind):
        return f"expected a destinations.base.Kind, or a function that returns one, got {_shown(kind)}"
    if kind.kind != name:
        return f"its kind is called {kind.kind!r}, and its entry point {name!r}: the two must be the same"
    for part in ("settings", "make", "warn", "public_keys"):
        if not callable(getattr(kind, part)):
            return f"its {part} is not callable, but {_shown(getattr(kind, part))}"
    if kind.refusal_by is not None and name != _OF_CALLERS:
        return f"it has refusal_by, which only {_OF_CALLERS} may: URLs of callers need a guard that no plug-in has"
    return _fault_of_schema(kind.schema, name, {other: each.schema for other, each in others.items()})


def _shown(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"


def _fault_of_schema(schema: Any, name: str, others: Mapping[str, Schema]) -> str | None:
    if not isinstance(schema, Mapping):
        return f"its schema is no JSON Schema, but {_shown(schema)}"
    if schema.get("$schema", _DRAFT) != _DRAFT:
        return f"its schema is of another draft than {_DRAFT}"
    schema = dict(schema)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"its schema is no JSON Schema: at {error.json_path}: {error.message:.200}"
    if not isinstance(schema.get("properties"), Mapping):
        return "its schema has no properties"
    if "type" in schema["properties"]:
        return "its schema has the property type, which is the kind's own name"
    try:
        joined = join(load_schema("config"), {**others, name: schema}, ())
    except ValueError as error:
        return f"its schema cannot join the others: {error}"
    return _fault_of_joined(joined, schema, name)


def _fault_of_joined(joined: Schema, schema: Schema, name: str) -> str | None:
    for reference in _found(schema, "$ref"):
        if not (reference.startswith("#/") and _leads_somewhere(joined, reference)):
            return (
                f"its schema refers to {reference}, which is neither its own nor the configuration's; none is fetched"
            )
    for unit in _found(schema, "x-unit"):
        if unit not in UNITS:
            return f"its schema has x-unit: {unit}, expected one of {', '.join(UNITS)}"
    shape = Shape(joined)
    for option, (keyword, value, what, written) in _SHARED.items():
        if option in schema["properties"] and not _has(shape, schema["properties"][option], keyword, value):
            return (
                f"its schema has {option} for something else than {what}, as which the service reads it: expected "
                f'{{"$ref": "{written}"}}, or another name'
            )
    try:
        list(shape.errors({"destinations": {"trial": {"type": name}}}))
    except Exception as error:  # such as references that lead in a circle
        return f"its schema cannot be used: {type(error).__name__}: {error!s:.200}"
    return None


def _found(part: Any, key: str) -> Iterator[str]:
    """Yield the texts that stand under `key` anywhere in a schema."""
    if isinstance(part, Mapping):
        if isinstance(part.get(key), str):
            yield part[key]
        part = list(part.values())
    if isinstance(part, list | tuple):
        for each in part:
            yield from _found(each, key)


def _has(shape: Shape, part: Any, keyword: str, value: object, seen: frozenset[str] = frozenset()) -> bool:
    """Tell whether a part of a schema, or a branch of it, has a keyword with this value."""
    if not isinstance(part, Mapping):
        return False
    reference = part.get("$ref", "")
    inner = [branch for each in ("allOf", "anyOf", "oneOf") for branch in part.get(each, ())]
    if reference not in seen:
        inner.append(shape.target(part))
    return part.get(keyword) == value or any(_has(shape, each, keyword, value, seen | {reference}) for each in inner)


def _leads_somewhere(root: Any, reference: str) -> bool:
    for step in reference.removeprefix("#/").split("/"):
        if not isinstance(root, Mapping) or step not in root:
            return False
        root = root[step]
    return True
