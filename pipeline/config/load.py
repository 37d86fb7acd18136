"""Loads the configuration: YAML, `${ENV}`, JSON Schema with all faults at once, frozen dataclasses.

The environment, the current folder and the kinds of destinations come in through the door.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config.build import functions_settings, key_settings, service_settings
from pipeline.config.convert import Conversion, type_from_environment
from pipeline.config.environment import substitute
from pipeline.config.explain import all_faults, in_order
from pipeline.config.options import OptionsKind, destinations_of, nameable, names_of
from pipeline.config.places import Places
from pipeline.config.settings import Config
from pipeline.config.shape import Shape, join
from pipeline.config.source import Source
from pipeline.config.yaml_file import read_yaml
from pipeline.errors import ConfigurationError, Fault
from pipeline.mask import Masker
from schemas import load_schema

DEFAULT_FILE = "sendoff.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line sets; it wins over the file. `store` is a URL, relative to the current folder."""

    host: str | None = None
    port: int | None = None
    store: str | None = None


def load_config(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    kinds: Mapping[str, OptionsKind],
    cwd: Path,
    overrides: Overrides | None = None,
) -> Config:
    """Return the configuration in `path`; None takes `sendoff.yaml` of `cwd` if it is there, else the defaults.

    Raises ConfigurationError with every fault of the file and of the command line at once.
    """
    file = _find(path, cwd)
    base = cwd if file is None else (cwd / file).parent
    source = Source(file="defaults", value={}) if file is None else substitute(_read(cwd / file, str(file)), environ)
    schemas = {name: kind.schema for name, kind in kinds.items()}
    shape = Shape(join(load_schema("config"), schemas, names_of(source), suggested=nameable(source, kinds)))
    source = replace(source, value=type_from_environment(shape, source))
    command_line = _from_command_line(overrides or Overrides())
    conversion = Conversion(shape, source, base)
    faults = _faults(shape, source)
    destinations, refused = destinations_of(conversion, kinds, source, faults)
    if found := [*in_order([*faults, *refused]), *_faults(shape, command_line)]:
        raise ConfigurationError(_masked(found, conversion.secrets, source))
    defaults = Conversion(shape, _defaults(shape), base).at(())
    tree = conversion.at(())
    given = Conversion(shape, command_line, cwd).at(())
    return Config(
        path=None if file is None else cwd / file,
        service=service_settings({**tree.get("service", {}), **given.get("service", {})}),
        store=given.get("store") or tree.get("store") or defaults["store"],
        functions=functions_settings({**defaults["functions"], **tree.get("functions", {})}),
        keys=key_settings(tree.get("keys", ())),
        destinations=destinations,
        alerts=tuple(dict.fromkeys(tree.get("alerts", ()))),
        secrets=frozenset(conversion.secrets),
        places=Places.of(source, command_line),
    )


def _masked(faults: Iterable[Fault], secrets: Iterable[str], source: Source) -> list[Fault]:
    """Return faults that quote no secret, and nothing that came from the environment: a kind may quote its options."""
    mask = Masker((*secrets, *(value for found in source.environment.values() for value in found.values)))
    return [replace(fault, message=mask.text(fault.message)) for fault in faults]


def _find(path: Path | None, cwd: Path) -> Path | None:
    # lexists: a link that leads nowhere is a fault to be told, not a file that is not there.
    return path or (Path(DEFAULT_FILE) if os.path.lexists(cwd / DEFAULT_FILE) else None)


def _read(path: Path, file: str) -> Source:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        message = f"expected a readable file, got: {error.strerror}"
    except UnicodeDecodeError:
        message = "expected a file in UTF-8, got other bytes"
    else:
        return read_yaml(text, file)
    raise ConfigurationError([Source(file=file, value=None).fault((), message)])


def _defaults(shape: Shape) -> Source:
    properties = shape.root["properties"]
    directory = properties["functions"]["properties"]["directory"]["default"]
    value = {"store": properties["store"]["default"], "functions": {"directory": directory}}
    return Source(file="defaults", value=value)


def _from_command_line(given: Overrides) -> Source:
    service = {key: value for key, value in (("host", given.host), ("port", given.port)) if value is not None}
    store = {} if given.store is None else {"store": given.store}
    return Source(file="command line", value={"service": service, **store})


def _faults(shape: Shape, source: Source) -> list[Fault]:
    try:
        return all_faults(shape, source)
    except RecursionError as error:  # a `when` near the limit of depth, and a caller deep in its own stack
        raise ConfigurationError([source.fault((), "expected fewer levels, got too many to validate")]) from error
