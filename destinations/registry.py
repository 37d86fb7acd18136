"""Which kinds of destinations there are, and the destinations of a configuration."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from destinations import email, function, webhook
from destinations.base import Destination, Kind
from pipeline.config.settings import DestinationSettings


def builtin_kinds() -> dict[str, Kind]:
    """Return the kinds that come with Sendoff, by the `type` that names them; reads their schemas."""
    kinds = (
        Kind(kind="email", schema=_schema("email"), settings=email.settings_of, make=email.Email, warn=email.warn),
        Kind(kind="function", schema=_schema("function"), settings=function.settings_of, make=function.Function),
        Kind(
            kind="webhook",
            schema=_schema("webhook"),
            settings=webhook.settings_of,
            make=webhook.Webhook,
            warn=webhook.warn,
        ),
    )
    return {kind.kind: kind for kind in kinds}


def make_destinations(
    configured: Mapping[str, DestinationSettings], kinds: Mapping[str, Kind]
) -> dict[str, Destination]:
    """Return the configured destinations by name, not opened yet."""
    return {name: kinds[settings.kind].make(name, settings.options) for name, settings in configured.items()}


def _schema(kind: str) -> dict[str, Any]:
    text = files("schemas").joinpath(f"{kind}.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
