"""A few exchanges, one for each host that is called: so many distinct URLs cost neither sockets nor memory for long."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from yarl import URL

from destinations.exchange import Exchange

KEPT = 64
"""So many exchanges are kept that nobody uses just now; each closes its connections by itself once they are idle."""


@dataclass(slots=True)
class _Kept:
    exchange: Exchange
    users: int = 0


class Exchanges:
    """Keeps the exchanges that were used last. Whoever made it closes it."""

    def __init__(self, make: Callable[[URL], Exchange]) -> None:
        """`make` makes the exchange with an origin: scheme, host and port."""
        self._make = make
        self._kept: dict[URL, _Kept] = {}  # the one used last is the last

    @asynccontextmanager
    async def to(self, origin: URL) -> AsyncIterator[Exchange]:
        """Give the exchange with an origin, which stays open for as long as it is used."""
        kept = self._kept.pop(origin, None) or _Kept(self._make(origin))
        self._kept[origin] = kept
        kept.users += 1
        try:
            yield kept.exchange
        finally:
            kept.users -= 1
            await self._close_surplus()

    async def _close_surplus(self) -> None:
        if (surplus := len(self._kept) - KEPT) > 0:
            unused = [origin for origin, kept in self._kept.items() if not kept.users][:surplus]
            for kept in [self._kept.pop(origin) for origin in unused]:
                await kept.exchange.close()

    async def close(self) -> None:
        """Close all of them; requests under way may fail."""
        kept, self._kept = self._kept, {}
        for each in kept.values():
            await each.exchange.close()
