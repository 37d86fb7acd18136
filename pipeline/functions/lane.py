"""A lane: one function's worker processes and the calls that wait for one, first come, first served."""

from collections import deque
from collections.abc import Callable
from itertools import islice

from pipeline.clock import Clock
from pipeline.errors import BusyError, GuardError
from pipeline.functions import outcomes
from pipeline.functions.alarms import Alarm, Alarms
from pipeline.functions.catalog import Function
from pipeline.functions.output import RawOutput
from pipeline.functions.process import Owner, Process, State
from pipeline.functions.turn import Turn

MOST_LOST = 2

MakeProcess = Callable[[Function, Owner], Process]


class Lane:
    """Starts processes on demand, up to `size`, and gives each turn to the one that was used last."""

    def __init__(
        self, function: Function, *, size: int, is_5xx_failure: bool, make: MakeProcess, alarms: Alarms
    ) -> None:
        self.function = function
        self.size = size
        self.is_5xx_failure = is_5xx_failure
        self.processes: set[Process] = set()
        self._make = make
        self._alarms = alarms
        self._clock: Clock = alarms.clock
        self._idle: list[Process] = []
        self._waiting: deque[Turn] = deque()
        self._is_closed = False

    @property
    def running(self) -> int:
        """Return the number of runs under way."""
        return sum(process.state is State.BUSY for process in self.processes)

    @property
    def waiting(self) -> int:
        """Return the number of calls that wait for a process."""
        return sum(not turn.future.done() for turn in self._waiting)

    def enter(self, turn: Turn) -> None:
        """Give the turn to an idle process at once, or have it wait for one."""
        # While somebody waits no process is idle, so nobody is overtaken here.
        while self._idle:
            if self._idle.pop().give(turn):
                return
        if self._is_closed:
            turn.end(outcomes.returned(None, self._clock.now()), None)
            return
        self._waiting.append(turn)
        self._start_missing()

    def leave(self, turn: Turn) -> None:
        """Forget a turn whose caller has gone: its run, if it has begun, is ended in the background."""
        process = turn.process
        if process is not None and process.is_running(turn):
            process.stop(None)

    def limit_wait(self, turn: Turn, seconds: float) -> Alarm:
        """Have `turn` fail with BusyError if no slot came free for it in `seconds`; the caller removes the alarm."""
        alarm = self._alarms.new()

        def ring() -> None:
            if turn.process is not None:
                return
            if turn in islice(self._waiting, self._starting()):  # it has a slot, which is only not up yet
                alarm.set(seconds, ring)
                return
            turn.fail(BusyError(f"no worker process of {self.function.name!r} came free within {seconds:g} seconds"))

        alarm.set(seconds, ring)
        return alarm

    def close(self) -> None:
        """Return every run and every waiting call; the processes are the guard's to kill."""
        self._is_closed = True
        processes, self.processes = self.processes, set()
        self._idle.clear()
        for process in processes:
            process.drop()
        while turn := self._next():
            turn.end(outcomes.returned(None, self._clock.now()), None)

    # -- what the processes tell

    def on_free(self, process: Process) -> None:
        turn = self._next()
        if turn is None:
            self._idle.append(process)
        elif not process.give(turn):
            self._waiting.appendleft(turn)  # the process has ended; its place is filled once the guard says so

    def take_back(self, turn: Turn, how: str) -> None:
        self._lose(turn, None, how)

    def on_ended(self, process: Process) -> None:
        self.processes.discard(process)
        if process in self._idle:
            self._idle.remove(process)
        if process.has_failed_to_start and (turn := self._next()):
            raw = process.take_output()
            if process.start_failure is not None:
                turn.end(outcomes.failed(process.start_failure, None, self._clock.now()), raw)
            else:
                self._lose(turn, raw, process.how)
        self._start_missing()

    def _lose(self, turn: Turn, raw: RawOutput | None, how: str) -> None:
        """Put a turn back to the front whose process ended before it began; not for ever."""
        turn.lost += 1
        turn.process = None
        if turn.lost <= MOST_LOST:
            self._waiting.appendleft(turn)
            return
        failure = outcomes.crashed(f"{turn.lost} worker processes ended before they began the run: {how}")
        turn.end(outcomes.failed(failure, None, self._clock.now()), raw)

    def _next(self) -> Turn | None:
        """Take the first waiting turn whose caller is still there."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.future.done():
                return turn
        return None

    def _starting(self) -> int:
        return sum(process.state is State.STARTING for process in self.processes)

    def _start_missing(self) -> None:
        """Start as many processes as turns wait that no starting process is meant for."""
        room = self.size - len(self.processes)
        if room <= 0 or self._is_closed:
            return
        for _ in range(min(self.waiting - self._starting(), room)):
            process = self._make(self.function, self)
            try:
                process.start()
            except (GuardError, OSError) as error:  # OSError: no descriptors left
                while turn := self._next():
                    turn.fail(GuardError(f"no worker process can be started: {error}"))
                return
            self.processes.add(process)
