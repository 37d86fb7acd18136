"""One worker process: from its start over many runs to its end, as a state machine without tasks.

The lane gives it turns, the guard tells how it ends, the channel brings frames; alarms bound what must not last. A
process has one run at a time, but for an async handler with room for several.
"""

import os
import signal
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import Protocol

import orjson

from pipeline.errors import GuardError
from pipeline.functions import outcomes
from pipeline.functions.alarms import Alarm, Alarms
from pipeline.functions.channel import Channel, Kind
from pipeline.functions.ends import Ends
from pipeline.functions.guardian import Guardian
from pipeline.functions.launch import Launch
from pipeline.functions.outcomes import Failure
from pipeline.functions.output import OutputPipes, RawOutput
from pipeline.functions.tail import Tail, Watches
from pipeline.functions.turn import Turn
from pipeline.functions.wear import Wear

START_LIMIT_S = 30.0
CANCEL_S = 5.0
KILL_AFTER_S = 5.0
PIPES_AFTER_S = 1.0
_REPORT_AFTER_S = 1.0  # how long a closed channel may wait for the guard's word


class State(Enum):
    """Where a worker process stands."""

    STARTING = auto()
    IDLE = auto()
    BUSY = auto()
    STOPPING = auto()
    ENDED = auto()


# Looked up once: on the way of every run a member of an enumeration costs more than the comparison.
_STARTING, _IDLE, _BUSY, _STOPPING, _ENDED = State
_CALL, _READY, _UNLOADED, _STARTED, _VALUE, _RESPONSE, _FAILED, _CANCEL, _PROGRESS = map(int, Kind)


class Owner(Protocol):
    """Who gives a process its turns."""

    def on_free(self, process: "Process") -> None:
        """It can take a turn."""

    def on_idle(self, process: "Process") -> None:
        """It had no turn for as long as an idle process is kept."""

    def on_ended(self, process: "Process") -> None:
        """It takes no more turns and its slot is free; `start_failure` says why it never took one."""

    def take_back(self, turn: Turn, how: str) -> None:
        """It ended before it began this turn."""


