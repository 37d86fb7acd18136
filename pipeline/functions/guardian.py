"""The service's side of the guard: gives orders, hands on reports, and replaces a guard that died."""

import asyncio
import os
import signal as signals
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from pipeline.errors import GuardError
from pipeline.functions.guard import MARKER

_PROGRAM = Path(__file__).with_name("guard.py")
_MAX_PACKET = 64 * 1024
_STARTS = 3
_EXIT_S = 5.0


class Listener(Protocol):
    """Who is told what becomes of one worker process."""

    def on_pid(self, pid: int) -> None:
        """The process runs."""

    def on_memory(self, used: int) -> None:
        """It used so many bytes, more than it may, and is being killed for it."""

    def on_exit(self, how: str) -> None:
        """The process has ended: `exit code 3`, `signal SIGSEGV`, or why it never ran."""

    def on_guard_lost(self) -> None:
        """The guard died, and the process with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A worker process to be started; the guard passes on nothing that is not named here."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    limits: Mapping[str, int]
    """Resource limits, by the names of RLIMIT_*."""
    memory: int
    """The resident bytes that it may use, its descendants included."""
    fds: tuple[int, int, int]
    """Channel, stdout, stderr. They belong to the Guardian, which closes them."""


class Guardian:
    """One guard process at a time, for as long as it is open."""

    def __init__(self) -> None:
        self._listeners: dict[int, Listener] = {}
        self._unsent: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._failed_starts = 0
        self._loop: asyncio.AbstractEventLoop

    @property
    def pid(self) -> int | None:
        """Return the guard's process id, or None where there is none."""
        return self._process.pid if self._process is not None else None

    async def open(self) -> None:
        """Start the guard and wait for its first word; raises GuardError if it cannot be had."""
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.create_future()
        self._start_guard()
        await self._ready

    async def close(self) -> None:
        """Let go of the guard, which kills every worker with its descendants; wait until it has. Idempotent."""
        self._listeners.clear()
        self._let_go()
        process, self._process = self._process, None
        if process is None:
            return
        try:
            await asyncio.to_thread(process.wait, _EXIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start(self, number: int, order: Order, listener: Listener) -> None:
        """Have a worker process started; `listener` is told of it from now on.

        Raises GuardError where no guard can be had.
        """
        if self._control is None:
            self._failed_starts = 0
            try:
                self._start_guard()
            except GuardError:
                _close(order.fds)
                raise
        self._listeners[number] = listener
        packet = orjson.dumps(
            {
                "start": number,
                "argv": order.argv,
                "env": {**order.env, MARKER: _marker(number)},
                "cwd": order.cwd,
                "limits": order.limits,
                "memory": order.memory,
            }
        )
        self._send(packet, order.fds)

    def signal(self, number: int, signum: int) -> None:
        """Have a signal sent to the process group of a worker; nothing happens where it has ended."""
        self._send(orjson.dumps({"signal": signum, "worker": number}))

    def kill(self, number: int) -> None:
        """Have a worker killed, with all its descendants."""
        self._send(orjson.dumps({"kill": number}))

    def _start_guard(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own file, by our own interpreter
                    [sys.executable, "-I", "-S", str(_PROGRAM), str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    cwd="/",
                    env={},
                )
            except OSError as error:
                ours.close()
                raise GuardError(f"the guard process cannot be started: {error}") from None
        ours.setblocking(False)
        self._control = ours
        self._loop.add_reader(ours.fileno(), self._read)

    def _send(self, packet: bytes, fds: tuple[int, ...] = ()) -> None:
        self._unsent.append((packet, fds))
        if len(self._unsent) == 1:
            self._write()

    def _write(self) -> None:
        control = self._control
        while self._unsent and control is not None:
            packet, fds = self._unsent[0]
            try:
                socket.send_fds(control, [packet], fds)
            except BlockingIOError:
                self._loop.add_writer(control.fileno(), self._write)
                return
            except OSError:
                break  # the guard is gone: the reader is told as well, and everyone hears of it there
            self._unsent.popleft()
            _close(fds)
        self._forget_unsent()
        if control is not None:
            self._loop.remove_writer(control.fileno())

    def _read(self) -> None:
        assert self._control is not None
        try:
            packet = self._control.recv(_MAX_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._replace()
            return
        report = orjson.loads(packet)
        if "ready" in report:
            self._failed_starts = 0
            self._say_ready(None)
        elif "pid" in report:
            if listener := self._listeners.get(report["worker"]):
                listener.on_pid(report["pid"])
        elif "memory" in report:
            if listener := self._listeners.get(report["worker"]):
                listener.on_memory(report["memory"])
        elif ended := self._listeners.pop(report["worker"], None):
            ended.on_exit(_how(**report["exit"]))

    def _replace(self) -> None:
        """Start another guard in the place of the one that died, then tell everyone."""
        self._let_go()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        lost, self._listeners = self._listeners, {}
        self._failed_starts += 1
        try:
            if self._failed_starts > _STARTS:
                raise GuardError("the guard process dies as soon as it is started")
            self._start_guard()
            if lost:
                self._send(orjson.dumps({"hunt": [_marker(number) for number in lost]}))
        except GuardError as error:
            self._say_ready(error)
        for listener in lost.values():
            listener.on_guard_lost()

    def _say_ready(self, error: GuardError | None) -> None:
        ready, self._ready = self._ready, None
        if ready is None or ready.done():
            return
        if error is None:
            ready.set_result(None)
        else:
            ready.set_exception(error)

    def _let_go(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            self._loop.remove_reader(control.fileno())
            self._loop.remove_writer(control.fileno())
            control.close()
        self._forget_unsent()

    def _forget_unsent(self) -> None:
        for _, fds in self._unsent:
            _close(fds)
        self._unsent.clear()


def _marker(number: int) -> str:
    return f"{os.getpid()}.{number}"


def _close(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)


def _how(*, code: int | None = None, signal: int | None = None, error: str | None = None) -> str:
    if error is not None:
        return error
    return f"exit code {code}" if signal is None else f"signal {_signal_name(signal)}"


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return str(number)
