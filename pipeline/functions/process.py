"""One worker process: from its start over many runs to its end, as a state machine without tasks.

The lane gives it turns, the guard tells how it ends, the channel brings frames; one alarm bounds what must not last.
"""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

import orjson

from pipeline.errors import GuardError
from pipeline.functions import outcomes
from pipeline.functions.alarms import Alarms
from pipeline.functions.catalog import Function
from pipeline.functions.channel import Channel, Kind
from pipeline.functions.ends import Ends
from pipeline.functions.guardian import Guardian, Order
from pipeline.functions.outcomes import Failure
from pipeline.functions.output import OutputPipes, RawOutput
from pipeline.functions.turn import Turn

START_LIMIT_S = 30.0
KILL_AFTER_S = 5.0
PIPES_AFTER_S = 1.0
_REPORT_AFTER_S = 1.0  # how long a closed channel may wait for the guard's word
_PROGRAM = Path(__file__).parent / "workers" / "sendoff_python"
_MEMORY_MB = 1024


class State(Enum):
    """Where a worker process stands."""

    STARTING = auto()
    IDLE = auto()
    BUSY = auto()
    STOPPING = auto()
    ENDED = auto()


# Looked up once: on the way of every run a member of an enumeration costs more than the comparison.
_STARTING, _IDLE, _BUSY, _STOPPING, _ENDED = State
_CALL, _READY, _UNLOADED, _STARTED, _VALUE, _RESPONSE, _FAILED = map(int, Kind)


class Owner(Protocol):
    """Who gives a process its turns."""

    def on_free(self, process: "Process") -> None:
        """It can take a turn."""

    def on_ended(self, process: "Process") -> None:
        """It takes no more turns and its slot is free; `start_failure` says why it never took one."""

    def take_back(self, turn: Turn, how: str) -> None:
        """It ended before it began this turn."""


