"""Makes the frozen settings of a converted document: each object's keys are its dataclass's fields."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pipeline.config.settings import (
    Access,
    FunctionSettings,
    FunctionsSettings,
    KeySettings,
    RetentionSettings,
    Scope,
    ServiceSettings,
    Target,
)


def service_settings(tree: Mapping[str, Any]) -> ServiceSettings:
    """Return the settings under `service`."""
    fields = {**tree, "retention": RetentionSettings(**tree.get("retention", {}))}
    if fields.get("public_url"):
        fields["public_url"] = fields["public_url"].rstrip("/")  # links are made by putting a path behind it
    for key in ("trusted_proxies", "link_keys"):
        fields[key] = tuple(fields.get(key, ()))
    return ServiceSettings(**fields)


def key_settings(items: Iterable[Mapping[str, Any]]) -> tuple[KeySettings, ...]:
    """Return the keys under `keys`."""
    return tuple(map(_key, items))


def _key(tree: Mapping[str, Any]) -> KeySettings:
    functions = tree.get("functions")
    fields = {
        **tree,
        "scopes": tuple(map(Scope, tree["scopes"])),
        "functions": None if functions is None else tuple(functions),
    }
    return KeySettings(**fields)


def functions_settings(tree: Mapping[str, Any]) -> FunctionsSettings:
    """Return the settings under `functions`, `directory` among them."""
    settings = {name: _function_settings(fields) for name, fields in tree.get("settings", {}).items()}
    return FunctionsSettings(**{**tree, "settings": MappingProxyType(settings)})


def _function_settings(tree: Mapping[str, Any]) -> FunctionSettings:
    fields = dict(tree)
    for key in ("on_success", "on_failure", "on_batch"):
        fields[key] = tuple(map(_target, fields.get(key, ())))
    if fields.get("access") is not None:
        fields["access"] = Access(fields["access"])
    return FunctionSettings(**fields)


def _target(value: Any) -> Target:
    return Target(to=value) if isinstance(value, str) else Target(**value)
