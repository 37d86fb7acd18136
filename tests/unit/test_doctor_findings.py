"""What the doctor says of what no test can have at hand: versions, network disks, clocks, a guard that dies."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.clock import SystemClock
from pipeline.doctor import disk, machine, software, workers
from pipeline.doctor.findings import Level
from pipeline.doctor.mounts import Mount, mount_of
from pipeline.functions import guardian
from pipeline.store.engine.probe import Version

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /srv rw,relatime shared:2 - nfs4 server:/export rw,vers=4.2
31 30 8:2 / /srv/local rw - xfs /dev/sdb1 rw
32 22 0:30 / /mnt/two\040words rw - cifs //server/share rw
33 22 0:31 / /over rw - ext4 /dev/sdc1 rw
34 33 0:32 / /over rw master:3 - tmpfs none rw,size=2048k
"""


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ((3, 36, 0), Level.FAULT),
        ((3, 37, 0), Level.WARNING),
        ((3, 40, 1), Level.WARNING),
        ((3, 44, 5), Level.WARNING),
        ((3, 44, 6), Level.OK),
        ((3, 45, 0), Level.WARNING),
        ((3, 50, 6), Level.WARNING),
        ((3, 50, 7), Level.OK),
        ((3, 51, 2), Level.WARNING),
        ((3, 51, 3), Level.OK),
        ((3, 52, 0), Level.OK),
    ],
)
def test_the_bug_of_sqlite_is_known_by_the_version(version: Version, level: Level) -> None:
    assert software.of_sqlite(version).level is level


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/var/lib/sendoff", Mount("/", "ext4")),
        ("/srv", Mount("/srv", "nfs4")),
        ("/srv/data", Mount("/srv", "nfs4")),
        ("/srv/local/data", Mount("/srv/local", "xfs")),
        ("/srvother", Mount("/", "ext4")),
        ("/mnt/two words/data", Mount("/mnt/two words", "cifs")),
        ("/over/data", Mount("/over", "tmpfs")),
    ],
)
def test_a_path_is_on_the_nearest_mount(path: str, mount: Mount) -> None:
    assert mount_of(Path(path), TABLE) == mount


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("ext4", Level.OK), ("xfs", Level.OK), ("btrfs", Level.OK),
        ("nfs", Level.FAULT), ("nfs4", Level.FAULT), ("cifs", Level.FAULT), ("smb3", Level.FAULT),
        ("fuse.sshfs", Level.FAULT), ("tmpfs", Level.WARNING), ("overlay", Level.WARNING),
    ],
)  # fmt: skip
def test_a_shared_disk_is_a_fault_and_one_that_does_not_last_a_warning(kind: str, level: Level) -> None:
    assert disk.of_mount(Mount("/srv", kind)).level is level


def test_a_clock_long_past_is_a_fault_and_one_before_the_store_a_warning(tmp_path: Path) -> None:
    database = tmp_path / "sendoff.db"
    database.touch()
    os.utime(database, (NOW.timestamp(), NOW.timestamp()))
    (past,) = machine.clock(datetime(1970, 1, 1, tzinfo=UTC), None)
    (behind,) = machine.clock(NOW - timedelta(hours=1), database)
    (right,) = machine.clock(NOW, database)
    assert past.level is Level.FAULT
    assert behind.level is Level.WARNING
    assert "but the store was written at" in behind.found
    assert "but the store" not in right.found


def test_a_guard_that_dies_at_once_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "guard.py"
    program.write_text("raise SystemExit(1)\n")
    monkeypatch.setattr(guardian, "_PROGRAM", program)
    (found,) = workers.guard(SystemClock())
    assert (found.level, found.name) == (Level.FAULT, "guard")
    assert "dies as soon as it is started" in found.found
