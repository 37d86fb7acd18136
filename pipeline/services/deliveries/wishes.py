"""Wishes: what there is to tell of destinations, as it comes about; the telling is `alerting`'s.

The store is authoritative for what is to be told and when it was told last; what is kept here only saves asking it.
"""

from collections.abc import Iterable

from pipeline.alerts import of_dead, wanted_after
from pipeline.clock import Clock
from pipeline.lifecycle import DeliveryStep
from pipeline.model import Delivery, DeliveryState, Health, MessageType, Outcome, Wanted
from pipeline.services.moments import NextMoment
from pipeline.services.setup import Current
from pipeline.store import Store


class Wishes:
    """What is to be told, as it comes about."""

    def __init__(self, *, store: Store, current: Current, clock: Clock) -> None:
        self._store = store
        self._current = current
        self._clock = clock
        self._failing: frozenset[str] = frozenset()
        self.next_telling = NextMoment(clock)

    async def load(self) -> None:
        """Read whose failing was told, and whose recovery was not."""
        self._failing = await self._store.alerts.failing()

    @property
    def is_on(self) -> bool:
        """Tell whether there is anybody to be told."""
        return bool(self._current.setup.alerts)

    def after(
        self, delivery: Delivery, step: DeliveryStep, outcome: Outcome, before: Health, after: Health
    ) -> tuple[Wanted, ...]:
        """Return what is to be told after an attempt; to be stored with it, and then noted."""
        if not self.is_on:
            return ()
        return wanted_after(delivery, step, outcome, before, after, is_failing=delivery.destination in self._failing)

    def note(self, destination: str, wanted: Iterable[Wanted]) -> None:
        """Note what is stored now: it is told soon."""
        for each in wanted:
            if each.type is MessageType.RECOVERED:
                self._failing -= {destination}
            elif each.type is not MessageType.DEAD_DELIVERY:
                self._failing |= {destination}
            self.next_telling.expect(self._clock.now())

    def of_dead(self, delivery: Delivery, step: DeliveryStep) -> tuple[Wanted, ...]:
        """Return what is to be told where `step`, which no attempt led to, ends a delivery; as for `after`."""
        if not self.is_on or step.state is not DeliveryState.DEAD:
            return ()
        return (of_dead(delivery, step.attempt, step.last_error),)
