"""The settings of callbacks: a webhook's, less what needs one receiver, and the list of what callers may name."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from destinations import egress
from destinations.base import Concern, End
from destinations.callback.allow_list import AllowList, entry_of
from destinations.webhook import settings as webhook_settings
from pipeline.config.settings import BreakerSpec
from pipeline.model import BatchState, JobState

OF_ONE_RECEIVER = frozenset(
    {"url", "breaker", "disable_after", "on_410"}
    # These would show the operator's credentials to whomever a caller names, or have a proxy dial past the guard.
    | {"basic", "bearer", "tls", "proxy"}
)
"""The settings of a webhook that speak of its one receiver, where it has them."""

_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})
_ALL_ENDS: frozenset[End] = frozenset(
    {JobState.SUCCEEDED, JobState.FAILED, JobState.EXPIRED, BatchState.COMPLETED, BatchState.COMPLETED_WITH_FAILURES}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(webhook_settings.Settings):
    """The settings of callbacks; the fields and defaults of `schemas/callback.schema.json`, and those of a webhook."""

    url: str = ""
    breaker: BreakerSpec | None = None
    disable_after: float | None = None
    on_410: str = "fail"
    concurrency: int = 50
    allow_hosts: tuple[str, ...]
    allow_cidrs: tuple[str, ...] = ()


def schema_of(own: Mapping[str, Any], webhook: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of all settings: the `own` ones, and of those of a webhook what has no need of one receiver."""
    shared = {name: option for name, option in webhook["properties"].items() if name not in OF_ONE_RECEIVER}
    return {**webhook, **own, "properties": {**own["properties"], **shared, **own["properties"]}}


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return the settings in validated options; raises ValueError for a host, secret or header that cannot be used."""
    lists = {name: tuple(options.get(name, ())) for name in ("allow_hosts", "allow_cidrs")}
    return webhook_settings.made(Settings, {**options, **lists}, list(_faults_of(options["allow_hosts"])))


def _faults_of(hosts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(hosts):
        try:
            entry_of(text)
        except ValueError as error:
            yield f"allow_hosts[{number}]: {error}"


def refusal_by(settings: Settings) -> Callable[[str], str | None]:
    """Return what says why a URL may not be named by a caller, or None for one that may."""
    return AllowList(settings.allow_hosts, settings.allow_cidrs).refusal_of


def warn(settings: Settings, _: frozenset[End]) -> Iterator[Concern]:
    """Yield what cannot work, such as addresses that no connection is made to, and what would give secrets away."""
    for number, text in enumerate(settings.allow_hosts):
        host = entry_of(text).host
        try:
            refusal = egress.refusal(ip_address(host), egress.OPERATOR)
        except ValueError:
            continue
        if refusal:
            yield f"allow_hosts[{number}]", f"serves nobody, as {refusal}"
    for name in settings.headers:
        if name.lower() in _CREDENTIALS:
            yield f"headers.{name}", "is shown to every host that callers may name"
    yield from webhook_settings.warn_of_all(settings, _ALL_ENDS)
