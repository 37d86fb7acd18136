"""`sendoff listen` as a process, and what it printed."""

import json
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.command import SENDOFF
from tests.support.processes import eventually


class Listener:
    """Runs it on free ports; as a context manager, which ends it if need be."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self._process = subprocess.Popen(
            [SENDOFF, "listen", "--port", "0", *arguments],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.said: list[str] = []
        self._readers = [
            threading.Thread(target=_read, args=(self._process.stdout, self.lines)),
            threading.Thread(target=_read, args=(self._process.stderr, self.said)),
        ]

    def __enter__(self) -> "Listener":
        for reader in self._readers:
            reader.start()
        eventually(lambda: self.said or self._process.poll() is not None, what="it listens")
        assert self._process.poll() is None, self.said
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def port(self, scheme: str = "http") -> int:
        """Return the port on which it receives webhooks, or mails (`smtp`)."""
        found = re.search(rf"{scheme}://127\.0\.0\.1:([0-9]+)", self.said[0])
        assert found, self.said
        return int(found[1])

    def url(self, path: str = "/hook") -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.port()}{path}"

    def came(self, number: int = 1) -> list[dict[str, Any]]:
        """Return all that came, which is so much at least, as it was printed with `--json`."""
        eventually(lambda: len(self.lines) >= number, what=f"{number} have come: {self.lines}")
        return [json.loads(line) for line in self.lines]

    def shown(self, words: str) -> str:
        """Return what was printed, once these words are in it."""
        return eventually(lambda: words in (text := "".join(self.lines)) and text, what=f"{words} in {self.lines}")

    def interrupted(self) -> tuple[int, str]:
        """Send what Ctrl-C sends; return the exit code and the last line on stderr."""
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(20)
        for reader in self._readers:
            reader.join()
        return code, self.said[-1].rstrip("\n")


def _read(stream: Any, lines: list[str]) -> None:
    for line in stream:
        lines.append(line)  # noqa: PERF402 - each as it comes


def headers_of(secret: str, message_id: str, body: bytes, at: int, **more: str) -> Mapping[str, str]:
    """Return the headers of a signed webhook."""
    from destinations.signing.signatures import sign

    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign([secret], message_id, at, body),
        **more,
    }
