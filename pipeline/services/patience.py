"""Patience with a full disk or a locked database: what has happened is kept in hand, and written as soon as can be."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from pipeline.clock import Clock
from pipeline.errors import StoreWaitError

T = TypeVar("T")

_PAUSE_S = 1.0


async def when_there_is_room(verb: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Return what `verb` returns, after as many tries as it takes until the store has room for it."""
    while True:
        try:
            return await verb()
        except StoreWaitError:
            await clock.sleep(_PAUSE_S)
