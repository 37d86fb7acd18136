"""Asks again while the service does not answer, so that a restart of it ends no command that waits."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from pipeline.cli.failures import UnavailableError
from pipeline.clock import Clock

T = TypeVar("T")

PATIENCE_S = 120.0
"""So long a command goes on asking while nobody answers."""
_FIRST_S, _LONGEST_S = 0.1, 3.0


class Patience:
    """Waits with whoever asks; `on_trouble` hears what is wrong, and None once it is over."""

    def __init__(self, clock: Clock, on_trouble: Callable[[str | None], None], seconds: float = PATIENCE_S) -> None:
        self._clock = clock
        self._on_trouble = on_trouble
        self._seconds = seconds

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """Return what `request` does; after an UnavailableError it is made again, until the time is over."""
        until: float | None = None
        wait_s = _FIRST_S
        while True:
            try:
                answer = await request()
            except UnavailableError as error:
                now = self._clock.monotonic()
                until = now + self._seconds if until is None else until
                if now >= until:
                    raise
                self._on_trouble(str(error))
                await self._clock.sleep(max(wait_s, min(error.wait_s or 0.0, _LONGEST_S)))
                wait_s = min(2 * wait_s, _LONGEST_S)
            else:
                if until is not None:
                    self._on_trouble(None)
                return answer
