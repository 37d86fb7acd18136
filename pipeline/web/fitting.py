"""What of a body does not fit its schema, in the words in which faults of the configuration are told. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, takewhile
from typing import Any

from pipeline.config.explain import Finding, findings
from pipeline.config.shape import Shape
from pipeline.config.source import Source, path_text
from pipeline.web.problems import ProblemError
from schemas import load_schema

_MOST_TOLD = 10
_LONGEST = 500
_LONGEST_STEP = 300
"""What stands under a longer key than this, or is one, is told by the place of the mapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """One thing that does not fit."""

    path: str
    """Where it stands, as the configuration names places; empty for the whole."""
    pointer: str
    """Where it stands or is missing, as a JSON pointer."""
    detail: str

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}" if self.path else self.detail


def misfits(shape: str, value: Any, most: int = _MOST_TOLD) -> list[Misfit]:
    """Return in which ways `value` does not fit the schema of that name; so many at the most, each once."""
    return misfits_of(_shape(shape), value, most)


def misfits_of(shape: Shape, value: Any, most: int = _MOST_TOLD) -> list[Misfit]:
    """Return in which ways `value` does not fit; so many at the most, each once."""
    found = islice(findings(shape, Source(file="", value=value)), most)
    return list(dict.fromkeys(map(_misfit, found)))


def refusal(found: Sequence[Misfit]) -> ProblemError:
    """Return the 400 for a document that does not fit."""
    errors = [{"detail": each.detail, "pointer": each.pointer} for each in found]
    return ProblemError(400, "Bad document", "; ".join(map(str, found)), errors=errors)


def pointer(steps: Iterable[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of a place."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


def _misfit(found: Finding) -> Misfit:
    place = tuple(takewhile(lambda step: len(str(step)) <= _LONGEST_STEP, found.place))
    steps = place if found.missing is None else (*place, found.missing)
    return Misfit(path=path_text(place), pointer=pointer(steps), detail=found.message[:_LONGEST])


@cache
def _shape(name: str) -> Shape:
    return Shape(load_schema(name))
