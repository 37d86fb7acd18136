"""A YAML 1.2 document as plain values, with the line and column of every key and value.

Knows nothing of what the keys mean. Bounded: depth, and the number of nodes once aliases are expanded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from pipeline.errors import Fault

Place: TypeAlias = tuple[str | int, ...]
"""Where a value stands: the keys and indexes that lead to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A position in a file, counted from 1."""

    line: int
    column: int


START = Mark(line=1, column=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromEnvironment:
    """What a text was before `${NAME}` was replaced, and the values that came in."""

    written: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One document: its values, where they stand, and what was wrong with them before any schema was asked."""

    file: str
    value: Any
    keys: Mapping[Place, Mark] = field(default_factory=dict)
    values: Mapping[Place, Mark] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    broken: frozenset[Place] = frozenset()
    """Places whose value is not what was written, for a fault told already; what a schema says of it is noise."""
    environment: Mapping[Place, FromEnvironment] = field(default_factory=dict)

    def fault(self, place: Place, message: str, *, at_key: bool = False) -> Fault:
        """Make a fault at `place`: at its value, or at its key."""
        marks = self.keys if at_key else self.values
        mark = marks.get(place) or self.values.get(place, START)
        return Fault(file=self.file, line=mark.line, column=mark.column, path=path_text(place), message=message)

    def with_faults(self, faults: Iterable[Fault], broken: Iterable[Place]) -> "Source":
        """Return the source with more faults and more broken places."""
        return replace(self, faults=(*self.faults, *faults), broken=self.broken.union(broken))

    def is_broken(self, place: Place) -> bool:
        """Tell whether `place`, or something that it stands in, has a fault already."""
        return any(place[:length] in self.broken for length in range(len(place) + 1))


def path_text(place: Place) -> str:
    """Write a place as `destinations.hook.secrets[0]`."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.isprintable() and step and not set(step) & set(' .[]"'):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text
