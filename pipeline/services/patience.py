"""Patience with a full disk: what has happened is written as soon as there is room, and kept in hand until then."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from pipeline.clock import Clock
from pipeline.errors import StoreFullError

T = TypeVar("T")

_PAUSE_S = 1.0


async def when_there_is_room(verb: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Return what `verb` returns, after as many tries as it takes until the disk has room for it."""
    while True:
        try:
            return await verb()
        except StoreFullError:
            await clock.sleep(_PAUSE_S)
