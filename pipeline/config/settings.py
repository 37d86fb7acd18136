"""The configuration as frozen values: what `load` makes of the YAML and everything else reads.

Each dataclass mirrors one object of `schemas/config.schema.json`: the same fields, the same defaults; a test holds
them together. Durations are seconds as float, sizes bytes, paths absolute.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.config.places import Places
from pipeline.config.secret import Secret
from pipeline.errors import Fault

SYNCHRONOUS_S, BACKGROUND_S = 10.0, 900.0
"""The time limits of the two kinds of functions, unless settings say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential:
    """Waits that grow: base * factor^n seconds, at most `max`, `attempts` tries in all."""

    base: float
    factor: float = 2.0
    max: float = 86_400.0
    attempts: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySpec:
    """A retry policy as written: exactly one of a name, a list of waits in seconds, or an exponential; and its limit
    of age.
    """

    name: str | None = None
    waits: tuple[float, ...] | None = None
    exponential: Exponential | None = None
    max_age: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSpec:
    """When a destination that fails is left alone, and for how long, in seconds."""

    failures: int = 10
    """So many attempts in a row must have failed,"""
    deliveries: int = 5
    """of so many deliveries at the least."""
    wait: float = 30.0
    """How long until one attempt is made again; it doubles each time that this one fails, too."""
    max_wait: float = 600.0


DISABLE_AFTER_S = 120 * 3600.0
"""A destination that has failed for so long is disabled, unless its settings say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One destination that a function's messages go to; `when` is a JSON Schema over the result's value, or None."""

    to: str
    when: Mapping[str, Any] | None = None


class Scope(StrEnum):
    """What a key may do. None includes another."""

    INVOKE = "invoke"
    """Invoke functions, and see and change the jobs that it made."""
    READ = "read"
    """See everything."""
    ADMIN = "admin"
    """Change everything."""


class Access(StrEnum):
    """Who may invoke a function."""

    PUBLIC = "public"
    KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """One key: who has it, what it hashes to, what it may do."""

    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    functions: tuple[str, ...] | None = None
    """What it may invoke; None: everything."""
    expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """How long ended jobs stay, in seconds."""

    succeeded: float = 7 * 86_400.0
    failed: float = 30 * 86_400.0
    dead: float = 90 * 86_400.0
    """For a job with a dead delivery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """The HTTP side of the service and what bounds it."""

    host: str = "127.0.0.1"
    port: int = 8888
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose X-Forwarded headers are believed."""
    link_keys: tuple[Secret, ...] = ()
    """What signs links, the newest first: the first signs, links of all are good."""
    link_expiry: float = 7 * 86_400.0
    body_limit: int = 6 * 1024 * 1024
    result_limit: int = 64 * 1024 * 1024
    queue_limit: int = 100_000
    disk_floor: int = 32 * 1024 * 1024
    """Where less is free, new background work is refused; on a small disk a tenth of it."""
    keepalive: float = 15.0
    body_timeout: float = 30.0
    """The longest that a request's body may take to arrive."""
    drain_grace: float = 30.0
    log_format: str = "text"
    """`text` or `json`."""
    retention: RetentionSettings = field(default_factory=RetentionSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """One function's settings; None means the default for its kind."""

    background: bool | None = None
    timeout: float | None = None
    """Default: 10 s for a synchronous function, 15 min for a background one."""
    memory: int = 1024 * 1_000_000
    """What a worker process may use, its descendants included."""
    concurrency: int | None = None
    """Worker processes at the most; default: the number of CPUs."""
    async_concurrency: int = 1
    """Runs of an async handler in one process at once."""
    max_runs: int = 1000
    """After so many runs a worker process is replaced."""
    idle_timeout: float = 300.0
    """So long a worker process is kept without a run."""
    env: Mapping[str, Secret] = field(default_factory=lambda: MappingProxyType({}))
    """Variables of the workers' environment, besides the few that every worker has."""
    retry: RetrySpec = field(default_factory=lambda: RetrySpec(waits=(60.0, 120.0)))
    access: Access | None = None
    """Who may invoke it; default: keys, once there are any."""
    retry_on_5xx: bool = True
    max_age: float | None = None
    """A job that has not started by then is expired; default: it waits as long as it takes."""
    on_success: tuple[Target, ...] = ()
    on_failure: tuple[Target, ...] = ()
    on_batch: tuple[Target, ...] = ()

    @property
    def targets(self) -> Iterator[tuple[str, tuple[Target, ...]]]:
        """Yield the settings that name destinations, each with its key."""
        for key in ("on_success", "on_failure", "on_batch"):
            yield key, getattr(self, key)

    @property
    def memory_mb(self) -> int:
        """Return `memory` in whole megabytes, as the function's context names it, and as usage is counted."""
        return math.ceil(self.memory / 1_000_000)

    def limit_s(self, *, is_background: bool) -> float:
        """Return how long a run may take."""
        return self.timeout or (BACKGROUND_S if is_background else SYNCHRONOUS_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionsSettings:
    """Where the functions are, and the settings of those that have any."""

    directory: Path
    python: Path | None = None
    """The interpreter that runs them; None is the service's own."""
    settings: Mapping[str, FunctionSettings] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, name: str) -> FunctionSettings:
        """Return the settings of the function `name`: its own, or the defaults."""
        return self.settings.get(name) or FunctionSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationSettings:
    """A destination as configured: its kind (the YAML's `type`), and all other keys as its kind's own settings."""

    name: str
    kind: str
    options: Any
    """An instance of the kind's `Settings`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration."""

    path: Path | None
    """The YAML file, or None where the service runs without one."""
    service: ServiceSettings
    store: Path
    functions: FunctionsSettings
    keys: tuple[KeySettings, ...] = ()
    """Without any, nobody is asked for one."""
    destinations: Mapping[str, DestinationSettings] = field(default_factory=lambda: MappingProxyType({}))
    alerts: tuple[str, ...] = ()
    """The destinations that are told how the others fare."""
    secrets: frozenset[str] = frozenset()
    """Every text under a key marked secret, and what of it came from the environment: to be masked wherever shown."""
    places: Places = field(default_factory=Places, repr=False, compare=False)

    def fault(self, path: str, message: str) -> Fault:
        """Make a fault of the setting at `path`, such as `destinations.next.function`, where it is written."""
        return self.places.fault(path, message)
