"""What a service itself says happened: read over HTTP while it runs, and from its database once it has ended."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import processes
from tests.support.serving import Service

Facts = dict[str, Any]

_PIPES_OF_A_WORKER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What the service process holds besides its warm workers."""

    descriptors: int
    threads: int
    strays: int
    """Descendants that are neither the guard nor a worker."""

    @classmethod
    def of(cls, service: Service) -> "Footprint":
        """Return the footprint of a running service."""
        workers = processes.children(service.guard.pid)
        return cls(
            descriptors=processes.descriptors(service.pid) - _PIPES_OF_A_WORKER * len(workers),
            threads=processes.threads(service.pid),
            strays=len(processes.descendants(service.pid)) - 1 - len(workers),
        )

    def regained_by(self, service: Service) -> "Footprint | None":
        """Return the footprint of now once it is no larger: what served connections goes a moment after them."""
        now = Footprint.of(service)
        return now if now.descriptors <= self.descriptors and now.strays <= self.strays else None


@dataclass(slots=True, kw_only=True)
class Stored:
    """What the database says beyond HTTP; counted in it, not taken from any column of counters."""

    integrity: str = "ok"
    wal_bytes: int = 0
    messages: Mapping[str, int] = field(default_factory=dict)
    """How many messages each job has."""
    lost_sendings: Mapping[str, int] = field(default_factory=dict)
    """How often each delivery was lost with its service."""


@dataclass(slots=True, kw_only=True)
class Books:
    """All jobs, with the runs and the deliveries (and their attempts) of each, by the job's id."""

    jobs: dict[str, Facts] = field(default_factory=dict)
    runs: dict[str, list[Facts]] = field(default_factory=dict)
    deliveries: dict[str, list[Facts]] = field(default_factory=dict)
    stored: Stored = field(default_factory=Stored)
    before: Footprint | None = None
    after: Footprint | None = None

    @classmethod
    def of(cls, service: Service) -> "Books":
        """Read the status URLs of every job of a running service."""
        jobs = {job["id"]: job for job in service.items("/v1/jobs")}
        return cls(
            jobs=jobs,
            runs={job_id: service.runs(job_id) for job_id in jobs},
            deliveries={job_id: service.deliveries(job_id) for job_id in jobs},
        )


def read_stored(database: Path) -> Stored:
    """Read the database of a service that has ended, without changing it."""
    wal = database.with_name(database.name + "-wal")
    wal_bytes = wal.stat().st_size if wal.exists() else 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
        return Stored(
            integrity="; ".join(row[0] for row in reader.execute("PRAGMA integrity_check")),
            wal_bytes=wal_bytes,
            messages=dict(reader.execute("SELECT job_id, count(*) FROM message GROUP BY job_id")),
            lost_sendings=dict(reader.execute("SELECT id, lost FROM delivery WHERE lost > 0")),
        )
