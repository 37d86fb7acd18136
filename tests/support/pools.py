"""Pools over folders of functions written on the spot, a clock to be turned by hand, and a look at real processes."""

import asyncio
import json
import os
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from pipeline.clock import Clock, SystemClock
from pipeline.config.settings import FunctionSettings, FunctionsSettings
from pipeline.functions.catalog import Catalog
from pipeline.functions.pool import Pool
from pipeline.model import Call, RunOutcome

_ids = count(1)


class TurnedClock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return datetime(2022, 4, 5, 17, 47, 0, 402000, tzinfo=UTC) + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float, wakeup: asyncio.Event | None = None) -> None:
        due = asyncio.Event()
        self._sleepers.append((self._passed + seconds, due))
        waits = [asyncio.ensure_future(event.wait()) for event in (due, wakeup) if event is not None]
        self._ring()
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def turn(self, seconds: float) -> None:
        """Let time pass, and all who wait for it run."""
        await asyncio.sleep(0.02)
        self._passed += seconds
        self._ring()
        await asyncio.sleep(0.02)

    def _ring(self) -> None:
        for due in [sleeper for sleeper in self._sleepers if sleeper[0] <= self._passed]:
            self._sleepers.remove(due)
            due[1].set()


@asynccontextmanager
async def pool_of(
    folder: Path,
    files: Mapping[str, str],
    *,
    clock: Clock | None = None,
    settings: Mapping[str, FunctionSettings] | None = None,
    result_limit: int = 1024 * 1024,
    python: Path | None = None,
) -> AsyncIterator[Pool]:
    """Write `files` into `folder` and open a pool over it."""
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    functions = FunctionsSettings(directory=folder, python=python, settings=settings or {})
    pool = Pool(
        catalog=Catalog.load(functions), settings=functions, result_limit=result_limit, clock=clock or SystemClock()
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


def call(function: str, event: bytes = b"{}", *, timeout_s: float = 20.0, attempt: int = 1) -> Call:
    """Return a call of a function that is background if its name says so."""
    return Call(
        id=f"call-{next(_ids)}",
        function=function,
        event=event,
        timeout_s=timeout_s,
        is_background=function.endswith("-background"),
        attempt=attempt,
        max_attempts=3,
    )


async def run_one(folder: Path, source: str, *, name: str = "f-background", timeout_s: float = 20.0) -> RunOutcome:
    """Run one call of one function in a pool of its own."""
    async with pool_of(folder, {f"{name}.py": source}) as pool:
        return await pool.run(call(name, timeout_s=timeout_s))


def lines(outcome: RunOutcome) -> list[str]:
    """Return the text of the lines that a run wrote."""
    return [text for _, _, _, text in outcome.output.lines]


def value(outcome: RunOutcome) -> object:
    """Return the JSON of a run's result."""
    assert outcome.result is not None, outcome
    return json.loads(outcome.result.body)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def until(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Wait until `condition` holds; fail if it does not in `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def pid_in(path: Path) -> int:
    """Return the process id that a function wrote to `path`, 0 while it has not."""
    return int(path.read_text() or 0) if path.exists() else 0


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))
