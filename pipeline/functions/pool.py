"""The pool: runs calls in warm worker processes, one lane a function, and says what became of each."""

import asyncio
import os
from dataclasses import dataclass
from itertools import count

from pipeline.clock import Clock
from pipeline.config.settings import FunctionsSettings
from pipeline.functions.alarms import Alarms
from pipeline.functions.catalog import Catalog, Function
from pipeline.functions.environment import worker_environment
from pipeline.functions.guardian import Guardian
from pipeline.functions.lane import Lane
from pipeline.functions.outcomes import settle
from pipeline.functions.process import Owner, Process
from pipeline.functions.turn import Turn
from pipeline.model import Call, RunOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessView:
    """A worker process as others may see it; `state` is starting, idle, busy or stopping."""

    function: str
    pid: int | None
    state: str


class Pool:
    """All worker processes of the service. Made and used within one running event loop."""

    def __init__(self, *, catalog: Catalog, settings: FunctionsSettings, result_limit: int, clock: Clock) -> None:
        self._catalog = catalog
        self._settings = settings
        self._result_limit = result_limit
        self._alarms = Alarms(clock)
        self._guardian = Guardian()
        self._lanes: dict[str, Lane] = {}
        self._is_closed = False
        self._numbers = count(1)

    async def open(self) -> None:
        """Start the guard; workers are started when they are needed. Raises GuardError."""
        self._new_future = asyncio.get_running_loop().create_future
        self._alarms.open()
        await self._guardian.open()

    async def close(self) -> None:
        """Kill all workers with their descendants; runs under way, waiting and later calls are returned. Idempotent."""
        self._is_closed = True
        for lane in self._lanes.values():
            lane.close()
        await self._guardian.close()
        await self._alarms.close()

    def size(self, function_name: str) -> int:
        """Return how many runs of a function may be under way at once."""
        return self._settings.of(function_name).concurrency or os.cpu_count() or 1

    def running(self, function_name: str) -> int:
        """Return how many runs of a function are under way."""
        lane = self._lanes.get(function_name)
        return lane.running if lane is not None else 0

    def processes(self) -> tuple[ProcessView, ...]:
        """Return all worker processes."""
        return tuple(
            ProcessView(function=lane.function.name, pid=process.pid, state=process.state.name.lower())
            for lane in self._lanes.values()
            for process in lane.processes
        )

    @property
    def guard_pid(self) -> int | None:
        """Return the guard's process id, or None where there is no guard."""
        return self._guardian.pid

    async def run(self, call: Call, *, slot_wait_s: float | None = None) -> RunOutcome:
        """Run a call in a worker process of its function, after those that came before it, and return the outcome.

        Raises UnknownFunctionError and BadNameError, GuardError where no worker can be started, and BusyError where no
        slot came free within `slot_wait_s`. Cancelling kills the run in the background: SIGTERM, 5 s, SIGKILL.
        """
        lane = self._lanes.get(call.function) or self._add_lane(call.function)
        turn = Turn(call, self._new_future())
        lane.enter(turn)
        alarm = None
        if slot_wait_s is not None and turn.process is None:
            alarm = lane.limit_wait(turn, slot_wait_s)
        try:
            ended = await turn.future
        except asyncio.CancelledError:
            lane.leave(turn)
            raise
        finally:
            if alarm is not None:
                alarm.remove()
        return await settle(ended, call, is_5xx_failure=lane.is_5xx_failure)

    def _add_lane(self, name: str) -> Lane:
        lane = Lane(
            self._catalog.get(name),
            size=self.size(name),
            is_5xx_failure=self._settings.of(name).retry_on_5xx,
            make=self._make,
            alarms=self._alarms,
        )
        if self._is_closed:
            lane.close()
        self._lanes[name] = lane
        return lane

    def _make(self, function: Function, owner: Owner) -> Process:
        return Process(
            next(self._numbers),
            function,
            owner,
            guardian=self._guardian,
            alarms=self._alarms,
            environment=worker_environment(os.environ, self._settings.of(function.name).env),
            result_limit=self._result_limit,
        )
