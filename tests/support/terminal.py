"""A command on a terminal of its own: everything that it draws is kept."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.command import SENDOFF

PATIENCE_S = 60.0


class Terminal:
    """Runs `sendoff` on a terminal of so many columns and lines; as a context manager, which ends it if need be."""

    def __init__(self, folder: Path, *arguments: str, columns: int = 120, **environ: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self._process = subprocess.Popen(
            [SENDOFF, *arguments],
            cwd=folder,
            env={"TERM": "xterm-256color", "LANG": "C.UTF-8", **environ},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.drawn = ""
        self._raw = b""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def until(self, condition: Callable[[str], object]) -> str:
        """Return all that was drawn once it meets a condition."""
        self._read(lambda: condition(self.drawn))
        assert condition(self.drawn), self.drawn
        return self.drawn

    def ended(self) -> int:
        """Read on to the end of the command; return its exit code."""
        self._read(lambda: False)
        return self._process.wait(PATIENCE_S)

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        self._process.send_signal(signal.SIGINT)

    def _read(self, is_enough: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not is_enough():
            assert time.monotonic() < end, self.drawn
            if not select.select([self._master], [], [], 0.1)[0]:
                continue
            try:
                some = os.read(self._master, 65536)
            except OSError:  # EIO: nobody has the other end any more
                return
            self._raw += some
            self.drawn = self._raw.decode(errors="replace").replace("\r\n", "\n")
