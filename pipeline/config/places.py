"""Where the settings of a configuration are written, for what is found to be wrong with them once it is loaded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from pipeline.config.source import START, Mark, Source, path_text
from pipeline.errors import Fault

_LAST_STEP = re.compile(r"(?:\.[^.\[\]]+|\[[^\[\]]*\])\Z")
_COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The places of one configuration: those in its file, and those that the command line has set instead."""

    file: str = _COMMAND_LINE
    marks: Mapping[str, Mark] = field(default_factory=lambda: MappingProxyType({}))
    """Where the values in the file stand, by their paths."""
    overridden: frozenset[str] = frozenset()
    """The paths that the command line has set."""

    @classmethod
    def of(cls, source: Source, overridden: Source) -> Self:
        """Return the places of a document, and of what the command line sets over it."""
        marks = {path_text(place): mark for place, mark in source.values.items()}
        return cls(
            file=source.file if source.values else _COMMAND_LINE,
            marks=MappingProxyType(marks),
            overridden=frozenset(_paths(overridden.value)),
        )

    def fault(self, path: str, message: str) -> Fault:
        """Make a fault at `path`; one that is written nowhere stands where it would be added."""
        if path in self.overridden:
            return Fault(file=_COMMAND_LINE, line=1, column=1, path=path, message=message)
        mark, outer = self.marks.get(path), path
        while mark is None and (found := _LAST_STEP.search(outer)):
            outer = outer[: found.start()]
            mark = self.marks.get(outer)
        mark = mark or START
        return Fault(file=self.file, line=mark.line, column=mark.column, path=path, message=message)


def _paths(value: Mapping[str, object], before: str = "") -> list[str]:
    paths = []
    for key, each in value.items():
        paths += _paths(each, f"{before}{key}.") if isinstance(each, dict) else [f"{before}{key}"]
    return paths
