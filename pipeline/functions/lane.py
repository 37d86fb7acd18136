"""A lane: one function's worker processes and the calls that wait for one, first come, first served."""

from collections import deque
from collections.abc import Callable
from itertools import islice
from math import ceil

from pipeline.clock import Clock
from pipeline.errors import BusyError, GuardError, UnknownFunctionError
from pipeline.functions import outcomes
from pipeline.functions.alarms import Alarm, Alarms
from pipeline.functions.launch import Launch
from pipeline.functions.output import RawOutput
from pipeline.functions.process import Owner, Process, State
from pipeline.functions.turn import Turn

MOST_LOST = 2

MakeProcess = Callable[[Launch, Owner], Process]


class Lane:
    """Starts processes on demand, up to `size`, and gives each turn to the one that was used last."""

    def __init__(self, launch: Launch, *, size: int, make: MakeProcess, alarms: Alarms) -> None:
        self.launch = launch
        self.size = size
        self.processes: set[Process] = set()
        self._make = make
        self._alarms = alarms
        self._clock: Clock = alarms.clock
        self._free: list[Process] = []
        self._successors: dict[Process, Process] = {}
        self._waiting: deque[Turn] = deque()
        self._is_closed = False
        self._is_removed = False

    @property
    def running(self) -> int:
        """Return the number of runs under way."""
        return sum(process.in_hand for process in self.processes if process.state is State.BUSY)

    @property
    def waiting(self) -> int:
        """Return the number of calls that wait for a process."""
        return sum(not turn.future.done() for turn in self._waiting)

    def enter(self, turn: Turn) -> None:
        """Give the turn to a process with room at once, or have it wait for one."""
        # While somebody waits no process has room, so nobody is overtaken here.
        while self._free:
            process = self._free[-1]
            is_given = process.has_room and process.give(turn)
            if not (is_given and process.has_room):
                self._free.pop()
            if is_given:
                return
        if self._is_closed:
            turn.end(outcomes.returned(None, self._clock.now()), None)
            return
        if self._is_removed:
            turn.fail(self._unknown())
            return
        self._waiting.append(turn)
        self._start_missing()

    def leave(self, turn: Turn) -> None:
        """Forget a turn whose caller has gone: its run, if it has begun, is ended in the background."""
        process = turn.process
        if process is not None:
            process.break_off(turn, None)

    def limit_wait(self, turn: Turn, seconds: float) -> Alarm:
        """Have `turn` fail with BusyError if no slot came free for it in `seconds`; the caller removes the alarm."""
        alarm = self._alarms.new()

        def ring() -> None:
            if turn.process is not None:
                return
            if turn in islice(self._waiting, self._starting()):  # it has a slot, which is only not up yet
                alarm.set(seconds, ring)
                return
            turn.fail(BusyError(f"no worker process of {self.launch.function.name!r} came free within {seconds:g} s"))

        alarm.set(seconds, ring)
        return alarm

    def close(self) -> None:
        """Return every run and every waiting call; the processes are the guard's to kill."""
        self._is_closed = True
        processes, self.processes = self.processes, set()
        self._free.clear()
        self._successors.clear()
        for process in processes:
            process.drop()
        while turn := self._next():
            turn.end(outcomes.returned(None, self._clock.now()), None)

    def retire(self) -> None:
        """Begin nothing any more in the processes that there are: busy ones end after their run, the others at once."""
        self._free.clear()
        self._successors.clear()
        for process in list(self.processes):
            process.retire()

    def update(self, launch: Launch, *, size: int) -> None:
        """Run the function like this from now on, also after it was removed."""
        self.launch, self.size = launch, size
        self._is_removed = False
        self._start_missing()

    def remove(self) -> None:
        """Have waiting and later calls raise UnknownFunctionError; runs under way end as they would."""
        self._is_removed = True
        while turn := self._next():
            turn.fail(self._unknown())

    def _unknown(self) -> UnknownFunctionError:
        return UnknownFunctionError(f"there is no function {self.launch.function.name!r}")

    # -- what the processes tell

    def on_free(self, process: Process) -> None:
        if process.is_retired:
            self._start_missing()  # one that ends makes room as soon as it has no run
            return
        if process.is_worn and self._is_replaced(process):
            return
        while process.has_room:
            turn = self._next()
            if turn is None:
                if process not in self._free:
                    self._free.append(process)
                return
            if not process.give(turn):
                self._waiting.appendleft(turn)  # the process has ended; its place is filled once the guard says so
                return

    def on_idle(self, process: Process) -> None:
        self._retire(process)

    def take_back(self, turn: Turn, how: str) -> None:
        self._lose(turn, None, how)

    def on_ended(self, process: Process) -> None:
        self.processes.discard(process)
        self._successors.pop(process, None)
        if process in self._free:
            self._free.remove(process)
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
        if self._is_removed:
            turn.fail(self._unknown())
            return
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

    def _is_replaced(self, process: Process) -> bool:
        """Retire a worn process once it is not missed; tell whether it is.

        While turns wait it goes on until a successor is ready, so that nobody waits for a process to start.
        """
        if self._waiting and not self._is_closed:
            successor = self._successors.get(process)
            if successor is None:
                if (started := self._start()) is not None:
                    self._successors[process] = started
                return False
            if successor.state is State.STARTING:
                return False
        self._retire(process)
        return True

    def _retire(self, process: Process) -> None:
        if process in self._free:
            self._free.remove(process)
        process.retire()

    def _starting(self) -> int:
        """Return how many turns the starting processes will take."""
        starting = sum(process.state is State.STARTING for process in self.processes)
        return starting * self.launch.capacity

    def _start_missing(self) -> None:
        """Start as many processes as are needed for the turns that no starting process is meant for."""
        leaving = sum(
            (process.is_retired and not process.in_hand) or process in self._successors for process in self.processes
        )
        room = self.size - len(self.processes) + leaving
        if room <= 0 or self._is_closed:
            return  # before all that wait are counted: most calls end here
        missing = ceil((self.waiting - self._starting()) / self.launch.capacity)
        for _ in range(min(missing, room)):
            if self._start() is None:
                return

    def _start(self) -> Process | None:
        """Start a process; where that cannot be, all who wait for one hear of it."""
        process = self._make(self.launch, self)
        try:
            process.start()
        except (GuardError, OSError) as error:  # OSError: no descriptors left
            while turn := self._next():
                turn.fail(GuardError(f"no worker process can be started: {error}"))
            return None
        self.processes.add(process)
        return process
