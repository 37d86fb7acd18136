"""The JSON Schemas (Draft 2020-12) of every shape that Sendoff reads or writes, as files in this package."""

import json
from importlib import resources
from typing import Any

_SUFFIX = ".schema.json"


def load_schema(name: str) -> dict[str, Any]:
    """Read the schema `name`, such as `config`; a fresh dict each time, never cached. Raises KeyError if unknown."""
    try:
        text = resources.files(__name__).joinpath(f"{name}{_SUFFIX}").read_text("utf-8")
    except FileNotFoundError as error:
        raise KeyError(name) from error
    schema: dict[str, Any] = json.loads(text)
    return schema


def schema_names() -> tuple[str, ...]:
    """Return the names of all schemas, sorted."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)))
