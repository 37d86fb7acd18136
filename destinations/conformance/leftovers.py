"""What a destination leaves behind: tasks, threads, open files, connections, errors that nobody saw."""

import asyncio
import gc
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_OPEN = Path("/proc/self/fd")


def names_of(tasks: Iterable["asyncio.Task[Any]"]) -> list[str]:
    """Say which tasks these are."""
    return [f"the task {getattr(task.get_coro(), '__qualname__', task.get_name())}" for task in tasks]


@contextmanager
def threads_and_files(left: list[str], patience_s: float) -> Iterator[None]:
    """Add to `left` what the block leaves: threads that keep a program from ending, open files, what was dropped
    without having been closed.
    """
    threads, files = set(threading.enumerate()), _files()
    with warnings.catch_warnings(record=True) as told:
        for category in (ResourceWarning, RuntimeWarning):
            warnings.simplefilter("always", category)
        yield
        gc.collect()
    left += [f"{type(each.message).__name__}: {each.message}" for each in told if _is_left(each)]
    for thread in set(threading.enumerate()) - threads:
        if not thread.daemon:  # libraries have some that serve the whole program
            thread.join(patience_s)
            left += [f"the thread {thread.name}"] if thread.is_alive() else []
    left += [f"the open file {file}" for file in sorted(_files() - files)]
    for each in told:
        if not _is_left(each):
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def _is_left(warning: warnings.WarningMessage) -> bool:
    said = str(warning.message)
    return issubclass(warning.category, ResourceWarning) or "was never awaited" in said


def _files() -> set[str]:
    """Return the files that are open, where the system tells that."""
    found = set()
    for each in _OPEN.iterdir() if _OPEN.is_dir() else ():
        try:
            target = os.readlink(each)
        except OSError:  # it is closed again
            continue
        if target.startswith("/") and not target.startswith(("/dev/", "/proc/")):
            found.add(target)
    return found


def unseen(left: list[str]) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return a loop's handler of exceptions that adds to `left` what nobody else was told."""

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        left.append(f"{context['message']}" + (f" ({type(error).__name__}: {error})" if error else ""))

    return handle
