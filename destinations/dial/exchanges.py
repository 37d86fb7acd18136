"""A few exchanges, one for each host that is called: so many distinct URLs cost neither sockets nor memory for long."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from yarl import URL

from destinations.dial.exchange import Exchange

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
        self._closing: set[asyncio.Future[None]] = set()

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
            self._close_surplus()

    def _close_surplus(self) -> None:
        if (surplus := len(self._kept) - KEPT) > 0:
            unused = [origin for origin, kept in self._kept.items() if not kept.users][:surplus]
            self._begin_closing([self._kept.pop(origin) for origin in unused])

    def _begin_closing(self, unused: Iterable[_Kept]) -> None:
        # Beside the request that made them too many: it neither waits for this, nor fails by it.
        for kept in unused:
            closing = asyncio.ensure_future(_closed(kept.exchange))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all of them; requests under way may fail."""
        kept, self._kept = self._kept, {}
        self._begin_closing(kept.values())
        await asyncio.gather(*self._closing)


async def _closed(exchange: Exchange) -> None:
    # Nobody needs it any more: one that does not close in good order must not keep others from being closed.
    with suppress(Exception):
        await exchange.close()
