"""The store's verbs for destinations; what `Store` says of verbs holds here."""

import builtins
from collections.abc import Collection
from datetime import datetime
from functools import partial

from pipeline.model import DestinationNote, DestinationStatus
from pipeline.store.engine.reader import Reader
from pipeline.store.engine.writer import Write
from pipeline.store.reading import counts
from pipeline.store.transactions import destinations


class DestinationVerbs:
    """All that can be asked about destinations."""

    def __init__(self, write: Write, reader: Reader) -> None:
        self._write = write
        self._reader = reader

    async def list(self) -> builtins.list[DestinationStatus]:
        """Return what is stored of every destination that a delivery was ever for, or that was paused."""
        return await self._reader.read(destinations.list_all)

    async def count_dead(self, names: Collection[str] | None = None) -> dict[str, int]:
        """Count the dead deliveries of these destinations, or of every one, that are kept still."""
        return await self._reader.read(partial(counts.dead_deliveries, destinations=names))

    async def pause(self, name: str, kind: str, *, now: datetime) -> None:
        """Note that a destination is paused; since when does not change where it is already."""
        await self._write(partial(destinations.pause, name=name, kind=kind, now=now))

    async def note(self, name: str, kind: str, noted: DestinationNote, *, now: datetime) -> None:
        """Write what an attempt told of a destination that was itself not to be written any more."""
        await self._write(partial(destinations.note, name=name, kind=kind, noted=noted, now=now))

    async def correct(self, status: DestinationStatus) -> None:
        """Write until when a destination is left alone, and how it fares, in the place of what is stored of that."""
        await self._write(partial(destinations.correct, status=status))

    async def resume(self, name: str) -> None:
        """Forget all that keeps anything from a destination."""
        await self._write(partial(destinations.resume, name=name))
