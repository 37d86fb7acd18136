"""The documents of a batch: which files, under which names, and as the stream of bytes that a service takes.

The order and the names are the same whenever the same command is run, and so is the key that is made of them: a batch
that was cut off is then gone on with, and none of it is submitted twice.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFSOCK, S_ISREG
from types import MappingProxyType
from typing import IO
from urllib.parse import quote

from pipeline.cli.failures import CommandError, UsageError
from pipeline.cli.payload import type_of_file

MOST = 10_000
"""So many items a batch may have."""
_CHUNK = 256 * 1024
_SHOWN = 5
_KINDS = MappingProxyType({S_IFIFO: "a pipe", S_IFSOCK: "a socket", S_IFBLK: "a device", S_IFCHR: "a device"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file: its name, as it was given, and what told it from any other when it was looked at."""

    path: Path
    name: str
    size: int
    modified_ns: int


def documents_in(names: Iterable[str], leave_out: Callable[[str], None]) -> list[Document]:
    """Return the files of these names, in order; a folder stands for all in it, sorted, without what is hidden.

    `leave_out` is told, in a sentence each, of what else is in a folder and is no document. Raises UsageError for what
    is not there or cannot be read, in a folder, too, for a name of what is no file, and for none or too many.
    """
    found: list[Document] = []
    faults: list[str] = []
    for name in names:
        is_folder = (top := Path(name)).is_dir()
        for path in _all_in(top, faults, leave_out) if is_folder else [top]:
            try:
                status = path.stat()
                if is_folder and not S_ISREG(status.st_mode):
                    leave_out(f"{path} is left out: it is {_KINDS.get(S_IFMT(status.st_mode), 'no file')}")
                else:
                    found.append(_document(path, status))
            except OSError as error:
                faults.append(_unreadable(path, error))
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise UsageError("; ".join(faults[:_SHOWN]) + more, "Nothing was submitted.")
    check_number(len(found))
    return found


def check_number(number: int) -> None:
    """Raise UsageError for a batch of no items, or of too many."""
    if not number:
        raise UsageError("there are no files to submit")
    if number > MOST:
        raise UsageError(f"a batch holds at most {MOST:,} items, and these are {number:,}", "Make several of it.")


def _all_in(top: Path, faults: list[str], leave_out: Callable[[str], None]) -> Iterator[Path]:
    for folder, folders, files in os.walk(top, onerror=lambda error: faults.append(_unreadable(error.filename, error))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if (inner := Path(folder, name)).is_symlink():  # may lead round in a circle, and is not walked
                leave_out(f"{inner} is left out: it is a link to a folder; to have what is in it, name it, too")
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def _unreadable(path: Path | str, error: OSError) -> str:
    is_dangling = isinstance(error, FileNotFoundError) and os.path.islink(path)
    return f"{path} cannot be read: {'it is a link to what is not there' if is_dangling else error.strerror}"


def _document(path: Path, status: os.stat_result) -> Document:
    if not S_ISREG(status.st_mode):
        raise UsageError(f"{path} is no file", "Nothing was submitted.")
    if not os.access(path, os.R_OK):
        raise PermissionError(13, os.strerror(13))
    # A name on disk may be no text at all: what cannot be said in UTF-8 becomes "?".
    name = path.as_posix().encode(errors="replace").decode()
    return Document(path=path, name=name, size=status.st_size, modified_ns=status.st_mtime_ns)


def key_of(function: str, tags: Sequence[str], callback: str | None, documents: Iterable[Document]) -> str:
    """Return the key of a batch: the same for the same function, tags and callback, and the same files by name, size
    and last change.
    """
    facts = _facts(function, tags, callback)
    for document in documents:
        name = os.fsencode(document.path)
        facts.update(b"\0%b\0%d\0%d\0" % (name, document.size, document.modified_ns))
    return f"batch-{facts.hexdigest()}"


def key_of_stream(function: str, tags: Sequence[str], callback: str | None, content: IO[bytes]) -> str:
    """Return the key of a batch of lines: the same for the same function, tags, callback and bytes. Reads to the
    end.
    """
    facts = _facts(function, tags, callback)
    while chunk := content.read(_CHUNK):
        facts.update(chunk)
    return f"batch-{facts.hexdigest()}"


def _facts(function: str, tags: Sequence[str], callback: str | None) -> "hashlib.blake2b":
    # The two start from different bytes, so that no tag is taken for a callback.
    facts = hashlib.blake2b(digest_size=16, person=b"" if callback is None else b"callback")
    for fact in (function, *(() if callback is None else (callback,)), *tags):
        facts.update(b"%b\0" % fact.encode())
    return facts


class Upload:
    """Bytes to be sent, any number of times.

    `times` counts how often that was begun, `sent` the items whose last byte has gone out this time.
    """

    content_type: str
    total: int

    def __init__(self) -> None:
        self.sent = 0
        self.times = 0

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes, from the first on."""
        self.sent = 0
        self.times += 1
        yield from self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        raise NotImplementedError


class FilesUpload(Upload):
    """Files as `multipart/form-data`; never more than a piece of one is in memory.

    Its pieces raise CommandError for a file that is not what it was when it was looked at.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        super().__init__()
        self._documents = documents
        self._boundary = secrets.token_hex(24)
        self.total = len(documents)
        self.content_type = f"multipart/form-data; boundary={self._boundary}"

    def _pieces(self) -> Iterator[bytes]:
        held = bytearray()
        for document in self._documents:
            held += self._head(document)
            for chunk in _content(document):
                held += chunk
                if len(held) >= _CHUNK:
                    yield bytes(held)
                    held.clear()
            held += b"\r\n"
            self.sent += 1
        held += f"--{self._boundary}--\r\n".encode()
        yield bytes(held)

    def _head(self, document: Document) -> bytes:
        # The extended form of RFC 8187 alone carries every name as it is: of a plain one receivers take slashes off.
        filename = f"filename*=UTF-8''{quote(document.name, safe='')}"
        lines = (
            f"--{self._boundary}",
            f'Content-Disposition: form-data; name="file"; {filename}',
            f"Content-Type: {type_of_file(document.path)}",
            f"Content-Length: {document.size}",
        )
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


class LinesUpload(Upload):
    """A file of NDJSON, an item a line."""

    content_type = "application/x-ndjson"

    def __init__(self, content: IO[bytes], total: int) -> None:
        super().__init__()
        self._content = content
        self.total = total

    def _pieces(self) -> Iterator[bytes]:
        self._content.seek(0)
        chunk = self._content.read(_CHUNK)
        while chunk:
            following = self._content.read(_CHUNK)
            # Before the piece is handed over: after the last one nobody asks again.
            self.sent = min(self.total, self.sent + chunk.count(b"\n")) if following else self.total
            yield chunk
            chunk = following


def _content(document: Document) -> Iterator[bytes]:
    left = document.size
    try:
        with document.path.open("rb") as file:
            while left and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
            has_changed = left > 0 or os.fstat(file.fileno()).st_size != document.size
    except OSError as error:
        raise CommandError(f"{document.path} cannot be read any more: {error.strerror}", _AGAIN) from error
    if has_changed:
        raise CommandError(f"{document.path} was changed while it was read", _AGAIN)


_AGAIN = "What was sent before it is kept for an hour: mend it and run the command again."
