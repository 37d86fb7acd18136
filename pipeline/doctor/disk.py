"""The store's place: its file system, its room, whether a write-ahead log works there, and the store that is there."""

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.clock import Clock
from pipeline.doctor.findings import Finding, fault, ok, warning
from pipeline.doctor.mounts import IN_MEMORY, NETWORK, OF_A_CONTAINER, Mount, mount_of
from pipeline.errors import SendoffError
from pipeline.store.engine.database import owner_of
from pipeline.store.engine.probe import look_at, try_log
from pipeline.store.engine.room import ballast_of, space_at

_MIB = 1024 * 1024


def filesystem(database: Path) -> Iterator[Finding]:
    """Look at what the store's folder is mounted from."""
    yield of_mount(mount_of(place_of(database).resolve(), Path("/proc/self/mountinfo").read_text()))


def of_mount(mount: Mount | None) -> Finding:
    """Say what is to be said of a database on this mount."""
    if mount is None:
        return warning("filesystem", "cannot be told", "see that the store is on a local disk")
    found = f"{mount.kind} at {mount.point}"
    if mount.kind in NETWORK:
        return fault(
            "filesystem",
            f"{found} is shared between machines: a write-ahead log does not work there, and data gets lost",
            "put the store on a local disk (store, --store)",
        )
    if mount.kind in IN_MEMORY:
        return warning(
            "filesystem", f"{found} is in memory: a power failure loses the jobs", "put the store on a local disk"
        )
    if mount.kind in OF_A_CONTAINER:
        return warning(
            "filesystem", f"{found} goes when the container goes, and the jobs with it", "put the store on a volume"
        )
    return ok("filesystem", found)


def room(database: Path, floor: int) -> Iterator[Finding]:
    """Look whether so much is free that new work is taken."""
    ballast = ballast_of(database)
    space = space_at(place_of(database), floor, has_ballast=ballast.exists())
    found = f"{_mib(space.free)} free, {_mib(space.needed)} needed for new work to be taken"
    if space.free < space.needed:
        remedy = f"free at least {_mib(space.needed - space.free)}, or lower service.disk_floor"
        yield fault("disk", f"{found}: it is refused with 503", remedy)
    else:
        yield ok("disk", f"{found}, {'with' if ballast.exists() else 'besides'} a ballast of {_mib(space.ballast)}")


def log(database: Path, clock: Clock) -> Iterator[Finding]:
    """Make and write a database in a folder of its own beside the store, as the service would."""
    place = place_of(database)
    try:
        with tempfile.TemporaryDirectory(prefix=".sendoff-doctor-", dir=place) as folder:
            took = try_log(Path(folder), clock)
    except (OSError, SendoffError) as error:
        yield fault(
            "write-ahead log",
            f"does not work in {place}: {error}",
            "give the service's user a folder of its own on a local disk, and run this as that user",
        )
    else:
        yield ok("write-ahead log", f"works in {place}; a durable commit takes {took * 1000:.1f} ms")


def store(database: Path) -> Iterator[Finding]:
    """Look at the store that is there, and for a service on it."""
    if not database.exists():
        yield ok("store", f"{database} will be made at the first start")
        return
    try:
        owner = owner_of(database)
        look_at(database)
    except SendoffError as error:
        yield fault(
            "store", str(error), "give it to the service's user, use a newer Sendoff, or put a backup in its place"
        )
    except OSError as error:
        yield fault("store", f"{database}: {error.strerror or error}", "run this as the service's user")
    else:
        found = f"{database}, {_mib(database.stat().st_size)}"
        if owner:
            found += f": database is in use by pid {owner}"
        if database.parent.stat().st_mode & stat.S_IXOTH and database.stat().st_mode & stat.S_IROTH:
            yield warning("store", f"{found}; every user may read it", f"chmod 0700 {database.parent}")
        else:
            yield ok("store", found)


def place_of(database: Path) -> Path:
    """Return the folder of the database, or the nearest one above that is there."""
    return next(folder for folder in database.absolute().parents if folder.exists())


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB" if size >= 10 * _MIB else f"{size / _MIB:.1f} MiB"
