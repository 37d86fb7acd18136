"""A process that sends webhooks and does nothing else, on the loop that the service runs on.

For what only a process of its own shows: how much memory a receiver can make it take, and whom it trusts.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

FLAT_KIB = 5 * 1024
"""So much more memory a sending may take at its height: buffers of a few reads, and not what the receiver sends."""
SOCKETS = 64 * 2**20
"""More than the buffers of the sockets between a sender and a receiver hold."""


@dataclass(frozen=True)
class Told:
    """What one order came to: the outcomes' parts by name, one for each sending, and the memory at its height."""

    outcomes: tuple[Mapping[str, Any], ...]
    grown_kib: int

    def __getattr__(self, name: str) -> Any:
        (outcome,) = self.outcomes
        return outcome[name]


class Sender:
    """The process, which takes one order at a time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._in: IO[str] = process.stdin  # type: ignore[assignment]
        self._out: IO[str] = process.stdout  # type: ignore[assignment]

    async def send(self, url: str, *, at_once: int = 1, **settings: Any) -> Told:
        """Have so many webhooks sent at once by a destination with these settings; it keeps no connection."""
        order = {"url": url, "at_once": at_once, "settings": settings}
        return await asyncio.to_thread(self._ask, json.dumps(order))

    def _ask(self, order: str) -> Told:
        self._in.write(f"{order}\n")
        self._in.flush()
        told = json.loads(self._out.readline())
        return Told(outcomes=tuple(told["outcomes"]), grown_kib=told["grown_kib"])


@contextmanager
def sender(trusted: Path | None = None) -> Iterator[Sender]:
    """Start the process, which trusts the authorities in `trusted` if that is given; afterwards it has ended."""
    env = os.environ | ({"SSL_CERT_FILE": str(trusted)} if trusted else {})
    command = [sys.executable, "-m", "tests.support.sender"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, cwd=root, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Sender(process)
        finally:
            process.stdin.close()  # type: ignore[union-attr]
            process.wait(10)


# What runs in the process.


async def _serve() -> None:
    while order := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await _do(json.loads(order))), flush=True)


async def _do(order: Mapping[str, Any]) -> Mapping[str, Any]:
    from tests.support.webhooks import opened, sending

    async with opened(order["url"], **order["settings"]) as destination:
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak begins anew
        before = _kib("VmRSS")
        outcomes = await asyncio.gather(*(destination.send(sending()) for _ in range(order["at_once"])))
        grown = _kib("VmHWM") - before
    parts = ("verdict", "reason", "status", "message", "retry_after_s", "patience_s")
    told = [{part: getattr(each, part) for part in parts} | {"body": len(each.body)} for each in outcomes]
    return {"outcomes": told, "grown_kib": grown}


def _kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
