"""The store's verbs for what becomes of deliveries without an attempt; what `Store` says of verbs holds here."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

from pipeline.model import Delivery, DeliveryReason
from pipeline.store.engine.reader import Reader
from pipeline.store.engine.writer import Write
from pipeline.store.reading import counts
from pipeline.store.transactions import redelivery


class DeliveryVerbs:
    """Cancelling, replaying, and ending what has waited for too long."""

    def __init__(self, write: Write, reader: Reader) -> None:
        self._write = write
        self._reader = reader

    async def cancel(self, delivery_id: str) -> bool:
        """Cancel a delivery that waits; False for any other."""
        return bool(await self._write(partial(redelivery.cancel, delivery_id=delivery_id)))

    async def replay(
        self, delivery_id: str, max_attempts: int, *, new_message_id: str | None = None, now: datetime
    ) -> bool:
        """Have a delivery that has ended sent again, with up to `max_attempts` further attempts, and as another message
        where a new id is given; False for one that is open, or was never to be sent.
        """
        verb = partial(
            redelivery.replay,
            delivery_id=delivery_id,
            max_attempts=max_attempts,
            new_message_id=new_message_id,
            now=now,
        )
        return bool(await self._write(verb))

    async def end_overdue(
        self,
        destination: str,
        most: int,
        *,
        before: datetime,
        reason: DeliveryReason,
        told_at: datetime | None = None,
    ) -> list[Delivery]:
        """End up to `most` pending deliveries that were owed, or replayed, before a moment; return them, dead. One that
        was never tried has `reason`. Where operators are to be told, at `told_at`, that is stored with it.
        """
        verb = partial(
            redelivery.end_overdue,
            destination=destination,
            most=most,
            before=before,
            reason=reason,
            told_at=told_at,
        )
        ended: list[Delivery] = await self._write(verb)
        return ended

    async def count_pending(self, destinations: Collection[str] | None = None) -> Mapping[str, int]:
        """Count what is pending to these destinations, or to every one."""
        return await self._reader.read(partial(counts.pending_deliveries, destinations=destinations))

    async def count_ahead(self, destination: str, ids: Sequence[str]) -> Mapping[str, int]:
        """Count for each of these deliveries what is pending to its destination and claimed before it."""
        return await self._reader.read(partial(counts.count_ahead, destination=destination, ids=ids))

    async def overdue(self, *, before: datetime) -> Mapping[str, int]:
        """Count the deliveries that were due before a moment, by destination."""
        return await self._reader.read(partial(redelivery.overdue, before=before))
