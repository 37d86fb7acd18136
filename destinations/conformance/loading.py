"""Options as the service loads them, and what it tells of those that cannot be used."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from destinations.base import CommonSettings, Kind
from pipeline.config.convert import Conversion
from pipeline.config.explain import all_faults
from pipeline.config.options import destinations_of
from pipeline.config.shape import Shape, join
from pipeline.config.yaml_file import read_yaml
from pipeline.errors import Fault
from schemas import load_schema

NAME = "trial"
"""What the destination is called."""
AT = f"destinations.{NAME}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings, or else what is wrong with the options."""

    settings: CommonSettings | None
    secrets: frozenset[str]
    """The texts among the options that must not be shown."""
    faults: tuple[Fault, ...]
    refused: tuple[Fault, ...]
    """Those of the faults that the kind tells, and not its schema."""

    @property
    def told(self) -> str:
        """Return the faults in one line."""
        return "; ".join(f"{fault.path}: {fault.message}" for fault in self.faults)


def load(kind: Kind, options: Mapping[str, Any]) -> Loaded:
    """Load options, written as in the YAML, in the way in which `sendoff serve` does. What the kind raises, other than
    ValueError, goes on.
    """
    document = {"destinations": {NAME: {"type": kind.kind, **options}}}
    # JSON is YAML, too; read so, each option has its place.
    source = read_yaml(json.dumps(document, ensure_ascii=False), "sendoff.yaml")
    shape = Shape(join(load_schema("config"), {kind.kind: kind.schema}, (NAME,)))
    conversion = Conversion(shape, source, Path.cwd())
    faults = all_faults(shape, source)
    found, refused = destinations_of(conversion, {kind.kind: kind}, source, faults)
    return Loaded(
        settings=found[NAME].options if NAME in found else None,
        secrets=frozenset(conversion.secrets),
        faults=(*faults, *refused),
        refused=tuple(refused),
    )
