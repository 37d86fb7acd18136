"""Routes and goals: the configured destinations, ready to be sent to, and where the messages of each function go."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from referencing import Registry

from destinations.base import Destination, Kind, PublicKey
from destinations.common import common_of
from pipeline.config.settings import (
    BreakerSpec,
    Config,
    DestinationSettings,
    FunctionsSettings,
    Target,
)
from pipeline.errors import ConfigurationError, Fault
from pipeline.model import Delivery, MessageType
from pipeline.retry import Policy, policy

Goals = Mapping[tuple[str, MessageType], tuple["Goal", ...]]
"""Where the messages of each function go, by its name and the message's type; nowhere where it is not named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One configured destination, ready to be sent to."""

    name: str
    kind: str
    destination: Destination
    concurrency: int
    policy: Policy
    rate: float | None = None
    """Attempts in a second, at the most."""
    breaker: BreakerSpec | None = None
    disable_after_s: float | None = None
    refusal_of: Callable[[str], str | None] | None = None
    """Says why a URL may not be called that a caller names; None: callers name none here."""
    public_keys: tuple[PublicKey, ...] = ()
    made_of: object = None
    """All that the destination was made of: its settings, and what the files that they name held."""

    def takes(self, delivery: Delivery) -> bool:
        """Tell whether a delivery that was made for the destination of this name can go there, should it have become
        one of another kind: a recipient means nothing to others, such as the URL that a caller named to a webhook.
        """
        is_nameless = not delivery.recipient and self.destination.recipients() == ("",)
        return delivery.kind == self.kind or is_nameless


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One destination of a function's messages; without filters everything goes there, else what one of them
    matches.
    """

    route: Route
    recipients: tuple[str, ...]
    filters: tuple[Draft202012Validator, ...]

    def is_filtered(self, value_of: Callable[[], bytes] | None) -> bool:
        """Tell whether no filter matches the value, which `value_of` returns as JSON. What cannot be judged is sent."""
        if not self.filters or value_of is None:
            return False
        try:
            value = orjson.loads(value_of())
            return not any(each.is_valid(value) for each in self.filters)
        except Exception:  # a schema is the operator's: whatever is wrong with it must not swallow a message
            return False


def routes_of(config: Config, kinds: Mapping[str, Kind], before: Mapping[str, Route]) -> Mapping[str, Route]:
    """Return the configured destinations by name. One that is made of the same as in `before` is the same, and open.

    Raises ConfigurationError with every one that cannot be made.
    """
    routes: dict[str, Route] = {}
    faults = list(_faults_of_callers(config, kinds))
    for name, settings in config.destinations.items():
        try:
            routes[name] = _route(settings, kinds, before.get(name))
        except Exception as error:  # what a kind finds wrong so late, or a plug-in that is wrong itself
            message = f"cannot be made: {type(error).__name__}: {error}"
            faults.append(config.fault(f"destinations.{name}", message))
    if faults:
        raise ConfigurationError(faults)
    return MappingProxyType(routes)


def _faults_of_callers(config: Config, kinds: Mapping[str, Kind]) -> Iterable[Fault]:
    """Yield where destinations for URLs that callers name are more than one, or are named by a function."""
    names = [name for name, each in config.destinations.items() if kinds[each.kind].refusal_by is not None]
    for name in names[1:]:
        message = f"expected one destination for the URLs of callers, got {name} beside {names[0]}"
        yield config.fault(f"destinations.{name}", message)
    named = [(f"alerts[{index}]", name) for index, name in enumerate(config.alerts)]
    named += [
        (f"functions.settings.{function}.{key}[{index}]", target.to)
        for function, settings in config.functions.settings.items()
        for key, targets in settings.targets
        for index, target in enumerate(targets)
    ]
    for place, name in named:
        if name in names:
            yield config.fault(place, f"expected a destination with an address, got {name}: only callers name its URLs")


def _route(settings: DestinationSettings, kinds: Mapping[str, Kind], before: Route | None) -> Route:
    made_of = (settings, *_files_of(settings.options))
    if before is not None and before.made_of == made_of:
        return before
    kind = kinds[settings.kind]
    # Read and judged here, before anything of a new setup counts: whoever follows the setup finds what it expects.
    common = common_of(settings.options)
    return Route(
        name=settings.name,
        kind=settings.kind,
        destination=kind.make(settings.name, settings.options),
        concurrency=common.concurrency,
        policy=policy(common.retry),
        rate=common.rate,
        breaker=common.breaker if kind.has_receiver else None,
        disable_after_s=common.disable_after if kind.has_receiver else None,
        refusal_of=kind.refusal_by(settings.options) if kind.refusal_by else None,
        public_keys=tuple(kind.public_keys(settings.options)),
        made_of=made_of,
    )


def _files_of(options: Any) -> Iterable[bytes | None]:
    """Yield what the files hold that are named in `options`, such as templates and certificates."""
    for field in fields(options) if is_dataclass(options) else ():
        option = getattr(options, field.name)
        if isinstance(option, Path):
            try:
                yield option.read_bytes()
            except OSError:  # whoever makes the destination says what is wrong
                yield None
        else:
            yield from _files_of(option)


async def open_routes(routes: Iterable[Route], config: Config) -> None:
    """Open destinations: all of them, or none where one cannot be; raises ConfigurationError then."""
    opened: list[Route] = []
    faults: list[Fault] = []
    try:
        for route in routes:
            try:
                await route.destination.open()
            except Exception as error:  # such as a file of certificates that is none
                faults.append(config.fault(f"destinations.{route.name}", f"cannot be opened: {error}"))
            else:
                opened.append(route)
        if faults:
            raise ConfigurationError(faults)
    except BaseException:
        await close_routes(opened)
        raise


async def close_routes(routes: Iterable[Route]) -> None:
    """Close destinations, all at once: one that takes its time keeps no other waiting."""
    await asyncio.gather(*(route.destination.close() for route in routes))


def goals_of(functions: FunctionsSettings, routes: Mapping[str, Route]) -> Goals:
    """Return where the messages of all functions go; a destination that is named twice gets one delivery."""
    return MappingProxyType(
        {
            (name, message): _goals(targets, routes)
            for name, settings in functions.settings.items()
            for message, targets in (
                (MessageType.JOB_SUCCEEDED, settings.on_success),
                (MessageType.JOB_FAILED, settings.on_failure),
                (MessageType.BATCH_COMPLETED, settings.on_batch),
            )
            if targets
        }
    )


def _goals(targets: tuple[Target, ...], routes: Mapping[str, Route]) -> tuple[Goal, ...]:
    names = dict.fromkeys(target.to for target in targets)
    return tuple(goal_of(routes[name], [target for target in targets if target.to == name]) for name in names)


def goal_of(route: Route, targets: Sequence[Target] = ()) -> Goal:
    """Return what sends to a route what one of `targets` lets through; without any, everything."""
    filters = () if any(target.when is None for target in targets) else tuple(map(_validator, targets))
    return Goal(route=route, recipients=route.destination.recipients(), filters=filters)


def _validator(target: Target) -> Draft202012Validator:
    nothing: Registry[Any] = Registry()  # so that no `$ref` is ever fetched (finding 20)
    return Draft202012Validator(dict(target.when or {}), registry=nothing)
