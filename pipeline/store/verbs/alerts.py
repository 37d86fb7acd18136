"""The store's verbs for alerts; what `Store` says of verbs holds here."""

import sqlite3
from datetime import datetime
from functools import partial

from pipeline.model import AlertDue
from pipeline.store.engine.reader import Reader
from pipeline.store.engine.writer import Write
from pipeline.store.transactions import alerts, pruning
from pipeline.store.transactions.deliveries import Ending, insert_messages


class AlertVerbs:
    """All that can be asked about alerts."""

    def __init__(self, write: Write, reader: Reader) -> None:
        self._write = write
        self._reader = reader

    async def failing(self) -> frozenset[str]:
        """Return the destinations whose failing was told, or is to be, and whose recovery neither."""
        return await self._reader.read(alerts.failing)

    async def due(self) -> list[AlertDue]:
        """Return all that is to be told, what came about first first."""
        return await self._reader.read(alerts.list_due)

    async def tell(self, due: AlertDue, ending: Ending | None, *, now: datetime) -> list[bool] | None:
        """Store the message of an alert and its deliveries; without an ending nobody is there to be told.

        Returns which of the deliveries were claimed, or None where it is not to be told any more (nothing changed).
        """

        def verb(db: sqlite3.Connection) -> list[bool] | None:
            if not alerts.take(db, due, ending.message.subject_id if ending else None, now=now):
                return None
            return insert_messages(db, [(ending, None)])[0] if ending else []

        claimed: list[bool] | None = await self._write(verb)
        return claimed

    async def prune(self, before: str, most: int) -> int:
        """Delete up to `most` alerts with ids below `before` without open deliveries; return how many."""
        return int(await self._write(partial(pruning.prune_alerts, before=before, most=most)))
