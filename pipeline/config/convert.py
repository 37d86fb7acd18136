"""Turns a valid document into values without units, as the schema's own annotations say.

`x-unit` makes seconds, bytes or a rate of a text, `x-path` an absolute path, `x-secret` a `Secret`, `x-retry` a
`RetrySpec`, `x-breaker` a `BreakerSpec`; what the schema calls an integer becomes an int. A text marked `x-secret-url`
stays one; what of it came from the environment is a secret all the same.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pipeline.config.policies import parse_breaker, parse_retry
from pipeline.config.secret import Secret
from pipeline.config.shape import Schema, Shape
from pipeline.config.source import Place, Source
from pipeline.config.units import UNITS

_PARSERS: tuple[tuple[str, Callable[[Any], Any]], ...] = (("x-retry", parse_retry), ("x-breaker", parse_breaker))
_BOOLEANS = {"true": True, "false": False}


def type_from_environment(shape: Shape, source: Source) -> Any:
    """Return the document's value; a text from the environment becomes a number or a boolean where no text is taken."""
    value = source.value
    for place in source.environment:
        value = _changed(value, place, _typed(shape, source, place))
    return value


def _typed(shape: Shape, source: Source, place: Place) -> Any:
    parts = shape.at(place, source.value)
    text = source.value
    for step in place:
        text = text[step]
    types = {name for part in parts for name in _types(part)}
    if "string" in types:
        return text
    try:
        if "boolean" in types:
            return _BOOLEANS[text.lower()]
        if "integer" in types:
            return int(text)
        if "number" in types and math.isfinite(number := float(text)):
            return number
    except (ValueError, LookupError):
        pass  # it stays text, and the schema finds the fault
    return text


def _types(part: Schema) -> Iterable[str]:
    types = part.get("type", ())
    return (types,) if isinstance(types, str) else types


def _changed(value: Any, place: Place, new: Any) -> Any:
    if not place:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = _changed(copy[place[0]], place[1:], new)
    return copy


class Conversion:
    """One conversion; afterwards `secrets` holds every text marked secret, and what of it came from the environment."""

    def __init__(self, shape: Shape, source: Source, base: Path) -> None:
        self._shape = shape
        self._source = source
        self._base = base
        self.secrets: set[str] = set()

    def at(self, place: Place) -> Any:
        """Return what stands at `place`, which must be valid, without units; relative paths start at the base."""
        value = self._source.value
        for step in place:
            value = value[step]
        return self._value(value, self._shape.at(place, self._source.value), place)

    def _value(self, value: Any, parts: list[Schema], place: Place) -> Any:
        inner = self._inner(value, parts, place)
        for keyword, parse in _PARSERS:
            if any(part.get(keyword) for part in parts):
                return parse(inner)
        return inner

    def _inner(self, value: Any, parts: list[Schema], place: Place) -> Any:
        match value:
            case dict():
                return {k: self._value(v, self._shape.below(parts, k, v), (*place, k)) for k, v in value.items()}
            case list():
                return [self._value(v, self._shape.below(parts, i, v), (*place, i)) for i, v in enumerate(value)]
            case str():
                return self._text(value, _keywords(parts), place)
            case float() if any("integer" in _types(part) for part in parts):
                return int(value)  # `8888.0` is an integer to JSON Schema
        return value

    def _text(self, text: str, keywords: Mapping[str, Any], place: Place) -> Any:
        if keywords.get("x-secret"):
            environment = self._source.environment.get(place)
            self.secrets.update(filter(None, (text, *(environment.values if environment else ()))))
            return Secret(text)
        if keywords.get("x-secret-url") and (environment := self._source.environment.get(place)):
            self.secrets.update(_secrets_of_url(text, environment.values))
        if unit := keywords.get("x-unit"):
            return UNITS[unit](text)
        if kind := keywords.get("x-path"):
            # After `sqlite:///` comes a relative path, or the slash of an absolute one.
            return self._base / (text.removeprefix("sqlite:///") if kind == "sqlite" else text)
        return text


def _secrets_of_url(url: str, values: Iterable[str]) -> Iterator[str]:
    """Yield what must not be shown of a URL that `values` of the environment are part of.

    Scheme, host and port are no secrets: they would be masked in every error that names the receiver.
    """
    yield url
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    target = urlunsplit(("", "", parts.path, parts.query, parts.fragment))
    for value in values:
        # A value may be all of the URL, or begin with its host: then what is behind that is the secret.
        for part in (value, "/" + value.rpartition("://")[2].partition("/")[2]):
            if part.strip("/") and (part in target or part in unquote(target)):
                yield part


def _keywords(parts: Iterable[Schema]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items() if key.startswith("x-")}
