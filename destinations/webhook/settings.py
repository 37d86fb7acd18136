"""The settings of a webhook: what its part of the configuration comes to, and what of it cannot be, or cannot work."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from destinations import egress
from destinations.base import Concern, End, PublicKey
from destinations.bodies import forms
from destinations.bodies.base import Form
from destinations.bodies.message import MESSAGE
from destinations.dial.credentials import Basic, Proxy
from destinations.dial.tls import Tls
from destinations.signing.keys import Layout
from destinations.webhook.access import access_of, check_access, refusal_of_proxy
from destinations.webhook.secrets import (
    AnySecret,
    bare_ones,
    idle_ones,
    public_keys_of,
    repeated_ones,
    secrets_of,
    short_ones,
)
from pipeline.config.secret import Secret
from pipeline.config.settings import DISABLE_AFTER_S, BreakerSpec, RetrySpec
from pipeline.errors import OptionsError

_DEAD_ON = (413, 414, 415, 431, 501, 505)
_FORBIDDEN = re.compile(r"[^\t\x20-\x7e\x80-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a webhook; the fields and defaults of `schemas/webhook.schema.json`."""

    url: str
    method: str = "POST"
    secrets: tuple[AnySecret, ...] = ()
    signature: Layout = Layout.STANDARD
    headers: Mapping[str, Secret] = field(default_factory=lambda: MappingProxyType({}))
    basic: Basic | None = None
    bearer: Secret | None = None
    tls: Tls | None = None
    proxy: Proxy | None = None
    body: Form = MESSAGE
    inline_limit: int = 256 * 1024
    timeout: float = 30.0
    connect_timeout: float = 5.0
    concurrency: int = 10
    rate: float | None = None
    breaker: BreakerSpec | None = field(default_factory=BreakerSpec)
    disable_after: float | None = DISABLE_AFTER_S
    retry: RetrySpec = field(default_factory=lambda: RetrySpec(name="default"))
    dead_on: tuple[int, ...] = _DEAD_ON
    on_410: str = "disable"


_IDLE = (
    "never signs: signature: github has room for one signature, that of the first secret that is valid, so that who "
    "knows this one alone refuses every request; to rotate, put the old secret first, with `until`, and the new one "
    "behind it"
)
_BARE = (
    "has no prefix and is taken as base64; write whsec_ before it if that is right, raw: if receivers use the text as "
    "it is"
)
_FRAGMENT = "what stands behind its # is never sent: leave it out, or write %23 for a # of the path or the query"
_BASIC = "write basic: {username: ..., password: ...}"

S = TypeVar("S", bound=Settings)


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return the settings in validated options; raises ValueError for a URL, secret or header that cannot be used."""
    fault = egress.fault_of_url(options["url"], instead=_BASIC)
    return made(Settings, options, [] if fault is None else [f"url: {fault}"])


def made(kind: type[S], options: Mapping[str, Any], reasons: Sequence[str]) -> S:
    """Return settings of a webhook, or of what is one but for its URL; raises ValueError as `settings_of` does, which
    tells the `reasons` first that are known already.
    """
    try:
        settings = _checked(kind, options)
    except ValueError as error:
        raise OptionsError([*reasons, *OptionsError.reasons_in(error)]) from None
    if reasons:
        raise OptionsError(reasons)
    return settings


def _checked(kind: type[S], options: Mapping[str, Any]) -> S:
    layout = Layout(options.get("signature", Layout.STANDARD))
    settings = kind(
        **{
            **options,
            **access_of(options),
            "secrets": secrets_of(options, layout),
            "signature": layout,
            "headers": MappingProxyType(dict(options.get("headers", {}))),
            "body": forms.form_of(options.get("body", MESSAGE)),
            "dead_on": tuple(options.get("dead_on", _DEAD_ON)),
        }
    )
    for name, value in settings.headers.items():
        if settings.secrets and name.lower() == layout.header:
            raise ValueError(f"headers.{name}: expected another header, as signature: {layout} sets this one")
        if settings.body.owns(name.lower()):
            raise ValueError(f"headers.{name}: expected another header, as body: {settings.body.name} sets this one")
        if _FORBIDDEN.search(value.reveal()):
            raise ValueError(f"headers.{name}: a header holds no line breaks or other control characters")
    check_access(
        settings.url,
        settings.headers,
        basic=settings.basic,
        bearer=settings.bearer,
        tls=settings.tls,
        proxy=settings.proxy,
    )
    return settings


def warn(settings: Settings, ends: frozenset[End]) -> Iterator[Concern]:
    """Yield what cannot work: an address that no connection is made to, a body that some message does not fill."""
    if refusal := egress.refusal_of_url(settings.url, egress.OPERATOR):
        yield "url", f"every attempt will be refused, as {refusal}"
    if "#" in settings.url:
        yield "url", _FRAGMENT
    if settings.proxy and (refusal := refusal_of_proxy(settings.proxy)):
        yield "proxy", f"every attempt will be refused, as {refusal}"
    yield from warn_of_all(settings, ends)


def warn_of_all(settings: Settings, ends: frozenset[End]) -> Iterator[Concern]:
    """Yield what cannot work, whatever the URL."""
    if settings.signature is not Layout.STANDARD and not settings.secrets:
        yield "signature", "serves only with secrets: without any, requests are not signed"
    repeated = dict(repeated_ones(settings.secrets, settings.signature))
    for place, before in repeated.items():
        yield place, f"is the secret of {before} again: leave it out, or write the other one that was meant"
    if settings.signature is Layout.GITHUB:
        for place in idle_ones(settings.secrets):
            if place not in repeated:
                yield place, _IDLE
    if settings.signature is Layout.STANDARD:  # in the others the key is the text, whatever it is
        for place in bare_ones(settings.secrets):
            yield place, _BARE
    for place, size in short_ones(settings.secrets):
        count = f"{size} byte{'' if size == 1 else 's'}"
        yield place, f"of {count} can be found by trying; `sendoff secret new` prints one of 32 random bytes"
    yield from forms.warn(settings.body, ends)


def public_keys(settings: Settings) -> Iterator[PublicKey]:
    """Yield what receivers verify with, of the secrets that have such a key."""
    yield from public_keys_of(settings.secrets)
