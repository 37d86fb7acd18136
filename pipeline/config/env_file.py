"""Variables from a file such as `.env`, for development: they serve `${NAME}` of the configuration alone."""

import io
import re
from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from pipeline.errors import ConfigurationError, Fault

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_env_file(path: Path, file: str) -> Mapping[str, str]:
    """Return the variables in a file of lines `NAME=value`; `file` is what faults call it. `$` in a value is just that.

    Raises ConfigurationError with every bad line; what stands there is not told, since it may be a secret.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise _unreadable(file, f"expected a readable file, got: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unreadable(file, "expected a file in UTF-8, got other bytes") from error
    found: dict[str, str] = {}
    faults = []
    for binding in parse_stream(io.StringIO(text)):
        if binding.value is not None and binding.key is not None and _NAME.fullmatch(binding.key):
            found[binding.key] = binding.value
        elif binding.error or binding.key is not None:
            faults.append(_fault(file, binding))
    if faults:
        raise ConfigurationError(faults)
    return found


def _fault(file: str, binding: Binding) -> Fault:
    before = binding.original.string[: -len(binding.original.string.lstrip())]
    line = binding.original.line + before.count("\n")
    column = len(before.rpartition("\n")[2]) + 1
    return Fault(file=file, line=line, column=column, path="", message="expected NAME=value, got something else")


def _unreadable(file: str, message: str) -> ConfigurationError:
    return ConfigurationError([Fault(file=file, line=1, column=1, path="", message=message)])
