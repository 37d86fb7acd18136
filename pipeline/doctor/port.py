"""The address: whether it may be bound, and who has it where it is taken."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.binding import bind
from pipeline.config.settings import Config
from pipeline.doctor.findings import Finding, fault, ok
from pipeline.errors import ConfigurationError

_LISTENING = "0A"


def port(config: Config, owner: str | None, *, is_insecure: bool) -> Iterator[Finding]:
    """Bind the address for a moment, as the service does; `owner` is the process of a service on the same store."""
    where = f"{config.service.host}:{config.service.port}"
    try:
        bind(config, is_insecure=is_insecure)[1].close()
    except ConfigurationError as error:
        holders = holders_of(config.service.port)
        if owner is not None and any(pid == owner for pid, _ in holders):
            yield ok("port", f"{where} is that of the running service, pid {owner}")
            return
        by = ", ".join(f"pid {pid} ({name})" for pid, name in holders)
        reason = error.faults[0].message
        yield fault(
            "port",
            f"{reason}; it is held by {by}" if by else reason,
            "end that process, or choose another (service.host and service.port, --host and --port)",
            is_configuration=True,
        )
    else:
        yield ok("port", f"{where} is free")


def holders_of(number: int) -> list[tuple[str, str]]:
    """Return process id and name of those who listen on a TCP port, as far as this user may see."""
    wanted = {f"socket:[{inode}]" for inode in _listening_on(number)}
    found = []
    for folder in Path("/proc").glob("[0-9]*") if wanted else ():
        with suppress(OSError):
            if any(os.readlink(fd) in wanted for fd in (folder / "fd").iterdir()):
                found.append((folder.name, (folder / "comm").read_text().strip()))
    return found


def _listening_on(number: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                _, local, _, state, *_, inode = line.split()[:10]
                if state == _LISTENING and re.fullmatch(rf"[0-9A-F]+:{number:04X}", local):
                    yield inode
