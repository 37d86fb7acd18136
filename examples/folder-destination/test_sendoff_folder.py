"""A folder keeps the contract of destinations, and what is its own: whole files, and names that stay the same."""

import asyncio
import errno
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import pytest
from sendoff_folder import KIND, Folder, settings_of, warn, write_whole

from destinations.base import Sending
from destinations.conformance import DestinationConformance, Manner, Receiver
from destinations.conformance.samples import Samples
from pipeline.model import Outcome, Verdict

ERRORS = {Manner.TEMPORARY: errno.ENOSPC, Manner.PERMANENT: errno.EFBIG}


class Disk(Receiver):
    """A folder on a disk that fails, or takes its time, when files are brought to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manner = Manner.WELL
        self._released = threading.Event()
        self._waiting: set[int] = set()
        self._refusals = 0
        self._fsync = os.fsync

    @property
    def options(self) -> Mapping[str, Any]:
        return {"folder": str(self._folder)}

    def answer(self, manner: Manner) -> None:
        self._manner = manner
        if manner is Manner.ABSENT:
            shutil.rmtree(self._folder)

    def fsync(self, file: int) -> None:
        """Do what os.fsync does, in the manner of the moment."""
        if self._manner is Manner.HANG:
            self._waiting.add(file)
            self._released.wait()
            self._waiting.discard(file)
        if number := ERRORS.get(self._manner):
            self._refusals += 1
            raise OSError(number, os.strerror(number))
        self._fsync(file)

    def refused(self) -> int:
        return self._refusals

    def hanging(self) -> int:
        return len(self._waiting)

    def release(self) -> None:
        if self._manner is Manner.HANG:
            self._manner = Manner.WELL
        self._released.set()

    def ids(self) -> Sequence[str]:
        return [name for name in self._names() if not name.startswith(".")]

    def half_done(self) -> Sequence[str]:
        return [name for name in self._names() if name.startswith(".")]

    def _names(self) -> list[str]:
        return os.listdir(self._folder) if self._folder.is_dir() else []


class TestFolder(DestinationConformance):
    kind = KIND
    bad_options = MappingProxyType({"folder": "/nowhere"})

    @contextmanager
    def receiver(self) -> Iterator[Disk]:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            disk = Disk(Path(folder) / "results")
            (Path(folder) / "results").mkdir()
            with mock.patch("os.fsync", disk.fsync):
                yield disk


# What is a folder's own


def sent(folder: Path, sending: Sending, **options: Any) -> Outcome:
    async def send() -> Outcome:
        destination = Folder("here", settings_of({"folder": folder, **options}))
        await destination.open()
        outcome = await destination.send(sending)
        await destination.close()
        return outcome

    return asyncio.run(send())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


SAMPLES = Samples("here")
MESSAGE = SAMPLES.message()
TEXT = SAMPLES.message(b"words", "text/plain; charset=utf-8")
UNKNOWN = SAMPLES.message(b"\xff", "application/x-nobody-knows")


@pytest.mark.parametrize(
    ("message", "options", "name", "content"),
    [
        (MESSAGE, {"body": "raw"}, f"{MESSAGE.id}.json", b'{"words": 12}'),
        (TEXT, {"body": "raw"}, f"{TEXT.id}.txt", b"words"),
        (UNKNOWN, {"body": "raw"}, f"{UNKNOWN.id}.bin", b"\xff"),
        (TEXT, {"body": "raw", "name": "job", "suffix": ".out"}, f"{TEXT.job_id}.out", b"words"),
    ],
)
def test_the_name_and_the_content_are_those_of_the_settings(
    message: Any, options: dict[str, Any], name: str, content: bytes, tmp_path: Path
) -> None:
    assert sent(tmp_path, SAMPLES.sending(message), **options).verdict is Verdict.DELIVERED
    assert names(tmp_path) == {name}
    assert (tmp_path / name).read_bytes() == content


def test_a_message_that_is_sent_again_replaces_its_file(tmp_path: Path) -> None:
    (tmp_path / f"{MESSAGE.id}.json").write_text("what was there before, and was longer than the message")
    for attempt in (1, 2):
        sent(tmp_path, SAMPLES.sending(MESSAGE, attempt=attempt), body="raw")
    assert names(tmp_path) == {f"{MESSAGE.id}.json"}
    assert (tmp_path / f"{MESSAGE.id}.json").read_bytes() == b'{"words": 12}'


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO, errno.ESTALE])
def test_what_goes_wrong_is_told_and_leaves_nothing(number: int, tmp_path: Path) -> None:
    for call in ("os.open", "os.fsync", "os.replace"):
        with mock.patch(call, side_effect=OSError(number, os.strerror(number))):
            outcome = sent(tmp_path, SAMPLES.sending(MESSAGE))
        said = f"{MESSAGE.id}.json cannot be written to {tmp_path}: {os.strerror(number)}"
        assert (outcome.verdict, outcome.reason, outcome.message) == (Verdict.TEMPORARY, "receiver_error", said)
        assert names(tmp_path) == set()


def test_what_was_given_up_writes_no_file_later(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.answer(Manner.HANG)

    async def give_up() -> None:
        task = asyncio.ensure_future(Folder("here", settings_of({"folder": tmp_path})).send(SAMPLES.sending(MESSAGE)))
        while not disk.hanging():  # noqa: ASYNC110 - a disk tells nobody
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})
        disk.release()

    with mock.patch("os.fsync", disk.fsync):
        asyncio.run(give_up())
    assert names(tmp_path) == set()


def test_the_content_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    done: list[str] = []

    def fsync(file: int) -> None:
        done.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{file}')).name[:14]}")

    def replace(_: Path, file: Path) -> None:
        done.append(f"replace {file.name}")

    with mock.patch("os.fsync", fsync), mock.patch("os.replace", replace):
        write_whole(tmp_path / "a.json", b"{}", threading.Event())
    assert done == ["fsync .sendoff-part-", "replace a.json", f"fsync {tmp_path.name[:14]}"]


def test_open_takes_away_what_a_crash_has_left_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".sendoff-part-dead").write_text("half")
    (tmp_path / ".of-somebody-else").touch()
    with (tmp_path / ".sendoff-part-in-use").open("w") as used:
        fcntl.flock(used, fcntl.LOCK_EX)
        sent(tmp_path, SAMPLES.sending(MESSAGE))
    assert names(tmp_path) == {".of-somebody-else", ".sendoff-part-in-use", f"{MESSAGE.id}.json"}


def test_a_folder_that_is_none_or_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"folder: expected a folder that is there, got {tmp_path}/none"):
        settings_of({"folder": tmp_path / "none"})
    settings = settings_of({"folder": tmp_path})
    assert list(warn(settings, frozenset())) == []
    with mock.patch("os.access", return_value=False):
        assert list(warn(settings, frozenset())) == [
            ("folder", f"nothing can be written there by this user: {tmp_path}")
        ]
