"""Runs in a worker process: says what holds there, and leaves a process behind that the guard must find."""

import ctypes
import errno
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

_MIB = 1024 * 1024
_PATIENCE_S = 5.0
_PR_SET_PDEATHSIG = 1
_STRAY = "import signal; signal.alarm(60); signal.pause()"


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Return the ids of this process and of the one that it leaves behind, and what holds."""
    return {
        "pid": os.getpid(),
        "stray": _stray(),
        "dies_with_parent": _dies_with_parent(),
        "holds": {
            "RLIMIT_DATA": _in_child(resource.RLIMIT_DATA, 64 * _MIB, _fill),
            "RLIMIT_NOFILE": _in_child(resource.RLIMIT_NOFILE, 16, _open),
            "RLIMIT_NPROC": _in_child(resource.RLIMIT_NPROC, 1, _fork),
        },
    }


def _in_child(limit: int, most: int, exceed: Callable[[], None]) -> bool:
    """Tell whether a process that sets a limit for itself is held to it."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] == 0
    code = 1
    try:
        resource.setrlimit(limit, (most, most))
        exceed()
    except MemoryError:
        code = 0
    except OSError as error:
        code = 0 if error.errno in (errno.EMFILE, errno.EAGAIN, errno.ENOMEM) else 1
    finally:
        os._exit(code)


def _fill() -> None:
    bytearray(256 * _MIB)


def _open() -> None:
    for _ in range(20):
        os.open(os.devnull, os.O_RDONLY)


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _dies_with_parent() -> bool:
    """Tell whether a process that asks for it is killed when its parent ends (PDEATHSIG)."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            os.write(writer, b"!")
            signal.alarm(60)
            signal.pause()
        os.read(reader, 1)
        os._exit(0)
    os.wait()
    os.close(writer)
    # The pipe is at its end once nobody is left who could write to it.
    has_ended = bool(select.select([reader], [], [], _PATIENCE_S)[0])
    os.close(reader)
    return has_ended


def _stray() -> int:
    """Start a process that has left everything by which its worker could be told, and return its id."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writer, b"%d" % os.getpid())
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.closerange(3, 1 << 10)
            os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", _STRAY], {})  # noqa: S606 - no shell is wanted
        os._exit(0)
    os.wait()
    os.close(writer)
    with open(reader, "rb") as pipe:
        return int(pipe.read())
