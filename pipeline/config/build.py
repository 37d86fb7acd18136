"""Makes the frozen settings of a converted document: each object's keys are its dataclass's fields."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pipeline.config.settings import FunctionSettings, FunctionsSettings, RetentionSettings, ServiceSettings, Target


def service_settings(tree: Mapping[str, Any]) -> ServiceSettings:
    """Return the settings under `service`."""
    fields = {**tree, "retention": RetentionSettings(**tree.get("retention", {}))}
    if fields.get("public_url"):
        fields["public_url"] = fields["public_url"].rstrip("/")  # links are made by putting a path behind it
    return ServiceSettings(**fields)


def functions_settings(tree: Mapping[str, Any]) -> FunctionsSettings:
    """Return the settings under `functions`, `directory` among them."""
    settings = {name: _function_settings(fields) for name, fields in tree.get("settings", {}).items()}
    return FunctionsSettings(**{**tree, "settings": MappingProxyType(settings)})


def _function_settings(tree: Mapping[str, Any]) -> FunctionSettings:
    fields = dict(tree)
    for key in ("on_success", "on_failure", "on_batch"):
        fields[key] = tuple(map(_target, fields.get(key, ())))
    return FunctionSettings(**fields)


def _target(value: Any) -> Target:
    return Target(to=value) if isinstance(value, str) else Target(**value)
