"""Progress of a run, told to the service: at once as a rule, the newest only of what comes too fast."""

from __future__ import annotations

import time
from _thread import allocate_lock
from typing import Any, Callable

PAUSE_S = 0.1


class Progress:
    """What one run says of its progress, at most ten times a second; its last word is always passed on."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._lock = allocate_lock()
        self._next = 0.0
        self._newest: dict[str, Any] | None = None
        self._is_timed = False
        self._is_closed = False

    def tell(self, said: dict[str, Any]) -> None:
        """Pass on what the handler says; what it says after the run's end is dropped."""
        with self._lock:
            left = self._next - time.monotonic()
            self._newest = said
            if left <= 0:
                self._flush()
            elif not self._is_timed:
                # A thread, since the handler may not come back for minutes; only for one that speaks too fast.
                import threading  # noqa: PLC0415 - most functions need none

                timer = threading.Timer(left, self._on_time)
                timer.daemon = True
                timer.start()
                self._is_timed = True

    def close(self) -> None:
        """Say what is left, and nothing any more: the run is about to end."""
        with self._lock:
            self._flush()
            self._is_closed = True

    def _on_time(self) -> None:
        with self._lock:
            self._is_timed = False
            self._flush()

    def _flush(self) -> None:
        said, self._newest = self._newest, None
        if said is not None and not self._is_closed:
            self._next = time.monotonic() + PAUSE_S
            self._send(said)
