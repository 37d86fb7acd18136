"""The catalogue: which functions a folder holds. Files are read and parsed, never imported."""

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

from pipeline.config.settings import FunctionsSettings
from pipeline.errors import BadNameError, ConfigurationError, Fault, UnknownFunctionError

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUFFIX = "-background"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function: its file, and the folder that comes first on its `sys.path` and is its working directory."""

    name: str
    path: Path
    folder: Path
    is_background: bool
    is_async: bool = False
    """Whether the file itself defines `async def handler`."""
    file_hash: str = ""
    """Tells whether the file is the same as at another time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All functions of one folder, by name."""

    functions: Mapping[str, Function]
    warnings: tuple[str, ...] = ()
    """What does not stop the service but should be shown at its start, such as `FILE:3:5: invalid syntax`."""

    @classmethod
    def load(cls, settings: FunctionsSettings) -> Self:
        """Read the folder of `settings`.

        Raises ConfigurationError where the folder is missing, or two files stand for one name.
        """
        candidates = _candidates(settings.directory)
        faults = [_ambiguous(name, paths) for name, paths in candidates.items() if len(paths) > 1]
        if faults:
            raise ConfigurationError(faults)
        found: dict[str, Function] = {}
        notes: list[str] = []
        for name, (path,) in sorted(candidates.items()):
            traits, note = _read(path)
            notes += [note] if note else []
            wanted = settings.of(name).background
            found[name] = Function(
                name=name,
                path=path,
                folder=path.parent,
                is_background=(name.endswith(_SUFFIX) or traits.says_background) if wanted is None else wanted,
                is_async=traits.is_async,
                file_hash=traits.file_hash,
            )
        return cls(functions=MappingProxyType(found), warnings=tuple(notes))

    def get(self, name: str) -> Function:
        """Return the function `name`.

        Raises BadNameError for what no function can be called, UnknownFunctionError for what none is called.
        """
        function = self.functions.get(name)
        if function is not None:
            return function
        if _NAME.fullmatch(name) is None:
            raise BadNameError(f"no function can have this name: {name[:80]!r}")
        raise UnknownFunctionError(f"there is no function {name!r}")

    def __iter__(self) -> Iterator[Function]:
        return iter(self.functions.values())

    def __len__(self) -> int:
        return len(self.functions)


def _candidates(directory: Path) -> dict[str, list[Path]]:
    """Return every file that stands for a function, by the function's name."""
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        message = f"expected a folder of functions, got {error.strerror or error}"
        raise ConfigurationError([Fault(file=str(directory), line=1, column=1, path="", message=message)]) from None
    found: dict[str, list[Path]] = {}
    for entry in entries:
        name = entry.name if entry.is_dir() else entry.stem
        if entry.name[0] in "_." or _NAME.fullmatch(name) is None:
            continue
        files = [entry / f"{name}.py", entry / "index.py"] if entry.is_dir() else [entry]
        # A dict drops the folder `index/`, whose two ways of writing are the same file.
        for path in dict.fromkeys(files):
            if path.suffix == ".py" and path.is_file():
                found.setdefault(name, []).append(path)
    return found


def _ambiguous(name: str, paths: list[Path]) -> Fault:
    both = " and ".join(map(str, paths))
    message = f"expected one file for the function {name!r}, got {both}"
    return Fault(file=str(paths[-1]), line=1, column=1, path="", message=message)


class _Traits(NamedTuple):
    """What a function's file says of it."""

    says_background: bool = False
    is_async: bool = False
    file_hash: str = ""


def _read(path: Path) -> tuple[_Traits, str | None]:
    """Return what the file says of the function, and what is wrong with the file."""
    file_hash = ""
    try:
        source = path.read_bytes()
        file_hash = sha256(source).hexdigest()
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source, str(path))
    except SyntaxError as error:
        return _Traits(file_hash=file_hash), f"{path}:{error.lineno or 1}:{error.offset or 1}: {error.msg}"
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        # Null bytes are a ValueError, absurd nesting one of the last two: all are the file's own fault.
        return _Traits(file_hash=file_hash), f"{path}:1:1: cannot be read: {error}"
    is_async = any(isinstance(each, ast.AsyncFunctionDef) and each.name == "handler" for each in tree.body)
    return _Traits(any(map(_is_background_config, tree.body)), is_async, file_hash), None


def _is_background_config(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name(id="CONFIG")], value=ast.Dict() as table):
            pass
        case ast.AnnAssign(target=ast.Name(id="CONFIG"), value=ast.Dict() as table):
            pass
        case _:
            return False
    return any(
        isinstance(key, ast.Constant) and key.value == "background"
        and isinstance(value, ast.Constant) and value.value is True
        for key, value in zip(table.keys, table.values, strict=True)
    )  # fmt: skip
