"""The configuration's schema, joined with the schemas of the kinds of destinations, and what the loader asks of it.

The keywords of Sendoff's own (`x-unit`, `x-path`, `x-secret`, `x-expected` and so on) are found here; others read them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any, TypeAlias

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from referencing import Registry

from pipeline.config.source import Place
from pipeline.config.units import moment

Schema: TypeAlias = Mapping[str, Any]


def join(
    config: Schema, kinds: Mapping[str, Schema], names: Iterable[str], *, suggested: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return the configuration's schema with each kind's schema under `destinations`, chosen by `type`.

    `names` are the destinations that targets may point to, and of those the `suggested` ones, all where that is None,
    are named where another is written, unless they are no names. A kind's schema may use the configuration's `$defs`
    (`{"$ref": "#/$defs/retry"}`) beside its own. Raises ValueError where two different definitions have one name.
    """
    definitions = dict(config["$defs"])
    for schema in kinds.values():
        for name, definition in schema.get("$defs", {}).items():
            if definitions.setdefault(name, definition) != definition:
                raise ValueError(f"$defs/{name} is defined twice, and differently")
    known = list(names)
    choices = [
        name
        for name in (known if suggested is None else suggested)
        if re.search(config["$defs"]["name"]["pattern"], name)
    ]
    definitions["destinationName"] = {**definitions["destinationName"], "enum": known, "x-choices": choices}
    destinations = config["properties"]["destinations"]
    entry = destinations["additionalProperties"]
    kind = {**entry["properties"]["type"], "enum": sorted(kinds)}
    joined = {
        **entry,
        "properties": {"type": kind},
        "allOf": [_when_type_is(name, _as_branch(schema, kind)) for name, schema in kinds.items()],
    }
    properties = {**config["properties"], "destinations": {**destinations, "additionalProperties": joined}}
    return {**config, "properties": properties, "$defs": definitions}


def _as_branch(schema: Schema, kind: Schema) -> dict[str, Any]:
    # Without its `$id`, so that `#/$defs/...` means the joined schema's.
    kept = {key: value for key, value in schema.items() if key not in {"$id", "$schema", "$defs"}}
    return {"additionalProperties": False, **kept, "properties": {"type": kind, **schema.get("properties", {})}}


def _when_type_is(name: str, branch: Schema) -> dict[str, Any]:
    return {"if": {"required": ["type"], "properties": {"type": {"const": name}}}, "then": branch}


class Shape:
    """A schema and its answers; fetches nothing."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self._validator = Draft202012Validator(root, registry=Registry(), format_checker=_formats())

    def errors(self, value: Any) -> Iterator[ValidationError]:
        """Yield every way in which `value` does not fit."""
        return self._validator.iter_errors(value)

    def fits(self, schema: Schema | bool, value: Any) -> bool:
        """Tell whether `value` fits a part of this schema."""
        return self._validator.evolve(schema=schema).is_valid(value)

    def parts(self, schema: Any, value: Any) -> Iterator[Schema]:
        """Yield `schema` and what in it speaks of `value` itself: references, and the branches that fit (else all)."""
        if not isinstance(schema, Mapping):
            return
        yield schema
        inner = [*schema.get("allOf", ())]
        if (target := self.target(schema)) is not None:
            inner.append(target)
        for keyword in ("anyOf", "oneOf"):
            branches = schema.get(keyword, [])
            inner += [branch for branch in branches if self.fits(branch, value)] or branches
        if "if" in schema:
            inner.append(schema.get("then" if self.fits(schema["if"], value) else "else"))
        for part in inner:
            yield from self.parts(part, value)

    def at(self, place: Place, value: Any) -> list[Schema]:
        """Return all parts that speak of what stands at `place` in the document `value`."""
        parts = list(self.parts(self.root, value))
        for step in place:
            value = value[step]
            parts = self.below(parts, step, value)
        return parts

    def below(self, parts: Iterable[Schema], step: str | int, value: Any) -> list[Schema]:
        """Return the parts that speak of `value`, which stands under `step` in what `parts` speak of."""
        return [inner for part in parts for schema in _children(part, step) for inner in self.parts(schema, value)]

    def has_secret(self, schema: Any, seen: frozenset[str] = frozenset()) -> bool:
        """Tell whether a value meant for `schema` must not be shown: it, or an item or a branch of it, is a secret, or
        stands where one may be written by mistake.
        """
        if not isinstance(schema, Mapping):
            return False
        if schema.get("x-secret") or schema.get("x-hidden"):
            return True
        reference = schema.get("$ref", "")
        inner = [schema.get("items"), schema.get("additionalProperties"), schema.get("then"), schema.get("else")]
        inner += [branch for keyword in ("allOf", "anyOf", "oneOf") for branch in schema.get(keyword, ())]
        if reference not in seen:
            inner.append(self.target(schema))
        return any(self.has_secret(part, seen | {reference}) for part in inner)

    def target(self, schema: Schema) -> Any:
        """Return what the `$ref` of `schema` points to in this document; None elsewhere, where no keyword is ours."""
        reference = schema.get("$ref", "").removeprefix(self.root.get("$id", ""))
        if not reference.startswith("#/"):
            return None
        target: Any = self.root
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        return target


def _formats() -> FormatChecker:
    """Return the checker of those formats that no pattern can tell."""
    checker = FormatChecker(["regex"])

    @checker.checks("network", raises=ValueError)
    def is_network(value: object) -> bool:
        return not isinstance(value, str) or ip_network(value, strict=False) is not None

    @checker.checks("date-time", raises=(ValueError, OverflowError))
    def is_moment(value: object) -> bool:
        return not isinstance(value, str) or moment(value) is not None

    return checker


def _children(part: Schema, step: str | int) -> Iterator[Any]:
    if isinstance(step, int):
        yield part.get("items")
        return
    if step in part.get("properties", {}):
        yield part["properties"][step]
        return
    patterns = [schema for pattern, schema in part.get("patternProperties", {}).items() if re.search(pattern, step)]
    yield from patterns or [part.get("additionalProperties")]
