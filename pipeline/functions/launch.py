"""How one function's worker processes are started, and what bounds them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.settings import FunctionSettings, FunctionsSettings
from pipeline.functions.catalog import Function
from pipeline.functions.environment import worker_environment
from pipeline.functions.guardian import Order

_PROGRAM = Path(__file__).parent / "workers" / "sendoff_python"
_BACKSTOP = 2
"""RLIMIT_DATA as a multiple of the memory limit: it also counts the stacks of threads that are never touched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """The function, and of its settings those that concern its processes."""

    function: Function
    settings: FunctionSettings
    interpreter: Path | None
    result_limit: int
    environment: Mapping[str, str]

    @classmethod
    def of(
        cls, function: Function, settings: FunctionsSettings, result_limit: int, environ: Mapping[str, str]
    ) -> "Launch":
        """Return how `function` is started; of `environ`, the service's own environment, only a few names are passed
        on.
        """
        own = settings.of(function.name)
        return cls(
            function=function,
            settings=own,
            interpreter=settings.python,
            result_limit=result_limit,
            environment=worker_environment(environ, own.env),
        )

    @property
    def capacity(self) -> int:
        """Return how many runs one process is expected to take at once, judged by the function's file."""
        return self.settings.async_concurrency if self.function.is_async else 1

    def order(self, fds: tuple[int, int, int]) -> Order:
        """Return the guard's order; `fds` are the worker's channel, stdout and stderr."""
        settings = self.settings
        argv = [self.interpreter or sys.executable, _PROGRAM, self.function.name, self.function.path]
        return Order(
            argv=[*map(str, argv), str(self.result_limit), str(settings.memory_mb)],
            env=self.environment,
            cwd=str(self.function.folder),
            limits={"CORE": 0, "DATA": settings.memory * _BACKSTOP},
            memory=settings.memory,
            fds=fds,
        )
