"""Finds the kinds that installed packages offer by the entry-point group `sendoff.destinations`.

An entry point's name is the `type` in the YAML; it leads to a `Kind`, or to a function without arguments that returns
one. What cannot be used is never used in part: a destination of that type is a fault of the configuration, which says
why; where there is none, it is a warning.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from itertools import groupby
from types import MappingProxyType
from typing import Any, NoReturn

from destinations.base import Kind
from destinations.plugins.careful import careful
from destinations.plugins.checking import fault_of

GROUP = "sendoff.destinations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """All kinds of destinations that there are."""

    by_type: Mapping[str, Kind]
    """By the `type` in the YAML. A plug-in that cannot be used is here, too: whoever configures it is told why."""
    plugins: Mapping[str, str]
    """The packages of those that come from plug-ins and can be used, such as `sendoff-folder 0.1.0`, by type."""
    warnings: tuple[str, ...] = ()
    """What is wrong with plug-ins that cannot be used."""


def with_plugins(builtins: Mapping[str, Kind], found: Iterable[EntryPoint] | None = None) -> Kinds:
    """Return `builtins` with the kinds of plug-ins beside them; imports the plug-ins, and raises nothing for what is
    wrong with them. `found` are the entry points, by default those of all installed packages.
    """
    points = sorted(entry_points(group=GROUP) if found is None else found, key=lambda each: (each.name, _package(each)))
    kinds, plugins, warnings = dict(builtins), dict[str, str](), list[str]()
    for name, same in groupby(points, key=lambda each: each.name):
        group = list(same)
        if name in builtins:
            warnings += (_sentence(point, "its name is that of a built-in kind, which stays") for point in group)
            continue
        kind, fault = _load(group, kinds)
        if kind is None:
            warnings.append(fault)
            kinds[name] = _stand_in(name, fault)
        else:
            plugins[name] = _package(group[0])
            kinds[name] = careful(kind, plugins[name])
    return Kinds(by_type=MappingProxyType(kinds), plugins=MappingProxyType(plugins), warnings=tuple(warnings))


def _load(group: list[EntryPoint], others: Mapping[str, Kind]) -> tuple[Kind, str] | tuple[None, str]:
    point, *more = group
    if more:
        # None of them: which one came first would be a matter of the path.
        return None, "; ".join(_sentence(each, "another plug-in has the same name") for each in group)
    try:
        loaded = point.load()
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        return None, _sentence(point, f"cannot be imported: {type(error).__name__}: {error}")
    if callable(loaded) and not isinstance(loaded, Kind):
        try:
            loaded = loaded()
        except (Exception, SystemExit) as error:
            return None, _sentence(point, f"returns no kind: {type(error).__name__}: {error}")
    try:
        fault = fault_of(loaded, point.name, others)
    except Exception as error:  # an object that is not what it says
        fault = f"cannot be looked at: {type(error).__name__}: {error}"
    return (loaded, "") if fault is None else (None, _sentence(point, fault))


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "a package without a name"


def _sentence(point: EntryPoint, fault: str) -> str:
    return " ".join(f"the plug-in {_package(point)}, entry point {point.name} = {point.value}: {fault}".split())


def _stand_in(name: str, fault: str) -> Kind:
    """Return a kind that takes all settings, so that the one fault there is the one that matters."""

    def refuse(*_: Any) -> NoReturn:
        raise ValueError(f"type: expected a kind of destination that can be used, got {name}: {fault}")

    schema = {"type": "object", "properties": {}, "additionalProperties": True}
    return Kind(kind=name, schema=schema, settings=refuse, make=refuse)
