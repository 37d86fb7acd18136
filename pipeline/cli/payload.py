"""What a function is called with: the body that the command line names, and the type that fits it."""

import mimetypes
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from pipeline.cli.failures import UsageError
from pipeline.cli.wishes import Header

_TEXT, _JSON, _BYTES = "text/plain; charset=utf-8", "application/json", "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A body and the headers that go with it."""

    content: bytes
    headers: tuple[Header, ...]


def payload(data: str | None, headers: Sequence[Header]) -> Payload:
    """Return what `--data` and `--header` say; raises UsageError for a file that cannot be read."""
    if data is None:
        return Payload(content=b"", headers=tuple(headers))
    if data == "-":
        content = sys.stdin.buffer.read()
        kind = type_of_bytes(content)
    elif data.startswith("@"):
        content = read(Path(data[1:]))
        kind = type_of_file(Path(data[1:]))
    else:
        content = data.encode(errors="surrogateescape")
        kind = type_of_bytes(content)
    has_type = any(name.lower() == "content-type" for name, _ in headers)
    return Payload(content=content, headers=(*headers, *(() if has_type else (("Content-Type", kind),))))


def read(path: Path) -> bytes:
    """Return a file's bytes; UsageError for one that cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def type_of_file(path: Path) -> str:
    """Return the media type that a file's name stands for."""
    kind, encoding = mimetypes.guess_type(path.name)
    return _BYTES if kind is None or encoding is not None else kind


def type_of_bytes(content: bytes) -> str:
    """Return the media type of a body without a name: JSON, text, or else bytes."""
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    else:
        return _JSON
    try:
        content.decode()
    except UnicodeDecodeError:
        return _BYTES
    return _TEXT
