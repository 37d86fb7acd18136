"""Reloading: the configuration and the functions read anew while the service runs, all or nothing.

All is read, made and opened before anything is changed. Any fault leaves everything as it is.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from itertools import chain
from typing import Any

from destinations.base import Kind
from pipeline.app import App
from pipeline.config.settings import Config
from pipeline.errors import ConfigurationError
from pipeline.model import DeliveryState
from pipeline.services.routes import Route, close_routes, open_routes
from pipeline.services.setup import Setup
from pipeline.telemetry import Telemetry

_LOOKED_AT = 500
"""So many of what waits for a destination are looked at for what it cannot be sent."""


class Reloader:
    """Reloads a service when it is asked to: one reload at a time, and another where it was asked meanwhile."""

    def __init__(
        self,
        app: App,
        load: Callable[[Config], Config],
        kinds: Mapping[str, Kind],
        *,
        warnings: Callable[[Setup], Iterable[object]],
        asked: asyncio.Event,
        telemetry: Telemetry,
    ) -> None:
        """`load` reads what comes after the given configuration, and may raise ConfigurationError; `warnings` says what
        there is to say of a setup. Both are called in a thread. `asked` is set by whoever wants a reload.
        """
        self._app = app
        self._load = load
        self._kinds = kinds
        self._warnings = warnings
        self._telemetry = telemetry
        self._asked = asked

    async def serve(self) -> None:
        """Reload whenever it is asked for, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reload()

    async def reload(self) -> bool:
        """Reload now; return whether the service follows the new configuration. If not, nothing has changed."""
        before = self._app.setup
        try:
            setup, told, warnings = await asyncio.to_thread(self._made, before)
            await open_routes(setup.new_routes(before), setup.config)
        except ConfigurationError as error:
            for fault in error.faults:
                self._telemetry.emit("config.fault", fault=fault)
            return self._refuse("it has faults")
        except (Exception, SystemExit) as error:  # a kind that raises what it may not: the service must live on
            self._telemetry.failed("task.failed", error)
            return self._refuse("it cannot be made")
        if self._app.intake.is_draining:
            await close_routes(setup.new_routes(before))
            return self._refuse("the service is shutting down")
        await self._app.adopt(setup)
        self._telemetry.mask.forget_old(setup.config.secrets)
        added, changed, removed = told
        self._telemetry.emit("config.reloaded", added=added, changed=changed, removed=removed)
        await self._tell_of_waiting(before, setup)
        for warning in warnings:
            self._telemetry.emit("service.warning", detail=warning)
        return True

    def _made(self, before: Setup) -> tuple[Setup, "Report", list[object]]:
        config = self._load(before.config)
        # Before anything is said of it; should it be refused, a few texts too many are masked.
        self._telemetry.mask.learn(config.secrets)
        service = replace(config.service, port=before.config.service.port)  # it may have been 0: any free one
        setup = Setup.make(replace(config, service=service), self._kinds, before)
        # Told afterwards, and made now: the settings of plug-ins are compared, which may raise anything.
        return setup, report(before, setup), list(self._warnings(setup))

    def _refuse(self, reason: str) -> bool:
        self._telemetry.emit("config.refused", reason=f"{reason}; all stays as it is")
        return False

    async def _tell_of_waiting(self, before: Setup, after: Setup) -> None:
        """Say what waits for destinations that are gone, or of another type: a change by mistake is seen by that."""
        gone = before.routes.keys() - after.routes.keys()
        waiting = Counter[str]()
        for (name, _), count in (await self._app.store.open_deliveries(gone) if gone else {}).items():
            waiting[name] += count
        for name in sorted(waiting):
            are = "delivery is" if waiting[name] == 1 else "deliveries are"
            said = f"{waiting[name]:,} {are} held: the destination {name} is not in the configuration any more"
            self._telemetry.emit("service.warning", detail=said)
        for name, route in after.routes.items():
            if name in before.routes and before.routes[name].kind != route.kind:
                await self._tell_of_misfits(route)

    async def _tell_of_misfits(self, route: Route) -> None:
        """Say what was made for a destination while it was of another type, and cannot be sent to what it is now."""
        found = [
            delivery
            for state in (DeliveryState.PENDING, DeliveryState.RETRYING)
            for delivery in await self._app.store.list_deliveries(
                before=None, most=_LOOKED_AT, state=state, destination=route.name
            )
            if not route.takes(delivery)
        ]
        if found:
            many = f"{len(found):,} {'delivery' if len(found) == 1 else 'deliveries'}"
            least = "at least " if len(found) >= _LOOKED_AT else ""
            said = (
                f"{least}{many} made for {route.name} as a destination of the type {found[0].kind} cannot be sent: its "
                f"type is {route.kind} now, and each attempt fails as unconfigured; give the new one another name to "
                "have them held"
            )
            self._telemetry.emit("service.warning", detail=said)


# What changed. Names only: values may be secrets.

Facts = Mapping[str, object]
"""Everything that a setup is about, by its name in the configuration."""


Report = tuple[str | None, str | None, str | None]
"""The names of what is added, changed and removed."""


def report(before: Setup, after: Setup) -> Report:
    """Return what a reload changes, as it is told."""
    old, new = facts_of(before), facts_of(after)
    return _named(new.keys() - old.keys()), _named(changes(old, new)), _named(old.keys() - new.keys())


def facts_of(setup: Setup) -> Facts:
    """Return the destinations, the functions and the service's settings of a setup."""
    config = setup.config
    return {
        "service": config.service,
        **{f"keys.{name}": tuple(key for key in config.keys if key.name == name) for name in _names_of(config)},
        "functions": replace(config.functions, settings={}),
        "alerts": config.alerts,
        **{f"destinations.{name}": route.made_of for name, route in setup.routes.items()},
        **{f"functions.{function.name}": (function, config.functions.of(function.name)) for function in setup.catalog},
    }


def _names_of(config: Config) -> set[str]:
    return {key.name for key in config.keys}


def changes(before: Facts, after: Facts) -> Iterator[str]:
    """Yield what is in both and not the same: each as `destinations.hook(secrets,url)`, with the settings' names."""
    for name in before.keys() & after.keys():
        if before[name] != after[name]:
            settings = ",".join(sorted(set(_differing(before[name], after[name]))))
            yield f"{name}({settings})" if settings else name


def _differing(before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, tuple) and isinstance(after, tuple):
        yield from chain.from_iterable(map(_differing, before, after))
    elif is_dataclass(before) and type(before) is type(after):
        for field in fields(before):
            old, new = getattr(before, field.name), getattr(after, field.name)
            if old != new:
                inner = list(_differing(old, new)) if field.name == "options" else []
                yield from inner or [field.name.strip("_")]


def _named(names: Any) -> str | None:
    return " ".join(sorted(names)) or None
