"""Puts values of the environment in the place of `${NAME}`; `$${` becomes a literal `${`. Is given the environment."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.config.source import FromEnvironment, Place, Source
from pipeline.errors import Fault

_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)\})?")


def substitute(source: Source, environ: Mapping[str, str]) -> Source:
    """Return the source with every text (keys are left alone) put together; a variable that is not set is a fault."""
    substitution = _Substitution(source, environ)
    value = substitution.value(source.value, ())
    return replace(source, value=value, environment=substitution.found).with_faults(
        substitution.faults, substitution.broken
    )


class _Substitution:
    def __init__(self, source: Source, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ
        self.found: dict[Place, FromEnvironment] = {}
        self.faults: list[Fault] = []
        self.broken: set[Place] = set()

    def value(self, value: Any, place: Place) -> Any:
        match value:
            case dict():
                return {key: self.value(item, (*place, key)) for key, item in value.items()}
            case list():
                return [self.value(item, (*place, index)) for index, item in enumerate(value)]
            case str() if "${" in value:
                return self._text(value, place)
        return value

    def _text(self, text: str, place: Place) -> str:
        values: list[str] = []

        def one(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            values.append(self._look_up(match[1], place))
            return values[-1]

        result = _REFERENCE.sub(one, text)
        if values:
            self.found[place] = FromEnvironment(written=text, values=tuple(values))
        return result

    def _look_up(self, name: str | None, place: Place) -> str:
        if name is None:
            message = "expected ${NAME}, got ${ with something else behind it; write $${ for a literal ${"
        elif name in self._environ:
            return self._environ[name]
        else:
            message = f"expected the environment variable {name} to be set, got nothing"
        self.faults.append(self._source.fault(place, message))
        self.broken.add(place)
        return ""
