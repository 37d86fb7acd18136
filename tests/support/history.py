"""What the outside saw of a service: every request and its answer, every run as the function itself noted it, every
webhook, and every look at a job.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.hooks import Hook

JOURNAL = '''
import json, os, time

def journal(event, context, what):
    """Append what happens to a file, in one write, so that it is there whatever happens next."""
    facts = {"job_id": context.job_id, "ref": json.loads(event["body"])["ref"], "what": what, "at": time.time(),
             "pid": os.getpid()}
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "journal")
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, json.dumps(facts).encode() + b"\\n")
    os.close(fd)
'''
"""The beginning of a function that keeps the journal; its event's body is JSON with a `ref`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One POST to a background function; `status` is None where no answer came."""

    ref: str
    status: int | None
    job_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the journal: a run's `start` or `end`."""

    job_id: str
    ref: str
    what: str
    at: float
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a job while it was on its way."""

    job_id: str
    round: int
    run: int
    state: str


@dataclass(slots=True, kw_only=True)
class History:
    """All of it, each kind in the order in which it happened."""

    posts: list[Post] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    @property
    def accepted(self) -> dict[str, str]:
        """Return the ref of every job that got a 202, by the job's id."""
        return {post.job_id: post.ref for post in self.posts if post.status == 202 and post.job_id}


def read_journal(folder: Path) -> Iterator[Step]:
    """Yield the lines of the journal of the functions in a service's folder."""
    path = folder / "journal"
    for line in path.read_text().splitlines() if path.exists() else ():
        yield Step(**json.loads(line))
