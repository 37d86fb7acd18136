"""Trials for `sendoff doctor`: whether each function's module loads, in a worker process as the service starts it."""

import asyncio
import os
from collections.abc import Iterable
from itertools import count

from pipeline.clock import Clock
from pipeline.config.settings import FunctionsSettings
from pipeline.errors import GuardError
from pipeline.functions.alarms import Alarms
from pipeline.functions.catalog import Function
from pipeline.functions.guardian import Guardian
from pipeline.functions.launch import Launch
from pipeline.functions.process import Process
from pipeline.functions.tail import Watches
from pipeline.functions.turn import Turn
from pipeline.mask import Masker

AT_ONCE = 4


class Trial:
    """One worker process that is only to come up; it owns itself, as a lane owns the processes of a service."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    def on_free(self, _: Process) -> None:
        self._end(None)

    def on_idle(self, _: Process) -> None:
        raise AssertionError("a trial is over before it is idle for long")

    def on_ended(self, process: Process) -> None:
        failure = process.start_failure
        self._end(process.how if failure is None else f"{failure.error.type}: {failure.error.message}")

    def take_back(self, turn: Turn, how: str) -> None:
        raise AssertionError("a trial gives no turns")

    def _end(self, why: str | None) -> None:
        if not self.ended.done():
            self.ended.set_result(why)


async def load(
    functions: Iterable[Function], settings: FunctionsSettings, *, result_limit: int, clock: Clock, mask: Masker
) -> dict[str, str]:
    """Load each function in a worker of its own and end it again; return why, for those that do not load.

    Runs what the modules do when they are imported. Raises GuardError where there is no guard.
    """
    guardian, alarms, numbers = Guardian(), Alarms(clock), count(1)
    room = asyncio.Semaphore(AT_ONCE)

    async def try_one(function: Function) -> tuple[str, str | None]:
        async with room:
            trial = Trial()
            launch = Launch.of(function, settings, result_limit, os.environ)
            process = Process(next(numbers), launch, trial, guardian=guardian, alarms=alarms, watches=Watches(mask))
            try:
                process.start()
            except (GuardError, OSError) as error:
                return function.name, f"no worker process can be started: {error}"
            why = await trial.ended
            guardian.kill(process.number)
            process.drop()
            return function.name, why and mask.text(why)

    alarms.open()
    try:
        await guardian.open()
        found = await asyncio.gather(*map(try_one, functions))
    finally:
        await guardian.close()
        await alarms.close()
    return {name: why for name, why in found if why is not None}
