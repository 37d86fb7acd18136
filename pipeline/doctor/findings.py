"""What a check found, and what can be done about it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: a service runs with warnings, and not as it should with faults."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found; whatever is not ok has a remedy."""

    level: Level
    name: str
    found: str
    remedy: str | None = None
    is_configuration: bool = False
    """The fault is one that `sendoff serve` would end with 78 for."""


def ok(name: str, found: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(level=Level.OK, name=name, found=found)


def warning(name: str, found: str, remedy: str) -> Finding:
    """Return a finding that a service runs with."""
    return Finding(level=Level.WARNING, name=name, found=found, remedy=remedy)


def fault(name: str, found: str, remedy: str, *, is_configuration: bool = False) -> Finding:
    """Return a finding that has to be mended."""
    return Finding(level=Level.FAULT, name=name, found=found, remedy=remedy, is_configuration=is_configuration)
