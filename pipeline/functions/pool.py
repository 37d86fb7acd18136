"""The pool: runs calls in warm worker processes, one lane a function, and says what became of each."""

import asyncio
import os
from dataclasses import dataclass
from itertools import count

from pipeline.clock import Clock
from pipeline.config.settings import FunctionsSettings
from pipeline.functions import outcomes
from pipeline.functions.alarms import Alarms
from pipeline.functions.catalog import Catalog
from pipeline.functions.guardian import Guardian
from pipeline.functions.lane import Lane
from pipeline.functions.launch import Launch
from pipeline.functions.outcomes import settle
from pipeline.functions.process import Owner, Process
from pipeline.functions.tail import Tail, Watches
from pipeline.functions.turn import OnProgress, Turn
from pipeline.mask import Masker
from pipeline.model import Call, RunOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessView:
    """A worker process as others may see it; `state` is starting, idle, busy or stopping."""

    function: str
    pid: int | None
    state: str


class Pool:
    """All worker processes of the service. Made and used within one running event loop."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        settings: FunctionsSettings,
        result_limit: int,
        clock: Clock,
        mask: Masker | None = None,
    ) -> None:
        self._catalog = catalog
        self._settings = settings
        self._result_limit = result_limit
        self._mask = mask or Masker()
        self.watches = Watches(self._mask)
        """Who follows the runs of which job."""
        self._alarms = Alarms(clock)
        self._guardian = Guardian()
        self._lanes: dict[str, Lane] = {}
        self._turns: dict[str, Turn] = {}
        self._is_closed = False
        self._numbers = count(1)

    def update(self, *, catalog: Catalog, settings: FunctionsSettings, result_limit: int) -> None:
        """Run these functions, with these settings, from now on, all of them in new processes.

        Runs under way end in the processes that they are in. What waits for a function that has gone is told so.
        """
        self._catalog, self._settings, self._result_limit = catalog, settings, result_limit
        for name, lane in self._lanes.items():
            lane.retire()
            if name in catalog.functions:
                lane.update(self._launch_of(name), size=self._processes_of(name))
            else:
                lane.remove()

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
        """Return how many runs of a function may be under way at once: its processes, by what each of them takes."""
        settings = self._settings.of(function_name)
        function = self._catalog.functions.get(function_name)
        each = settings.async_concurrency if function is not None and function.is_async else 1
        return self._processes_of(function_name) * each

    def _processes_of(self, function_name: str) -> int:
        return self._settings.of(function_name).concurrency or os.cpu_count() or 1

    def running(self, function_name: str) -> int:
        """Return how many runs of a function are under way."""
        lane = self._lanes.get(function_name)
        return lane.running if lane is not None else 0

    def waiting(self, function_name: str) -> int:
        """Return how many runs and calls of a function wait for a process."""
        lane = self._lanes.get(function_name)
        return lane.waiting if lane is not None else 0

    def processes(self) -> tuple[ProcessView, ...]:
        """Return all worker processes."""
        return tuple(
            ProcessView(function=lane.launch.function.name, pid=process.pid, state=process.state.name.lower())
            for lane in self._lanes.values()
            for process in lane.processes
        )

    def tail_of(self, function_name: str, call_id: str) -> Tail | None:
        """Return the tail of the run that a job has in a process now, or None where it has none."""
        lane = self._lanes.get(function_name)
        tails = (process.tail_of(call_id) for process in lane.processes) if lane is not None else ()
        return next((tail for tail in tails if tail is not None), None)

    @property
    def guard_pid(self) -> int | None:
        """Return the guard's process id, or None where there is no guard."""
        return self._guardian.pid

    async def run(
        self, call: Call, *, slot_wait_s: float | None = None, on_progress: OnProgress | None = None
    ) -> RunOutcome:
        """Run a call in a worker process of its function, after those that came before it, and return the outcome.

        `on_progress` is called with whatever the handler says of its progress. Raises UnknownFunctionError and
        BadNameError, GuardError where no worker can be started, and BusyError where no slot came free within
        `slot_wait_s`. Cancelling ends the run in the background: an async one's task is cancelled, and what is not
        async, or has not ended after 5 s, gets SIGTERM, 5 s, SIGKILL.
        """
        lane = self._lanes.get(call.function) or self._add_lane(call.function)
        turn = self._turns[call.id] = Turn(call, self._new_future(), on_progress)
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
            self._turns.pop(call.id, None)
            if alarm is not None:
                alarm.remove()
        return await settle(ended, call, self._mask, is_5xx_failure=lane.launch.settings.retry_on_5xx)

    def cancel(self, call_id: str) -> bool:
        """Have the run of a call end as cancelled: at once where it waits, else as at its time limit.

        A result that comes first wins. False where there is no such run, or not any more.
        """
        turn = self._turns.get(call_id)
        if turn is None or turn.future.done():
            return False
        if turn.process is not None:
            turn.process.break_off(turn, None)
        else:
            turn.end(outcomes.broken_off(None, None, self._alarms.clock.now()), None)
        return True

    def _add_lane(self, name: str) -> Lane:
        lane = Lane(self._launch_of(name), size=self._processes_of(name), make=self._make, alarms=self._alarms)
        if self._is_closed:
            lane.close()
        self._lanes[name] = lane
        return lane

    def _launch_of(self, name: str) -> Launch:
        return Launch.of(self._catalog.get(name), self._settings, self._result_limit, os.environ)

    def _make(self, launch: Launch, owner: Owner) -> Process:
        return Process(
            next(self._numbers), launch, owner, guardian=self._guardian, alarms=self._alarms, watches=self.watches
        )
