"""The store's verbs for what operators do to deliveries; what `Store` says of verbs holds here."""

from datetime import datetime
from functools import partial

from pipeline.store import redelivery
from pipeline.store.batch_verbs import Write


class DeliveryVerbs:
    """Cancelling and replaying."""

    def __init__(self, write: Write) -> None:
        self._write = write

    async def cancel(self, delivery_id: str) -> bool:
        """Cancel a delivery that waits; False for any other."""
        return bool(await self._write(partial(redelivery.cancel, delivery_id=delivery_id)))

    async def replay(self, delivery_id: str, max_attempts: int, *, now: datetime) -> bool:
        """Have a delivery that has ended sent again, with up to `max_attempts` further attempts; False for one that is
        open, or was never to be sent.
        """
        verb = partial(redelivery.replay, delivery_id=delivery_id, max_attempts=max_attempts, now=now)
        return bool(await self._write(verb))
