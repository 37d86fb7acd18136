"""Levels: each line that goes through `logging` to stdout or stderr is marked with its level for the service.

`logging` is not imported for this: it takes several milliseconds. The marks come in when the function imports it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MARK = "\x1e\x1f{}\x1f"
"""What stands before each line, with the level's number, 1 for debug to 5 for critical. `functions/lines.py` takes it
off.
"""
_NAME = "logging"


class Finder:
    """Waits on `sys.meta_path` for the import of `logging`, and is gone after it."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != _NAME:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class Loader:
    """Loads `logging` as its own loader does, then has its lines marked."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = module.__loader__ = self._loader  # type: ignore[union-attr]
        self._loader.exec_module(module)
        with suppress(AttributeError):  # a module of the function's own may have that name
            mark(module)


def watch() -> None:
    """Have the lines of `logging` marked from its import on."""
    if _NAME in sys.modules:
        mark(sys.modules[_NAME])
    else:
        sys.meta_path.insert(0, Finder())


def mark(logging: Any) -> None:
    """Mark each line of a record that a handler formats for stdout or stderr, and show INFO without configuration.

    Handlers and formatters stay the function's own. A handler that writes to another stream is left alone.
    """
    streams = (sys.stdout, sys.stderr)
    plain = logging.Handler.format

    def format(self: Any, record: Any) -> Any:  # noqa: A001 - it takes the place of a method of that name
        text = plain(self, record)
        stream = getattr(self, "stream", None)
        if not isinstance(text, str) or all(stream is not ours for ours in streams):
            return text
        start = MARK.format(min(max(record.levelno // 10, 1), 5))
        return start + text.replace("\n", "\n" + start)

    logging.Handler.format = format
    logging.getLogger().setLevel(logging.INFO)
    if logging.lastResort is not None:  # what writes where no handler is configured
        logging.lastResort.setLevel(logging.NOTSET)
