"""Which kinds of destinations there are: an explicit table of the built-ins, and what plug-ins offer beside them."""

import json
from importlib.resources import files
from typing import Any

from destinations import function
from destinations.base import Kind
from destinations.callback import settings as callback_settings
from destinations.callback.destination import Callback
from destinations.email import settings as email_settings
from destinations.email.destination import Email
from destinations.plugins.finding import Kinds, with_plugins
from destinations.webhook import settings as webhook_settings
from destinations.webhook.destination import Webhook


def builtin_kinds() -> dict[str, Kind]:
    """Return the kinds that come with Sendoff, by the `type` that names them; reads their schemas."""
    kinds = (
        Kind(
            kind="callback",
            schema=callback_settings.schema_of(_schema("callback"), _schema("webhook")),
            settings=callback_settings.settings_of,
            make=Callback,
            warn=callback_settings.warn,
            has_receiver=False,
            refusal_by=callback_settings.refusal_by,
            public_keys=webhook_settings.public_keys,
        ),
        Kind(
            kind="email",
            schema=_schema("email"),
            settings=email_settings.settings_of,
            make=Email,
            warn=email_settings.warn,
        ),
        Kind(
            kind="function",
            schema=_schema("function"),
            settings=function.settings_of,
            make=function.Function,
            has_receiver=False,
        ),
        Kind(
            kind="webhook",
            schema=_schema("webhook"),
            settings=webhook_settings.settings_of,
            make=Webhook,
            warn=webhook_settings.warn,
            public_keys=webhook_settings.public_keys,
        ),
    )
    return {kind.kind: kind for kind in kinds}


def all_kinds() -> Kinds:
    """Return the built-in kinds and those of plug-ins; imports the plug-ins that are installed."""
    return with_plugins(builtin_kinds())


def _schema(kind: str) -> dict[str, Any]:
    text = files("schemas").joinpath(f"{kind}.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
