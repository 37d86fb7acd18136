"""The kernel and the account: what functions may do here, the clock, descriptors and processes."""

import ctypes
import os
import pwd
import resource
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.counts import count
from pipeline.doctor.findings import Finding, fault, ok, warning

_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_VERSION = 1
_TIME_ERROR = 5
_TIMEX_BYTES = 512
_NEWEST_THAT_IS_WRONG = datetime(2025, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(minutes=1)

OWN_DESCRIPTORS = 64
"""Of the service besides workers, deliveries and callers: the database, its log, readers, the loop, the guard."""
DESCRIPTORS_OF_A_WORKER = 3
FEW_CALLERS = 256
OWN_TASKS = 64


def proc() -> Iterator[Finding]:
    """Look whether /proc is there: the guard finds a worker's descendants by it."""
    if Path("/proc/self/stat").exists():
        yield ok("proc", "/proc is mounted")
    else:
        yield fault("proc", "/proc is not mounted, so that the guard cannot find what workers start", "mount /proc")


def user() -> Iterator[Finding]:
    """Look at who runs this, as functions run as the same user."""
    if os.geteuid() == 0:
        yield warning(
            "user",
            "root: functions may do everything on this machine, and no limit of processes is enforced",
            "run the service, and this, as a user of its own, as examples/deploy does",
        )
        return
    name = str(os.geteuid())
    with suppress(KeyError):  # a container's user need not have a name
        name = pwd.getpwuid(os.geteuid()).pw_name
    yield ok("user", name)


def sandbox() -> Iterator[Finding]:
    """Say what keeps functions in: nothing does."""
    version = ctypes.CDLL(None).syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    kernel = f"the kernel offers Landlock {version}, which Sendoff does not use" if version > 0 else "no Landlock here"
    yield ok("sandbox", f"none: functions are your own code and may do what this user may ({kernel})")


def clock(now: datetime, database: Path | None) -> Iterator[Finding]:
    """Look at the time: receivers refuse signatures that are some minutes off, and moments are stored."""
    found = now.isoformat(timespec="seconds")
    remedy = "set the clock, and keep it right by NTP (chrony or systemd-timesyncd)"
    if now < _NEWEST_THAT_IS_WRONG:
        yield fault("clock", f"{found} is long past", remedy)
    elif database is not None and (written := _written_at(database)) is not None and written > now + _AHEAD:
        yield warning("clock", f"{found}, but the store was written at {written.isoformat(timespec='seconds')}", remedy)
    elif (state := ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))) == _TIME_ERROR:
        yield warning("clock", f"{found}, not synchronised as far as the kernel knows", remedy)
    else:  # a container may forbid to ask
        yield ok(
            "clock", f"{found}, {'synchronised' if state >= 0 else 'and the kernel does not say whether it is right'}"
        )


def _written_at(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None


def descriptors(workers: int, deliveries: int) -> Iterator[Finding]:
    """Look whether the limit of open files has room for so many worker processes and deliveries at once."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OWN_DESCRIPTORS + DESCRIPTORS_OF_A_WORKER * workers + deliveries
    processes = f"{workers} worker process{'' if workers == 1 else 'es'}"
    at_once = f"{deliveries} deliver{'y' if deliveries == 1 else 'ies'} at once"
    found = f"{limit} may be open; {processes} and {at_once} take {needed}"
    remedy = f"raise it (LimitNOFILE=65536 in the unit, or `ulimit -n`; {most} is the most here), or lower concurrency"
    if limit < needed:
        fitting = max(0, (limit - OWN_DESCRIPTORS - deliveries) // DESCRIPTORS_OF_A_WORKER)
        yield fault("descriptors", f"{found}: {fitting} worker{' fits' if fitting == 1 else 's fit'}", remedy)
    elif limit - needed < FEW_CALLERS:
        yield warning("descriptors", f"{found}: {limit - needed} are left for callers", remedy)
    else:
        yield ok("descriptors", f"{found}: {limit - needed} are left for callers")


def processes(workers: int) -> Iterator[Finding]:
    """Look whether so many worker processes may run, by the limit of the user and by that of the control group."""
    limits = [limit for limit in (_of_user(), _of_group()) if limit is not None]
    needed = OWN_TASKS + workers
    if not limits:
        yield ok("processes", f"no limit; {count(workers, 'worker process', 'worker processes')} at most")
        return
    limit, whose = min(limits)
    found = f"{count(limit, 'task')} ({whose}), {count(workers, 'worker process', 'worker processes')} at most"
    if limit < needed:
        yield fault("processes", found, f"raise the limit to well over {needed} (TasksMax, ulimit -u, --pids-limit)")
    else:
        yield ok("processes", found)


def _of_user() -> tuple[int, str] | None:
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    # Not enforced for root.
    return None if os.geteuid() == 0 or limit == resource.RLIM_INFINITY else (limit, "RLIMIT_NPROC")


def _of_group() -> tuple[int, str] | None:
    try:
        group = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2]
        limit = Path(f"/sys/fs/cgroup{group}/pids.max").read_text().strip()
    except OSError:
        return None
    return (int(limit), "pids.max of the control group") if limit.isdigit() else None
