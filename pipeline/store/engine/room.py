"""Room on the disk: a floor below which no new work is taken, and a ballast to be thrown off where SQLite finds none.

The ballast is a file beside the database, really allocated. Without it, a full disk would keep back the results of
work that was accepted while there was room.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.clock import Clock
from pipeline.errors import StoreFullError

BALLAST = 16 * 1024 * 1024
"""Bytes."""

_SHARE = 10
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What a disk has, and what must be free on it for new work to be taken; in bytes."""

    free: int
    needed: int
    ballast: int
    """The size of the ballast on this disk."""


def space_at(folder: Path, floor: int, *, has_ballast: bool) -> Space:
    """Look at the disk of `folder`. On a small one the floor and the ballast are a tenth of it each."""
    disk = os.statvfs(folder)
    share = disk.f_blocks * disk.f_frsize // _SHARE
    ballast = min(BALLAST, share)
    needed = min(floor, share) + (0 if has_ballast else ballast)
    return Space(free=disk.f_bavail * disk.f_frsize, needed=needed, ballast=ballast)


def ballast_of(database: Path) -> Path:
    """Return where the ballast of a database lies."""
    return database.with_name(database.name + ".ballast")


class Room:
    """What is free where the database lies."""

    def __init__(self, database: Path, floor: int, clock: Clock) -> None:
        """`floor` is in bytes; nothing is made yet."""
        self._database = database
        self._ballast = ballast_of(database)
        self.floor = floor
        self._clock = clock
        self._looked_at: float | None = None
        self.is_low = False
        """Whether there was too little when somebody last looked."""

    def check(self) -> None:
        """Raise StoreFullError where there is no room for new work; looks at the disk once a second at most."""
        now = self._clock.monotonic()
        if self._looked_at is None or now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            self.look()
        if self.is_low:
            raise StoreFullError(f"{self._database}: the disk is all but full")

    def space(self) -> Space:
        """Return what the disk has now."""
        return space_at(self._database.parent, self.floor, has_ballast=self._ballast.exists())

    def look(self) -> None:
        """Find out what is free, and make the ballast where it is missing and there is room for it."""
        space = self.space()
        self.is_low = space.free < space.needed
        if not self.is_low and not self._ballast.exists():
            self.is_low = not self._load(space.ballast)

    def _load(self, size: int) -> bool:
        # Whole or not at all: under its own name only once it is allocated.
        unfinished = self._ballast.with_suffix(".unfinished")
        try:
            fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)
            unfinished.rename(self._ballast)
        except OSError:
            unfinished.unlink(missing_ok=True)
            return False
        return True

    def release(self) -> None:
        """Throw the ballast off; it is made again once there is room for it above the floor."""
        self._ballast.unlink(missing_ok=True)
        self._looked_at = None  # what was found before does not hold any more
