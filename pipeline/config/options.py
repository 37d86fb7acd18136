"""The options of destinations: their kinds turn them into settings, and may refuse what no schema can tell."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from pipeline.config.convert import Conversion
from pipeline.config.settings import DestinationSettings
from pipeline.config.source import Place, Source, path_text
from pipeline.errors import Fault, OptionsError


class OptionsKind(Protocol):
    """What the loader needs of a kind of destination (`destinations.base.Kind` has it)."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the kind's options, without `type`."""
        ...

    @property
    def settings(self) -> Callable[[Mapping[str, Any]], Any]:
        """Turns converted options into the kind's settings.

        Raises ValueError for what no schema can tell; a text that begins `secrets[0]: ` points to that option. An
        OptionsError tells several such texts.
        """
        ...


def destinations_of(
    conversion: Conversion, kinds: Mapping[str, OptionsKind], source: Source, faults: Iterable[Fault]
) -> tuple[Mapping[str, DestinationSettings], list[Fault]]:
    """Return the destinations that have none of `faults`, and what their kinds refuse."""
    refused: list[Fault] = []
    found: dict[str, DestinationSettings] = {}
    faulty = [fault.path for fault in faults]
    for name in names_of(source):
        place = ("destinations", name)
        if any(_is_within(path, place) for path in faulty):
            continue
        entry = conversion.at(place)
        kind = entry.pop("type")
        try:
            found[name] = DestinationSettings(name=name, kind=kind, options=kinds[kind].settings(entry))
        except ValueError as error:
            reasons = OptionsError.reasons_in(error)
            refused += (_located(reason, place, source, kinds[kind].schema) for reason in reasons)
    return MappingProxyType(found), refused


def names_of(source: Source) -> list[str]:
    """Return the names of the destinations in a document that need not be valid."""
    destinations = source.value.get("destinations") if isinstance(source.value, dict) else None
    return list(destinations) if isinstance(destinations, dict) else []


def nameable(source: Source, kinds: Mapping[str, OptionsKind]) -> list[str]:
    """Return those of the names that a function or an alert may name: not of a kind whose URLs only callers name."""
    of_callers = {name for name, kind in kinds.items() if getattr(kind, "refusal_by", None) is not None}
    return [name for name in names_of(source) if _kind_in(source.value["destinations"][name]) not in of_callers]


def _kind_in(entry: Any) -> str | None:
    kind = entry.get("type") if isinstance(entry, dict) else None
    return kind if isinstance(kind, str) else None


def _is_within(path: str, place: Place) -> bool:
    outer = path_text(place)
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def _located(message: str, place: Place, source: Source, schema: Mapping[str, Any]) -> Fault:
    """Give what a kind says of its options (`secrets[0]: ...`) its place in the file."""
    option, _, rest = message.partition(": ")
    known = (other for other in source.values if other[: len(place)] == place != other)
    within = {path_text(other[len(place) :]): other for other in known}
    if option in within:
        return source.fault(within[option], rest)
    if (outer := option.rpartition(".")[0]) in within:  # one that is missing there, or stands for all of it
        fault = source.fault(within[outer], rest)
        is_mapping = any(name.startswith(f"{outer}.") for name in within)
        return replace(fault, path=f"{path_text(place)}.{option}") if is_mapping else fault
    if option in schema["properties"]:  # one that is missing
        return replace(source.fault(place, rest), path=path_text((*place, option)))
    return source.fault(place, message)
