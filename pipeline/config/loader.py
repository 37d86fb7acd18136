"""The configuration of a running service: loaded at the start, and again at every reload, from the same places."""

from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.config.load import Overrides, load_config
from pipeline.config.options import OptionsKind
from pipeline.config.settings import Config
from pipeline.errors import ConfigurationError

FIXED = ("service.host", "service.port", "service.keepalive", "service.log_format", "store")
"""What is bound at the start: only a restart changes it."""


class Loader:
    """Loads the configuration from one file, under the same overrides of the command line each time."""

    def __init__(
        self,
        path: Path | None,
        *,
        environ: Callable[[], Mapping[str, str]],
        kinds: Mapping[str, OptionsKind],
        cwd: Path,
        overrides: Overrides,
    ) -> None:
        """`path` as for `load_config`; `environ` returns the environment as it is at the time of a load."""
        self._path = path
        self._environ = environ
        self._kinds = kinds
        self._cwd = cwd
        self._overrides = overrides
        self._first: Config | None = None

    def load(self, current: Config | None = None) -> Config:
        """Read everything anew; ConfigurationError with every fault, among them a change that needs a restart.

        `current` is the configuration that counts until then. A file that was found, not named, has to be there again:
        its absence would leave no destinations, without a fault.
        """
        found = None if current is None or current.path is None else Path(current.path.name)
        config = load_config(
            self._path or found, environ=self._environ(), kinds=self._kinds, cwd=self._cwd, overrides=self._overrides
        )
        if self._first is None:
            self._first = config
        _check_fixed(self._first, config)
        return config


def _check_fixed(before: Config, after: Config) -> None:
    faults = [
        after.fault(path, f"expected {old}, as at the start, got {new}, which needs a restart")
        for path in FIXED
        if (old := _at(before, path)) != (new := _at(after, path))
    ]
    if faults:
        raise ConfigurationError(faults)


def _at(config: Config, path: str) -> object:
    value: object = config
    for name in path.split("."):
        value = getattr(value, name)
    return value
