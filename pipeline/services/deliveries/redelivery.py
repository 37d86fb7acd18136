"""Redelivery: an operator has a delivery sent again, or not sent any more."""

from functools import partial

from pipeline.clock import Clock
from pipeline.ids import IdSource
from pipeline.model import Delivery
from pipeline.services.changes import Changes
from pipeline.services.deliveries.destination_lanes import DestinationLanes
from pipeline.services.patience import when_there_is_room
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.telemetry import Telemetry


class Redelivery:
    """Does what is asked of deliveries."""

    def __init__(
        self,
        *,
        store: Store,
        lanes: DestinationLanes,
        changes: Changes,
        current: Current,
        ids: IdSource,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._changes = changes
        self._current = current
        self._ids = ids
        self._clock = clock
        self._telemetry = telemetry

    async def cancel(self, delivery: Delivery) -> bool:
        """Cancel a delivery that waits, also for a slot, held ones too; False where it is being sent, or has ended."""
        # A last time for what went back meanwhile, as its destination takes nothing any more.
        if not (
            await self._is_cancelled(delivery)
            or await self._lanes.unbegun.cancel(delivery.id)
            or await self._is_cancelled(delivery)
        ):
            return False
        await self._lanes.recount_those([delivery.destination], self._lanes.pending)
        self._changes.notify(delivery.subject_id)
        self._telemetry.emit(
            "delivery.cancelled", delivery_id=delivery.id, job_id=delivery.job_id, destination=delivery.destination
        )
        return True

    async def _is_cancelled(self, delivery: Delivery) -> bool:
        return await when_there_is_room(partial(self._store.deliveries.cancel, delivery.id), self._clock)

    async def replay(self, delivery: Delivery, *, is_renewing: bool = False) -> bool:
        """Send a delivery that has ended again, or one that waits for its next attempt now, by the full schedule of its
        destination's policy of now, and where `is_renewing` as another message; False where it is due, is being sent,
        or was filtered.
        """
        route = self._current.setup.routes.get(delivery.destination)
        attempts = delivery.max_attempts - delivery.spent if route is None else route.policy.max_attempts
        new_message_id = self._ids.message_id() if is_renewing else None
        verb = partial(
            self._store.deliveries.replay, delivery.id, attempts, new_message_id=new_message_id, now=self._clock.now()
        )
        if not await when_there_is_room(verb, self._clock):
            return False
        self._lanes.add({delivery.destination: 1})
        self._changes.notify(delivery.subject_id)
        self._telemetry.emit(
            "delivery.replayed", delivery_id=delivery.id, job_id=delivery.job_id, destination=delivery.destination
        )
        return True
