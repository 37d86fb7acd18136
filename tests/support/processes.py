"""What /proc shows of real processes: who lives, who descends from whom, and what a process holds."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Process(NamedTuple):
    """One process; with the moment of its start, so that a number that is used again is not taken for it."""

    pid: int
    started: str

    @property
    def is_alive(self) -> bool:
        """Tell whether it runs; a zombie does not."""
        facts = _facts(self.pid)
        return facts is not None and facts.started == self.started

    def kill(self) -> None:
        """Kill it, if it still is there."""
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class _Facts(NamedTuple):
    parent: int
    started: str


def _facts(pid: int) -> _Facts | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The command, in parentheses, may hold anything: the fields begin behind the last one.
    state, parent, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" else _Facts(int(parent), rest[17])


def find(pid: int) -> Process | None:
    """Return the living process of this number."""
    facts = _facts(pid)
    return facts and Process(pid, facts.started)


def living() -> Iterator[int]:
    """Yield the numbers of all processes, zombies too."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def children(pid: int) -> list[Process]:
    """Return the living children of a process."""
    found = ((child, _facts(child)) for child in living())
    return [Process(child, facts.started) for child, facts in found if facts is not None and facts.parent == pid]


def descendants(pid: int) -> list[Process]:
    """Return all living descendants of a process."""
    found: list[Process] = []
    todo = [pid]
    while todo:
        born = children(todo.pop())
        found += born
        todo += [process.pid for process in born]
    return found


def marked(text: str) -> list[Process]:
    """Return the living processes that were started with `text` in their environment, whoever their parent is now."""
    found = []
    for pid in living():
        with suppress(OSError):
            if text.encode() in Path(f"/proc/{pid}/environ").read_bytes() and (process := find(pid)):
                found.append(process)
    return found


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def eventually(condition: Callable[[], T], *, seconds: float = 20.0, what: str = "") -> T:
    """Return what `condition` returns once it is true; AssertionError if it is not in `seconds`."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what or condition}"
        time.sleep(0.01)
    return found
