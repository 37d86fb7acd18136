"""Turns: when what waits comes, where only so many a second are sent to a destination: by its own rate, or as what has
waited for it is spread. Nothing is decided here; the lanes do as they do.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from pipeline.clock import Clock
from pipeline.explain import Turn
from pipeline.model import Delivery, DeliveryState
from pipeline.services.deliveries.destination_lanes import SPREAD_PER_S, DestinationLanes
from pipeline.services.deliveries.standing import Standing
from pipeline.services.pacing import Pacer
from pipeline.store import Store


class Turns:
    """Tells the turns of deliveries."""

    def __init__(self, *, store: Store, standing: Standing, lanes: DestinationLanes, clock: Clock) -> None:
        self._store = store
        self._standing = standing
        self._lanes = lanes
        self._clock = clock

    async def of(self, deliveries: Iterable[Delivery]) -> Mapping[str, Turn]:
        """Return the turns of those of these deliveries that wait for one, by id.

        The store is asked once for a destination that they wait for, and not at all where none has a rate.
        """
        waiting: dict[str, list[str]] = {}
        for each in deliveries:
            if self._is_paced(each):
                waiting.setdefault(each.destination, []).append(each.id)
        found: dict[str, Turn] = {}
        for name, ids in waiting.items():
            ahead = await self._store.deliveries.count_ahead(name, ids)
            found |= {delivery_id: self._turn(name, count) for delivery_id, count in ahead.items()}
        return found

    def _is_paced(self, delivery: Delivery) -> bool:
        """Tell whether it is for its turn alone that a delivery waits, now or once its destination takes it."""
        name, takers = delivery.destination, self._standing.takers
        if delivery.state not in (DeliveryState.PENDING, DeliveryState.RETRYING) or name not in takers:
            return False
        if name in takers.broken or name in takers.probing:  # one is tried, and nobody knows what follows
            return False
        # Until it is due it waits for nobody's turn.
        until = takers.deferred.get(name)
        is_due = delivery.state is DeliveryState.PENDING or delivery.due_at <= (until or self._clock.now())
        return is_due and (until is not None or self._lanes.pacer(name) is not None)

    def _turn(self, name: str, ahead: int) -> Turn:
        now, until = self._clock.now(), self._standing.takers.deferred.get(name)
        pacer = self._lanes.pacer(name)
        at = now if pacer is None else now + timedelta(seconds=pacer.comes_in_s(ahead + 1))
        rate = SPREAD_PER_S if pacer is None else pacer.rate
        if until is not None:  # what is owed is spread from then on
            at = max(at, until + timedelta(seconds=Pacer(rate, self._clock).comes_in_s(ahead + 1)))
        return Turn(at=at, ahead=ahead, rate=rate)
