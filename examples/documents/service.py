"""The service as a child process: started on a free port, awaited until it is ready, stopped by SIGTERM."""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

START_S = 30.0
STOP_S = 45.0  # longer than the service's own grace for running work


class ServiceError(Exception):
    """The service did not start; the message says why."""


class Service:
    """One `sendoff serve` with its store and its log in the workspace."""

    def __init__(self, *, config: Path, workspace: Path) -> None:
        self._config = config
        self._log = workspace / "service.log"
        self._store = workspace / "sendoff.db"
        self._port = _free_port()
        self._environment: Mapping[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    async def start(self, environment: Mapping[str, str]) -> None:
        """Start the service and wait until it answers that it is ready; raises ServiceError."""
        self._environment = environment
        await self.restart()

    async def kill(self) -> None:
        """Kill the service with SIGKILL: it can write nothing any more, and say nothing."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def restart(self) -> None:
        """Start the service again, on the same port and over the same store; raises ServiceError."""
        command = [str(Path(sys.executable).parent / "sendoff"), "serve", "--config", str(self._config)]
        command += ["--port", str(self._port), "--store", f"sqlite:///{self._store}"]
        try:
            with self._log.open("ab") as log:
                # A session of its own: Ctrl-C reaches the demo alone, and the demo stops the service in order.
                self._process = await asyncio.create_subprocess_exec(
                    *command, env={**os.environ, **self._environment}, stdout=log, stderr=log, start_new_session=True
                )
            async with asyncio.timeout(START_S):
                await self._ready(self._process)
        except OSError as fault:
            raise ServiceError(f"{command[0]} cannot be started: {fault}") from fault
        except TimeoutError as fault:
            raise ServiceError(f"the service was not ready within {START_S:.0f} seconds") from fault

    async def stop(self) -> int:
        """Stop the service by SIGTERM, by SIGKILL if it does not obey; return its exit code."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while process.returncode is None:
                try:
                    async with session.get(f"{self.url}/readyz") as answer:
                        if answer.ok:
                            return
                except aiohttp.ClientConnectionError:
                    pass  # it does not listen yet
                await asyncio.sleep(0.05)
        last_words = self._log.read_text(errors="replace").strip()[-2000:]
        raise ServiceError(f"the service did not start: {last_words or 'it said nothing'}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
