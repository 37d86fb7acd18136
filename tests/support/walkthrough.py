"""The project as somebody finds who follows its documentation, on ports of their own: the examples, and `.venv`."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from tests.support.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 2.0
PORTS = ("8888", "9000")
"""Of the service and of the receiver, as the documentation and the examples name them."""


class Walkthrough:
    """A folder with a copy of `examples/`, and with the environment that the tests run in as its `.venv`."""

    def __init__(self, folder: Path) -> None:
        """Make the copy; in it, and in what `run` is given, free ports stand in the place of 8888 and 9000."""
        self.folder = folder
        self.ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("data", "__pycache__"))
        (folder / ".venv").symlink_to(sys.prefix)
        for path in (folder / "examples").glob("*/*"):
            if path.suffix in {".py", ".yaml"}:
                path.write_text(self.on_own_ports(path.read_text()))
        # 8888 is a default, which nothing names.
        with (folder / "examples" / "hello" / "sendoff.yaml").open("a") as config:
            config.write(f"service: {{port: {self.ports['8888']}}}\n")

    @property
    def url(self) -> str:
        """Where the service is reached."""
        return f"http://127.0.0.1:{self.ports['8888']}"

    def on_own_ports(self, text: str) -> str:
        """Return `text` with this folder's ports."""
        return re.sub(r"\b(8888|9000)\b", lambda found: self.ports[found[1]], text)

    def run(self, script: str) -> str:
        """Run a shell script as it stands; return what it wrote. It must succeed, and leave no process behind."""
        code, has_left, output = run("bash", "-euo", "pipefail", "-c", self.on_own_ports(script), cwd=self.folder)
        assert code == 0, output
        assert not has_left, f"the script left processes behind: {output}"
        return output


def run(*command: str | Path, cwd: Path, seconds: float = 100.0) -> tuple[int, bool, str]:
    """Run a program to its end; return its exit code, whether it left processes behind, and what it wrote.

    Those that it left behind are killed.
    """
    with tempfile.TemporaryFile("w+") as output:  # not a pipe, which those that are left behind would keep open
        process = start(*command, cwd=cwd, output=output)
        try:
            code = process.wait(seconds)
        finally:
            has_left = end_session(process)
        output.seek(0)
        return code, has_left, output.read()


def start(*command: str | Path, cwd: Path, output: IO[str]) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, which writes to `output`."""
    return subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )


def end_session(process: subprocess.Popen[bytes]) -> bool:
    """Kill what is left of the process's group; tell whether there was anything, some moments after its end."""
    if process.poll() is not None:
        until = time.monotonic() + _PATIENCE_S
        while (has_left := _is_alive(process.pid)) and time.monotonic() < until:
            time.sleep(0.01)
    else:
        has_left = False
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return has_left


def _is_alive(group: int) -> bool:
    """Tell whether a process group has a living process; zombies, which nobody may have reaped, are none."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group, *_ = path.read_text(errors="replace").rpartition(")")[2].split()
            if int(its_group) == group and state not in "ZX":
                return True
    return False