class Process:
    """One worker process of one function."""

    def __init__(
        self,
        number: int,
        function: Function,
        owner: Owner,
        *,
        guardian: Guardian,
        alarms: Alarms,
        environment: Mapping[str, str],
        result_limit: int,
    ) -> None:
        self.number = number
        self.function = function
        self.state = _STARTING
        self.pid: int | None = None
        self.start_failure: Failure | None = None
        """Why it ended before it could take a turn."""
        self._owner = owner
        self._guardian = guardian
        self._clock = alarms.clock
        self._alarms = alarms
        self._environment = environment
        self._result_limit = result_limit
        self._turn: Turn | None = None
        self._run = 0
        self._failure: Failure | None = None
        self._was_ready = False
        self._is_dropped = False
        self._how: str | None = None

    # -- what the lane asks for

    @property
    def how(self) -> str:
        """Return how the process ended."""
        return self._how or "the guard did not say how"

    @property
    def has_failed_to_start(self) -> bool:
        """Tell whether the process ended, by its own fault, before it could take a turn."""
        return self.state is _ENDED and not self._was_ready and not self._is_dropped

    def is_running(self, turn: Turn) -> bool:
        """Tell whether `turn` is in this process now."""
        return self._turn is turn

    def take_output(self) -> RawOutput | None:
        """Return what the process wrote outside of a run."""
        return self._pipes.take()

    def start(self) -> None:
        """Have the process started; raises GuardError or OSError, and leaves nothing behind, where that cannot be."""
        ends = Ends()
        self._pipes = OutputPipes(ends.stdout, ends.stderr, clock=self._clock, on_end=self._on_pipes_end)
        self._channel = Channel(
            ends.channel,
            body_limit=self._result_limit,
            on_frame=self._on_frame,
            on_rubbish=self._on_rubbish,
            on_end=self._on_channel_end,
        )
        argv = [sys.executable, _PROGRAM, self.function.name, self.function.path, self._result_limit, _MEMORY_MB]
        order = Order(
            argv=[str(item) for item in argv],
            env=self._environment,
            cwd=str(self.function.folder),
            limits={"CORE": 0},
            fds=ends.workers,
        )
        self._alarm = self._alarms.new()
        self._alarm.set(START_LIMIT_S, self._on_start_limit)
        try:
            self._guardian.start(self.number, order, self)
        except GuardError:
            self._close()
            raise

    def give(self, turn: Turn) -> bool:
        """Send a turn's call to the idle process; return False where it turns out to be gone."""
        self._run += 1
        call = turn.call
        head = orjson.dumps(
            {
                "id": call.id,
                "timeout_s": call.timeout_s,
                "is_background": call.is_background,
                "attempt": call.attempt,
                "max_attempts": call.max_attempts,
                "batch_id": call.batch_id,
                "parent_id": call.parent_id,
            }
        )
        if not self._channel.send(_CALL, self._run, head, call.event):
            return False
        self.state = _BUSY
        self._turn = turn
        turn.process = self
        turn.started_at = None
        self._alarm.set(START_LIMIT_S, self._on_start_limit)
        return True

    def stop(self, failure: Failure | None) -> None:
        """End the process, and its run with `failure`: SIGTERM to its group, 5 s later SIGKILL to all descendants."""
        if self.state is _STOPPING:
            return
        self.state = _STOPPING
        self._failure = self._failure or failure
        self._guardian.signal(self.number, signal.SIGTERM)
        self._alarm.set(KILL_AFTER_S, self._kill)

    def drop(self) -> None:
        """Give up on the process at once; its run is returned. The owner is not told."""
        self._is_dropped = True
        self._close()

    # -- what the guard tells

    def on_pid(self, pid: int) -> None:
        self.pid = pid

    def on_exit(self, how: str) -> None:
        if self.state is _ENDED:
            return
        self._how = how
        self._channel.drain()  # its last frame may still be there
        self.state = _STOPPING
        if self._pipes.has_ended:
            self._finish()
        else:
            # A descendant may hold them open for as long as it likes.
            self._alarm.set(PIPES_AFTER_S, self._finish)

    def on_guard_lost(self) -> None:
        if self.pid is not None:
            # PDEATHSIG has killed the worker already, but not what it started.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        turn = self._turn
        if turn is not None and turn.started_at is None:
            self._turn = None
            self._owner.take_back(turn, "the guard died")
        self.drop()
        self._owner.on_ended(self)

    # -- what the channel and the pipes bring

    def _on_frame(self, kind: int, run: int, head: bytes, body: bytes) -> None:
        turn = self._turn
        if turn is not None and run == self._run and self.state is _BUSY:
            if kind == _STARTED and turn.started_at is None:
                turn.started_at = self._clock.now()
                self._alarm.set(turn.call.timeout_s, self._on_limit)
            elif not self._end_turn(turn, kind, head, body):
                self._on_rubbish()
        elif self.state is _STARTING and kind == _READY:
            self._was_ready = True
            self._become_free()
        elif self.state is _STARTING and kind == _UNLOADED:
            self._on_unloaded(head)
        elif self.state is not _STOPPING:  # what comes after the limit comes too late
            self._on_rubbish()

    def _end_turn(self, turn: Turn, kind: int, head: bytes, body: bytes) -> bool:
        now = self._clock.now()
        started_at = turn.started_at or now
        is_value = kind == _VALUE
        if is_value:
            outcome = outcomes.returned_value(body, started_at, now)
        elif kind == _RESPONSE:
            outcome = outcomes.responded(head, body, started_at, now)
        elif kind == _FAILED:
            try:
                outcome = outcomes.failed(outcomes.failure_of(head), started_at, now)
            except ValueError:
                return False
        else:
            return False
        self._turn = None
        turn.end(outcome, self._pipes.take(), is_value)
        self._become_free()
        return True

    def _become_free(self) -> None:
        self._alarm.stop()
        self.state = _IDLE
        if self._how is None:
            self._owner.on_free(self)

    def _on_unloaded(self, head: bytes) -> None:
        try:
            self.start_failure = outcomes.failure_of(head)
        except ValueError:
            self._on_rubbish()
            return
        self.state = _STOPPING
        self._alarm.set(KILL_AFTER_S, self._kill)

    def _on_rubbish(self) -> None:
        self._fail(outcomes.crashed("the worker process wrote something else than frames on its channel"))
        self._kill()

    def _on_channel_end(self) -> None:
        if self._how is None:
            # As a rule the guard's word follows at once. Else the process lives, without a channel: of no use.
            self.state = _STOPPING
            self._alarm.set(_REPORT_AFTER_S, self._on_mute)

    def _on_pipes_end(self) -> None:
        if self._how is not None:
            self._finish()

    # -- what must not last

    def _on_start_limit(self) -> None:
        self._fail(outcomes.crashed(f"the worker process did not come up within {START_LIMIT_S:.0f} seconds"))
        self._kill()

    def _on_limit(self) -> None:
        if self._turn is not None:
            self.stop(outcomes.timed_out(self._turn.call, self._clock.now()))

    def _on_mute(self) -> None:
        self._fail(outcomes.crashed("the worker process closed its channel"))
        self._kill()

    def _fail(self, failure: Failure) -> None:
        if self._was_ready:
            self._failure = self._failure or failure
        else:
            self.start_failure = self.start_failure or failure

    def _kill(self) -> None:
        self.state = _STOPPING
        self._guardian.kill(self.number)
        self._alarm.set(KILL_AFTER_S, self._finish)  # should the guard not answer

    # -- the end

    def _finish(self) -> None:
        if self.state is _ENDED:
            return
        turn, self._turn = self._turn, None
        now = self._clock.now()
        if turn is not None and turn.started_at is None and self._failure is None:
            self._owner.take_back(turn, self.how)
        elif turn is not None:
            failure = self._failure or outcomes.crashed(f"the worker process ended: {self.how}")
            turn.end(outcomes.failed(failure, turn.started_at, now), self._pipes.take())
        self._close()
        self._owner.on_ended(self)

    def _close(self) -> None:
        self.state = _ENDED
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.end(outcomes.returned(turn.started_at, self._clock.now()), self._pipes.take())
        self._alarm.remove()
        self._channel.close()
        self._pipes.close()
