"""What a thread does to files and to the network while it is watched, as Python's audit events tell it."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

_FILES = frozenset(
    {"open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink"}
    | {"os.truncate", "os.chmod", "os.chown", "os.utime", "shutil.copyfile", "shutil.move", "tempfile.mkstemp"}
    | {"sqlite3.connect", "os.system", "os.posix_spawn", "time.sleep"}
)
_NAMES = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"})
_BLOCKING = _FILES | _NAMES
_OUTSIDE = _BLOCKING | {"socket.connect", "socket.bind", "socket.sendto", "subprocess.Popen"}


@contextmanager
def watched(*, only_waiting: bool) -> Iterator[list[str]]:
    """Give the list of what this thread does within the block: to anything outside, or only what it has to wait for."""
    ears, thread, heard = _ears(), threading.get_ident(), list[str]()
    ears[thread] = (_BLOCKING if only_waiting else _OUTSIDE, heard)
    try:
        yield heard
    finally:
        del ears[thread]


@cache
def _ears() -> dict[int, tuple[frozenset[str], list[str]]]:
    """Return who is watched. A hook cannot be taken away again, so that there is one, which hears nothing otherwise."""
    ears: dict[int, tuple[frozenset[str], list[str]]] = {}

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if not ears or (listening := ears.get(threading.get_ident())) is None:
            return
        events, heard = listening
        if (event in events or (event == "socket.connect" and _waits(args[0]))) and not _is_innocent(event, args):
            heard.append(f"{event} {_of(args)}".strip())

    sys.addaudithook(hear)
    return ears


def _waits(sock: Any) -> bool:
    return bool(getattr(sock, "gettimeout", lambda: 0)() != 0)


def _is_innocent(event: str, args: tuple[Any, ...]) -> bool:
    """Tell whether Python itself does it: loads a module that is imported late, or wraps what is open already."""
    if event == "open" and isinstance(args[0], int):
        return True
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib") or frame.f_globals.get("__name__") == "linecache":
            return True
        frame = frame.f_back
    return False


def _of(args: tuple[Any, ...]) -> str:
    texts = [text for text in args if isinstance(text, str | bytes)]
    return repr(texts[0])[:200] if texts else ""
