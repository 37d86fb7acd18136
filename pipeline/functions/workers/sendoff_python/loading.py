"""Loads a function's file."""

from __future__ import annotations

import os
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Any, Callable

from .errors import FailedError, describe, frames_of

CO_COROUTINE = 0x80  # as inspect has it, whose import would take 10 ms


class Loader(SourceFileLoader):
    """Always compiles the file itself: a cached one may be stale when a file is mended within a second."""

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)


def load(path: str) -> Callable[..., Any]:
    """Import the function's file and return its handler; raise FailedError, naming file and line."""
    folder, file = os.path.split(path)
    stem = os.path.splitext(file)[0]
    name = stem if stem not in sys.modules else f"function_{stem}"  # functions/json.py must not replace json
    loader = Loader(name, path)
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except SyntaxError as error:
        where = f"{relative(error.filename or path, folder)}:{error.lineno or 1}"
        raise FailedError("error", "Runtime.UserCodeSyntaxError", f"{where}: {error.msg}") from None
    except BaseException as error:
        said = describe(error)
        lines = [frame for frame in frames_of(error) if frame[0] == path]
        where = f"{file}:{lines[-1][1]}" if lines else file
        message = f"{where}: {said['type']}: {said['message']}"
        raise FailedError("error", "Runtime.ImportModuleError", message, said["stack"]) from None
    handler: Callable[..., Any] | None = getattr(module, "handler", None)
    if handler is None or not callable(handler):
        raise FailedError("error", "Runtime.HandlerNotFound", f"{file}:1: defines no function handler(event, context)")
    return handler


def is_async(handler: Callable[..., Any]) -> bool:
    """Tell whether a call of the handler, a function or an object with `__call__`, makes a coroutine."""
    code = getattr(handler, "__code__", None) or getattr(type(handler).__call__, "__code__", None)
    return code is not None and bool(code.co_flags & CO_COROUTINE)


def relative(filename: str, folder: str) -> str:
    return filename[len(folder) + 1 :] if filename.startswith(folder + os.sep) else filename
