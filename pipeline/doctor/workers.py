"""The processes: whether the guard starts and ends workers here, which limits hold in one, and whether the functions
load.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from pipeline.clock import Clock
from pipeline.config.settings import Config, FunctionsSettings
from pipeline.doctor.findings import Finding, fault, ok, warning
from pipeline.errors import GuardError
from pipeline.functions.catalog import Catalog
from pipeline.functions.pool import Pool
from pipeline.functions.trial import load
from pipeline.mask import Masker
from pipeline.model import Call

LIMIT_S = 30.0
_GONE_S = 5.0
_LOOK_S = 0.02
_RESULT_LIMIT = 1024 * 1024
_PROBES = FunctionsSettings(directory=Path(__file__).with_name("functions"))


class _NoAnswerError(Exception):
    """The worker did not do what it was started for."""


def guard(clock: Clock) -> Iterator[Finding]:
    """Start a guard and a worker, end them, and see what is left."""
    try:
        took, answer, is_left = asyncio.run(_try(clock))
    except (GuardError, OSError, TimeoutError, _NoAnswerError) as error:
        why = str(error) or f"no answer within {LIMIT_S:.0f} seconds"
        yield fault("guard", f"no function can be run: {why}", "find what forbids to start processes (limits, seccomp)")
        return
    remedy = "run on Linux itself: what is here does not do what prctl(2) says"
    if is_left:
        yield fault("guard", "what a worker leaves behind outlives the guard (PR_SET_CHILD_SUBREAPER)", remedy)
    elif not answer["dies_with_parent"]:
        yield fault("guard", "workers outlive a guard that is killed (PR_SET_PDEATHSIG)", remedy)
    else:
        yield ok("guard", f"a worker answered in {took * 1000:.0f} ms; it and what it left behind end with the guard")
    yield from _limits(answer["holds"])


def _limits(holds: dict[str, bool]) -> Iterator[Finding]:
    # Root's own exemption has been told already.
    broken = [name for name, does in holds.items() if not does and not (name == "RLIMIT_NPROC" and os.geteuid() == 0)]
    found = ", ".join(f"{name} {'holds' if does else 'does not hold'}" for name, does in holds.items())
    if broken:
        yield warning("limits", found, "bound the service as a whole instead (MemoryMax and TasksMax in the unit)")
    else:
        yield ok("limits", found)


async def _try(clock: Clock) -> tuple[float, dict[str, Any], bool]:
    """Have a worker leave a process behind, and end the guard; return how long the answer took, the answer, and
    whether anything is left.
    """
    async with asyncio.timeout(LIMIT_S):
        async with _pool(clock) as pool:
            began = clock.monotonic()
            answer = await _ask(pool)
            took = clock.monotonic() - began
        return took, answer, await _is_left(clock, answer["pid"], answer["stray"])


@asynccontextmanager
async def _pool(clock: Clock) -> AsyncIterator[Pool]:
    pool = Pool(catalog=Catalog.load(_PROBES), settings=_PROBES, result_limit=_RESULT_LIMIT, clock=clock)
    try:
        await pool.open()
        yield pool
    finally:
        await pool.close()


async def _ask(pool: Pool) -> dict[str, Any]:
    call = Call(id="doctor", function="probe", event=b"{}", timeout_s=LIMIT_S, is_background=True)
    outcome = await pool.run(call)
    if outcome.result is None:
        raise _NoAnswerError(outcome.error.message if outcome.error else str(outcome.reason))
    return dict(orjson.loads(outcome.result.body))


async def _is_left(clock: Clock, *pids: int) -> bool:
    until = clock.monotonic() + _GONE_S
    while (living := [pid for pid in pids if _is_alive(pid)]) and clock.monotonic() < until:
        await clock.sleep(_LOOK_S)
    for pid in living:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(living)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # what nobody has reaped has ended all the same
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return True


def functions(config: Config, catalog: Catalog, clock: Clock) -> Iterator[Finding]:
    """Load every function in a worker, which runs what its module does when it is imported."""
    limit = config.service.result_limit
    mask = Masker(config.secrets)
    broken = asyncio.run(load(catalog, config.functions, result_limit=limit, clock=clock, mask=mask))
    for name, why in broken.items():
        remedy = "mend the file, or install what it imports into the environment of the service"
        yield fault("functions", f"{name} does not load: {why}", remedy)
    if not len(catalog):
        yield warning("functions", f"there is none in {config.functions.directory}", "see functions.directory")
    elif not broken:
        yield ok("functions", f"{len(catalog)} in {config.functions.directory}, and each loads")
