"""Turns what jsonschema finds into faults to act on: `expected X, got Y`, at the line and column of the value.

Bodies of requests are explained in the same words; they have no lines, and their places are JSON pointers.
"""

import difflib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jsonschema.exceptions import ValidationError

from pipeline.config.shape import Shape
from pipeline.config.source import Place, Source
from pipeline.config.words import expectation, one_of, show
from pipeline.errors import Fault

_LIKE_A_KEY = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
"""A secret without its prefix that stands in the place of the moment beside it; no moment looks like that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that does not fit: the place of the value, and what is wrong with it."""

    place: Place
    message: str
    is_of_key: bool = False
    """Whether it is the key that is wrong, rather than its value."""
    missing: str | None = None
    """The key that is wanted there, and is not there."""


def all_faults(shape: Shape, source: Source) -> list[Fault]:
    """Return every fault of the source, its own and what the schema says of it: each once, in the order of the file."""
    told = (source.fault(each.place, each.message, at_key=each.is_of_key) for each in findings(shape, source))
    return in_order(dict.fromkeys([*source.faults, *told]))


def findings(shape: Shape, source: Source) -> Iterator[Finding]:
    """Yield what the schema says of the source, in no order; the same may come twice."""
    explanation = _Explanation(shape, source)
    for error in shape.errors(source.value):
        yield from explanation.of(error)


def in_order(faults: Iterable[Fault]) -> list[Fault]:
    """Sort faults as they stand in the file."""
    return sorted(faults, key=lambda fault: (fault.line, fault.column))


class _Explanation:
    def __init__(self, shape: Shape, source: Source) -> None:
        self._shape = shape
        self._source = source

    def of(self, error: ValidationError) -> Iterator[Finding]:
        place: Place = tuple(error.absolute_path)
        if self._source.is_broken(place):
            return
        match error.validator:
            case "additionalProperties":
                yield from self._unknown_keys(error, place)
            case "required":
                yield from self._missing_keys(error, place)
            case "uniqueItems":
                yield self._repeated(error, place)
            case "not" if (both := _exclusive(error)) is not None:
                yield Finding(place=(*place, both[1]), message=f"expected only one of {' and '.join(both)}, got both")
            case "anyOf" | "oneOf" if branch := _branch_meant(error):
                for inner in branch:
                    yield from self.of(inner)
            case _:
                yield self._expected(error, place)

    def _missing_keys(self, error: ValidationError, place: Place) -> Iterator[Finding]:
        required: Any = error.validator_value
        instance: Any = error.instance
        missing = [key for key in required if key not in instance]
        for key in missing:
            message = f"expected the key {key}, got none{self._near(error, key)}"
            yield Finding(place=place, message=message, missing=key)

    def _near(self, error: ValidationError, key: str) -> str:
        """Name a key that may be meant, where nothing else will tell that it is not known."""
        schema: Any = error.schema
        instance: Any = error.instance
        is_closed = schema.get("additionalProperties") is False
        near = [] if is_closed else difflib.get_close_matches(key, set(instance) - set(schema["properties"]), 1)
        return f" (nearest: {near[0]})" if near else ""

    def _repeated(self, error: ValidationError, place: Place) -> Finding:
        items: Any = error.instance
        seen: set[str] = set()
        for index, item in enumerate(items):
            text = json.dumps(item, sort_keys=True)  # equal as JSON has it: 1 is not true
            if text in seen:
                shown = self._got(item, (*place, index), secret=self._may_be_secret(error, place))
                return Finding(place=(*place, index), message=f"expected each item once, got {shown} again")
            seen.add(text)
        return Finding(place=place, message="expected each item once, got one twice")  # such as 1 and 1.0

    def _unknown_keys(self, error: ValidationError, place: Place) -> Iterator[Finding]:
        schema: Any = error.schema
        instance: Any = error.instance
        known = list(schema.get("properties", ()))
        for key in instance:
            if key not in known:
                message = f"expected {one_of('a known key', known, key)}, got {show(key)}"
                yield Finding(place=(*place, key), message=message, is_of_key=True)

    def _expected(self, error: ValidationError, place: Place) -> Finding:
        is_key = isinstance(error.instance, str) and isinstance(self._value_at(place), dict)  # of `propertyNames`
        secret = not is_key and self._may_be_secret(error, place)
        wanted = expectation(error.schema, self._shape.target, None if secret else error.instance)
        if is_key:
            message = f"expected {wanted}, got {show(error.instance)}"
            return Finding(place=(*place, str(error.instance)), message=message, is_of_key=True)
        shown = self._got(error.instance, place, secret=secret)
        return Finding(place=place, message=f"expected {wanted}, got {shown}")

    def _got(self, value: Any, place: Place, *, secret: bool) -> str:
        if value is None or isinstance(value, dict | list):
            return show(value)
        if secret and value != "":
            # Only what kind of value it is: a number that was to be in quotes, for one.
            return "***" if isinstance(value, str) else "a number" if type(value) in (int, float) else "true or false"
        # What came from outside may hold a secret wherever it was put: it is shown as it is written.
        environment = self._source.environment.get(place)
        return f"the value of {show(environment.written)}" if environment else show(value)

    def _may_be_secret(self, error: ValidationError, place: Place) -> bool:
        schema: Any = error.schema
        is_for_moment = isinstance(schema, dict) and schema.get("x-unit") == "moment"
        if is_for_moment and _LIKE_A_KEY.fullmatch(str(error.instance)):
            return True
        return any(map(self._shape.has_secret, [schema, *self._shape.at(place, self._source.value)]))

    def _value_at(self, place: Place) -> Any:
        value = self._source.value
        for step in place:
            value = value[step]
        return value


def _exclusive(error: ValidationError) -> tuple[str, str] | None:
    """Return the two keys of which a mapping may have only one, where that is all that its `not` says."""
    match error.validator_value, error.instance:
        case {"required": [str(one), str(other)], **more}, dict() if not more:
            return one, other
    return None


def _branch_meant(error: ValidationError) -> list[ValidationError] | None:
    """Return the errors of the one branch whose type fits the value: what was meant, with something wrong inside."""
    branches: defaultdict[Any, list[ValidationError]] = defaultdict(list)
    for inner in error.context or ():
        branches[inner.schema_path[0]].append(inner)
    fitting = [errors for errors in branches.values() if not any(_is_type_error(inner) for inner in errors)]
    return fitting[0] if len(fitting) == 1 else None


def _is_type_error(error: ValidationError) -> bool:
    return error.validator == "type" and not error.relative_path