class Process:
    """One worker process of one function."""

    def __init__(
        self, number: int, launch: Launch, owner: Owner, *, guardian: Guardian, alarms: Alarms, watches: Watches
    ) -> None:
        self.number = number
        self.launch = launch
        self.state = _STARTING
        self.pid: int | None = None
        self.start_failure: Failure | None = None
        """Why it ended before it could take a turn."""
        self.is_retired = False
        """It ends as soon as it has no run, and takes no new one."""
        self._owner = owner
        self._guardian = guardian
        self._clock = alarms.clock
        self._alarms = alarms
        self._watches = watches
        self._turns: dict[int, Turn] = {}
        self._capacity = 1
        self._spare: list[Alarm] = []
        self._run = 0
        self._broken_off = 0
        self._failure: Failure | None = None
        self._is_async = False
        self._was_ready = False
        self._is_dropped = False
        self._is_stopped = False
        self._how: str | None = None
        self._wear = Wear(launch.settings, self._clock)

    # -- what the lane asks for

    @property
    def in_hand(self) -> int:
        """Return the number of its turns."""
        return len(self._turns)

    @property
    def has_room(self) -> bool:
        """Tell whether it can take a turn now."""
        return (
            (self.state is _IDLE or self.state is _BUSY)
            and len(self._turns) < self._capacity
            and not (self._broken_off or self.is_retired or self._how)
        )

    @property
    def is_worn(self) -> bool:
        """Tell whether it should be replaced."""
        return self._wear.is_worn

    @property
    def how(self) -> str:
        """Return how the process ended."""
        return self._how or "the guard did not say how"

    @property
    def has_failed_to_start(self) -> bool:
        """Tell whether the process ended, by its own fault, before it could take a turn."""
        return self.state is _ENDED and not (self._was_ready or self._is_dropped or self.is_retired)

    def tail_of(self, call_id: str) -> Tail | None:
        """Return the tail of a run that is here; None also where several share the process, and with it the output."""
        runs = [turn.call.run for turn in self._turns.values() if turn.call.id == call_id]
        return Tail(runs[0], self._pipes.raw) if runs and self._capacity == 1 else None

    def take_output(self) -> RawOutput | None:
        """Return what the process wrote outside of a run."""
        return self._pipes.take()

    def start(self) -> None:
        """Have the process started; raises GuardError or OSError, and leaves nothing behind, where that cannot be."""
        ends = Ends()
        self._pipes = OutputPipes(
            ends.stdout, ends.stderr, clock=self._clock, mask=self._watches.mask, on_end=self._on_pipes_end
        )
        self._channel = Channel(
            ends.channel,
            body_limit=self.launch.result_limit,
            on_frame=self._on_frame,
            on_rubbish=self._on_rubbish,
            on_end=self._on_channel_end,
        )
        self._alarm = self._alarms.new()
        self._alarm.set(START_LIMIT_S, self._on_start_limit)
        try:
            self._guardian.start(self.number, self.launch.order(ends.workers), self)
        except GuardError:
            self._close()
            raise

    def give(self, turn: Turn) -> bool:
        """Send a turn's call to a process that has room; return False where it turns out to be gone."""
        self._run += 1
        if not self._channel.send(_CALL, self._run, turn.head(), turn.call.event):
            return False
        self.state = _BUSY
        self._turns[self._run] = turn
        turn.process = self
        turn.run = self._run
        turn.started_at = None
        turn.alarm = self._spare.pop() if self._spare else self._alarms.new()
        turn.alarm.set(START_LIMIT_S, self._on_start_limit)
        if turn.call.id in self._watches and self._capacity == 1:
            self._watches.begin(turn.call.id, turn.call.run, self._pipes.raw)
        return True

    def break_off(self, turn: Turn, failure: Failure | None) -> None:
        """End one run with `failure`, or for nobody: an async one is cancelled first, for any other, and for one that
        has not ended 5 s later, the process is stopped.
        """
        if turn.is_broken_off or self._turns.get(turn.run) is not turn:
            return
        turn.is_broken_off = True
        turn.failure = failure
        if self._is_async and turn.alarm is not None and self._channel.send(_CANCEL, turn.run, b"", b""):
            self._broken_off += 1
            turn.alarm.set(CANCEL_S, self._stop)
        else:
            self._stop()

    def retire(self) -> None:
        """Take no new turn, and end without one: by itself, or killed after 5 s."""
        self.is_retired = True
        if self.state is _STARTING:
            self._kill()
        elif self.state is _IDLE:
            self.state = _STOPPING
            self._channel.close()
            self._alarm.set(KILL_AFTER_S, self._kill)

    def drop(self) -> None:
        """Give up on the process at once; its runs are returned. The owner is not told."""
        self._is_dropped = True
        self._close()

    # -- what the guard tells

    def on_pid(self, pid: int) -> None:
        self.pid = pid

    def on_memory(self, used: int) -> None:
        self._fail(outcomes.out_of_memory(used, self.launch.settings.memory))
        self.state = _STOPPING
        self._alarm.set(KILL_AFTER_S, self._finish)  # should the guard not say that it has killed it

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
        for turn in list(self._turns.values()):
            if turn.started_at is None:
                self._forget(turn)
                self._owner.take_back(turn, "the guard died")
        self.drop()
        self._owner.on_ended(self)

    # -- what the channel and the pipes bring

    def _on_frame(self, kind: int, run: int, head: bytes, body: bytes) -> None:
        if self.state is _STOPPING:
            return  # what comes after the limit comes too late
        turn = self._turns.get(run)
        if turn is not None and turn.alarm is not None:
            if kind == _STARTED and turn.started_at is None:
                turn.started_at = self._clock.now()
                if not turn.is_broken_off:
                    turn.alarm.set(turn.call.timeout_s, partial(self._on_limit, turn))
            elif kind == _PROGRESS:
                if turn.on_progress is not None:
                    turn.on_progress(outcomes.progress_of(head, self._watches.mask))
            elif not self._end_turn(turn, kind, head, body):
                self._on_rubbish()
        elif self.state is _STARTING and kind == _READY:
            self._was_ready = True
            self._is_async = bool(head) and orjson.loads(head).get("is_async") is True
            self._capacity = self.launch.settings.async_concurrency if self._is_async else 1
            self._become_idle()
            self._owner.on_free(self)
        elif self.state is _STARTING and kind == _UNLOADED:
            self._on_unloaded(head)
        elif kind != _PROGRESS:  # that of a run which has ended is of no use to anyone
            self._on_rubbish()

    def _end_turn(self, turn: Turn, kind: int, head: bytes, body: bytes) -> bool:
        now = self._clock.now()
        started_at = turn.started_at or now
        is_value = False
        if turn.is_broken_off:
            outcome = outcomes.broken_off(turn.failure, started_at, now)
        elif kind == _VALUE:
            is_value = True
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
        self._forget(turn)
        turn.end(outcome, self._pipes.take(), is_value)
        self._wear.ran(self.pid)
        if not self._turns:
            self._become_idle()
        if self._how is None:
            self._owner.on_free(self)
        return True

    def _forget(self, turn: Turn) -> None:
        del self._turns[turn.run]
        alarm, turn.alarm = turn.alarm, None
        if alarm is not None:
            alarm.stop()
            self._spare.append(alarm)
        if turn.is_broken_off and self._broken_off:
            self._broken_off -= 1

    def _become_idle(self) -> None:
        self.state = _IDLE
        self._alarm.set(self.launch.settings.idle_timeout, self._on_idle)
        if self.is_retired:
            self.retire()

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
        what = "begin a run, as if its event loop were blocked," if self._was_ready and self._is_async else "come up"
        self._fail(outcomes.crashed(f"the worker process did not {what} within {START_LIMIT_S:.0f} seconds"))
        self._kill()

    def _on_limit(self, turn: Turn) -> None:
        self.break_off(turn, outcomes.timed_out(turn.call, self._clock.now()))

    def _on_idle(self) -> None:
        if self.state is _IDLE:
            self._owner.on_idle(self)

    def _on_mute(self) -> None:
        self._fail(outcomes.crashed("the worker process closed its channel"))
        self._kill()

    def _fail(self, failure: Failure) -> None:
        if self._was_ready:
            self._failure = self._failure or failure
        else:
            self.start_failure = self.start_failure or failure

    def _stop(self) -> None:
        """End the process: SIGTERM to its group, 5 s later SIGKILL to all descendants."""
        if self.state is not _STOPPING:
            self.state = _STOPPING
            self._is_stopped = True
            self._guardian.signal(self.number, signal.SIGTERM)
            self._alarm.set(KILL_AFTER_S, self._kill)

    def _kill(self) -> None:
        self.state = _STOPPING
        self._guardian.kill(self.number)
        self._alarm.set(KILL_AFTER_S, self._finish)  # should the guard not answer

    # -- the end

    def _finish(self) -> None:
        if self.state is _ENDED:
            return
        now = self._clock.now()
        turns = list(self._turns.values())
        has_begun = any(turn.started_at is not None for turn in turns)
        raw = self._pipes.take() if turns else None
        for turn in turns:
            self._forget(turn)
            if turn.is_broken_off:
                turn.end(outcomes.broken_off(turn.failure, turn.started_at, now), raw)
            elif self._is_stopped and self._failure is None:  # for another one that shared the process
                turn.end(outcomes.returned(turn.started_at, now), None)
            elif turn.started_at is None and (self._failure is None or has_begun):
                self._owner.take_back(turn, self.how)
            else:
                failure = self._failure or outcomes.crashed(f"the worker process ended: {self.how}")
                turn.end(outcomes.failed(failure, turn.started_at, now), raw)
        self._close()
        self._owner.on_ended(self)

    def _close(self) -> None:
        self.state = _ENDED
        for turn in list(self._turns.values()):
            self._forget(turn)
            turn.end(outcomes.returned(turn.started_at, self._clock.now()), self._pipes.take())
        for alarm in (self._alarm, *self._spare):
            alarm.remove()
        self._channel.close()
        self._pipes.close()
