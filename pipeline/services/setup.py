"""The setup: all that follows from one configuration and one folder of functions, as one value that never changes.

A reload makes another one, whole, and puts it in the place of the first. So who reads the current setup twice may see
two; what has to hold together is read once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from destinations.base import Kind
from pipeline.config.settings import Config, FunctionSettings
from pipeline.errors import ConfigurationError
from pipeline.functions import interpreter
from pipeline.functions.catalog import Catalog
from pipeline.retry import Policy, policy
from pipeline.services.routes import Goal, Goals, Route, goal_of, goals_of, routes_of

_DEFAULTS = FunctionSettings()
_DEFAULT_POLICY = policy(_DEFAULTS.retry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the service is set up to do."""

    config: Config
    catalog: Catalog
    routes: Mapping[str, Route]
    destinations: frozenset[str]
    """The names of the routes."""
    goals: Goals
    alerts: tuple[Goal, ...]
    """Where alerts go."""
    policies: Mapping[str, Policy]
    """The retry policies of the functions that have settings."""
    callback: Route | None
    """The destination for URLs that callers name, if there is one."""
    base_url: str
    """Where the service says of itself that it is reached, without a trailing slash."""

    @classmethod
    def make(cls, config: Config, kinds: Mapping[str, Kind], before: Self | None = None) -> Self:
        """Read the functions and make the destinations, which are not opened yet but for those kept from `before`.

        Raises ConfigurationError. Reads files: where a loop runs, this belongs into a thread.
        """
        catalog = Catalog.load(config.functions)
        check_functions(config, catalog)
        routes = routes_of(config, kinds, before.routes if before else {})
        functions = config.functions.settings
        return cls(
            config=config,
            catalog=catalog,
            routes=routes,
            destinations=frozenset(routes),
            goals=goals_of(config.functions, routes),
            alerts=tuple(map(goal_of, map(routes.__getitem__, config.alerts))),
            policies=MappingProxyType({name: policy(settings.retry) for name, settings in functions.items()}),
            callback=next((route for route in routes.values() if route.refusal_of is not None), None),
            base_url=base_url_of(config),
        )

    def policy(self, function: str) -> Policy:
        """Return the retry policy of a function."""
        return self.policies.get(function, _DEFAULT_POLICY)

    def memory_mb(self, function: str) -> int:
        """Return what a process of a function may use, in megabytes."""
        return self.config.functions.settings.get(function, _DEFAULTS).memory_mb

    def knows(self, function: str) -> bool:
        """Tell whether anything is said of a function: it is there, or has settings."""
        return function in self.catalog.functions or function in self.config.functions.settings

    def new_routes(self, before: "Setup | None") -> list[Route]:
        """Return the routes that `before` does not have: added, or made anew."""
        kept = before.routes if before else {}
        return [route for name, route in self.routes.items() if kept.get(name) is not route]


@dataclass(slots=True)
class Current:
    """Holds the setup that counts now, for all who follow it."""

    setup: Setup


def check_functions(config: Config, catalog: Catalog) -> None:
    """Raise ConfigurationError for destinations whose function is not in the catalogue, and for an interpreter that
    cannot run functions.
    """
    functions = config.functions
    faults = [
        config.fault(
            f"destinations.{name}.function",
            f"expected a function in {functions.directory}, got {settings.options.function!r}, which is not there",
        )
        for name, settings in config.destinations.items()
        if settings.kind == "function" and settings.options.function not in catalog.functions
    ]
    if functions.python is not None and (wrong := interpreter.fault_of(functions.python)):
        faults.append(config.fault("functions.python", wrong))
    if faults:
        raise ConfigurationError(faults)


def base_url_of(config: Config) -> str:
    """Return what the links in messages begin with, as nobody asks for those by a name of the service's."""
    service = config.service
    if service.public_url:
        return service.public_url.rstrip("/")
    host = "127.0.0.1" if service.host in ("0.0.0.0", "::", "") else service.host  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{service.port}" if ":" in host else f"http://{host}:{service.port}"
