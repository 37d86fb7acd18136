"""A destination for Sendoff: each message becomes a file of a folder.

A file is there as a whole or not at all, also after a crash: it is written under another name, brought to the disk, and
then renamed. Its name is made of the message's id, so that a message that is sent again replaces its file.
"""

import asyncio
import errno
import fcntl
import mimetypes
import os
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from destinations.base import Concern, End, Kind, Sending
from destinations.bodies.base import Body, Form
from destinations.bodies.forms import form_of
from destinations.bodies.making import made
from destinations.bodies.message import MESSAGE
from pipeline.config.settings import RetrySpec
from pipeline.model import DeliveryReason, Outcome, Verdict

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Folder destination",
    "description": "Each message becomes a file of a folder.",
    "type": "object",
    "required": ["folder"],
    "additionalProperties": False,
    "properties": {
        "folder": {
            "description": "The folder, which must be there.",
            "type": "string",
            "minLength": 1,
            "x-path": "file",
            "x-expected": "a folder",
        },
        "name": {
            "description": "What a file is called after: its `message`, or its `job` (or batch), where a later "
            "message of the same job replaces an earlier one.",
            "enum": ["message", "job"],
            "default": "message",
        },
        "suffix": {
            "description": "How names end, such as `.json`; null: by the type of what is written.",
            "type": ["string", "null"],
            "pattern": r"^\.[A-Za-z0-9.]{1,20}$(?!\n)",
            "x-expected": "a suffix such as .json",
            "default": None,
        },
        "body": {
            "description": "What is written: the `message`, or the `raw` result (the message, where there is none).",
            "enum": ["message", "raw"],
            "default": "message",
        },
        "timeout": {
            "description": "The longest that writing a file may take.",
            "$ref": "#/$defs/duration",
            "default": "30s",
        },
        "concurrency": {
            "description": "Files that are written at once.",
            "type": "integer",
            "minimum": 1,
            "maximum": 100,
            "default": 4,
        },
        "retry": {
            "description": "When a file that could not be written is written again.",
            "$ref": "#/$defs/retry",
            "default": "default",
        },
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a folder: the fields and defaults of SCHEMA."""

    folder: Path
    name: str = "message"
    suffix: str | None = None
    body: Form = MESSAGE
    timeout: float = 30.0
    concurrency: int = 4
    retry: RetrySpec = field(default_factory=lambda: RetrySpec(name="default"))


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return the settings in options that the schema lets pass; ValueError for what it cannot tell."""
    settings = Settings(**{**options, "body": form_of(options.get("body", MESSAGE))})
    if not settings.folder.is_dir():
        raise ValueError(f"folder: expected a folder that is there, got {settings.folder}")
    return settings


def warn(settings: Settings, _: frozenset[End]) -> Iterator[Concern]:
    """Yield what cannot work as it is, and may work later."""
    if not os.access(settings.folder, os.W_OK | os.X_OK):
        yield "folder", f"nothing can be written there by this user: {settings.folder}"


class Folder:
    """One folder."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._settings = settings

    def recipients(self) -> tuple[str, ...]:
        """Return one nameless recipient."""
        return ("",)

    async def open(self) -> None:
        """Take away what a crash has left half written. A folder that has gone may come back: that is no fault here."""
        with suppress(OSError):
            await asyncio.to_thread(_clean, self._settings.folder)

    async def close(self) -> None:
        """Do nothing: what is being written ends by itself."""

    async def send(self, sending: Sending) -> Outcome:
        """Write one file, and say what became of it."""
        settings, is_over = self._settings, threading.Event()
        try:
            async with asyncio.timeout(settings.timeout):
                # The whole result, however large: a link to it would be all that is left when the job is pruned.
                body = await made(settings.body, sending, sys.maxsize)
                # The event loop waits for no disk.
                return await asyncio.to_thread(self._write, sending, body, is_over)
        except TimeoutError:
            return _failed(DeliveryReason.TIMEOUT, f"{settings.folder} took more than {settings.timeout:g} s")
        finally:
            # A thread cannot be stopped. One that is still at it, because we were cancelled, or out of time, drops
            # what it has: the message is sent again, perhaps at this moment.
            is_over.set()

    def _write(self, sending: Sending, body: Body, is_over: threading.Event) -> Outcome:
        file = self._settings.folder / self._name_of(sending, body)
        try:
            write_whole(file, body.content, is_over)
        except OSError as error:
            return _judged(error, file)
        return Outcome(verdict=Verdict.DELIVERED)

    def _name_of(self, sending: Sending, body: Body) -> str:
        message = sending.message
        suffix = self._settings.suffix
        if suffix is None:
            suffix = mimetypes.guess_extension(body.content_type.partition(";")[0].strip()) or ".bin"
        return (message.id if self._settings.name == "message" else message.subject_id) + suffix


_PART = ".sendoff-part-"


def write_whole(file: Path, content: bytes, is_over: threading.Event) -> None:
    """Make `file` have this content, on the disk: nobody sees a part of it, whenever this process dies.

    Raises OSError, and leaves the file as it was, where that cannot be done, and once `is_over` is set.
    """
    part = file.with_name(f"{_PART}{secrets.token_hex(8)}")  # in the same folder, as a rename moves no content
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as writing:
            fcntl.flock(writing, fcntl.LOCK_EX)  # held until it is closed: who cleans up sees that it is in use
            writing.write(content)
            writing.flush()
            os.fsync(writing.fileno())  # the content first: else a power cut leaves a name that leads to nothing
            if is_over.is_set():
                raise InterruptedError(errno.EINTR, "given up")
            os.replace(part, file)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # then the name
    finally:
        os.close(folder)


def _clean(folder: Path) -> None:
    """Remove the parts that nobody is writing any more."""
    for part in folder.glob(f"{_PART}*"):
        with suppress(OSError), part.open("rb") as found:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel gives back what a killed process held
            part.unlink()


def _judged(error: OSError, file: Path) -> Outcome:
    """Say what an error means: a disk can be made room on and a permission be given, but no file gets smaller."""
    said = f"{file.name} cannot be written to {file.parent}: {error.strerror}"
    if error.errno == errno.EFBIG:
        return Outcome(verdict=Verdict.PERMANENT, reason=DeliveryReason.REJECTED, message=said)
    return _failed(DeliveryReason.RECEIVER_ERROR, said)


def _failed(reason: DeliveryReason, message: str) -> Outcome:
    return Outcome(verdict=Verdict.TEMPORARY, reason=reason, message=message)


KIND = Kind(kind="folder", schema=SCHEMA, settings=settings_of, make=Folder, warn=warn)
