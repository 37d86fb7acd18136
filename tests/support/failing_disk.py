"""Has the kernel refuse a Python program's system calls on its files, from a moment on: a disk that fails.

    python failing_disk.py PIPE NAMES PROGRAM ARGUMENTS...

Runs the program in this process. From the moment that somebody writes to the named pipe every call of NAMES (comma
between them) fails with EIO, in all threads: by a seccomp filter, so that neither a compiler nor a tracer is needed,
and whatever SQLite the interpreter was built with is told what a broken disk would tell it.
"""

import ctypes
import errno
import os
import platform
import runpy
import struct
import sys
import threading

_NUMBERS = {
    "x86_64": {"seccomp": 317, "pwrite64": 18, "fsync": 74, "fdatasync": 75},
    "aarch64": {"seccomp": 277, "pwrite64": 68, "fsync": 82, "fdatasync": 83},
}
_AUDIT_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER = 1
_ALL_THREADS = 1
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000 | errno.EIO
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def is_known() -> bool:
    """Tell whether the calls of this machine are known here."""
    return platform.machine() in _NUMBERS


def fail(names: list[str]) -> None:
    """Have these calls fail from now on, in every thread of this process; OSError where the kernel does not take it."""
    numbers = _NUMBERS[platform.machine()]
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_IF_EQUAL, 1, 0, _AUDIT_ARCHITECTURES[platform.machine()]),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    for name in names:
        steps += [(_JUMP_IF_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _FAIL)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    program = _Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(numbers["seccomp"], _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "the filter is not taken")


def _wait(pipe: str, names: list[str]) -> None:
    with open(pipe, "rb") as told:
        told.read()
    try:
        fail(names)
    except BaseException as error:
        print(f"failing_disk: {error}", file=sys.stderr, flush=True)
        os._exit(99)


def main() -> None:
    pipe, names, *sys.argv = sys.argv[1:]
    threading.Thread(target=_wait, args=(pipe, names.split(",")), daemon=True).start()
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
