"""Wishes: what there is to tell of destinations, as it comes about; the telling is `alerting`'s.

The store is authoritative for what is to be told and when it was told last; what is kept here only saves asking it.
"""

from collections.abc import Iterable
from functools import partial

from pipeline.alerts import of_dead, wanted_after
from pipeline.clock import Clock
from pipeline.lifecycle import DeliveryStep
from pipeline.model import Delivery, Health, LastError, MessageType, Outcome, Wanted
from pipeline.services.moments import NextMoment
from pipeline.services.patience import when_there_is_room
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
    def _is_on(self) -> bool:
        return bool(self._current.setup.alerts)

    def after(
        self, delivery: Delivery, step: DeliveryStep, outcome: Outcome, before: Health, after: Health
    ) -> tuple[Wanted, ...]:
        """Return what is to be told after an attempt; to be stored with it, and then noted."""
        if not self._is_on:
            return ()
        return wanted_after(delivery, step, outcome, before, after, is_failing=delivery.destination in self._failing)

    def note(self, destination: str, wanted: Iterable[Wanted]) -> None:
        """Note what is stored now."""
        for each in wanted:
            if each.type is MessageType.RECOVERED:
                self._failing -= {destination}
            elif each.type is not MessageType.DEAD_DELIVERY:
                self._failing |= {destination}
            self.next_telling.expect(self._clock.now())

    async def dead(self, delivery: Delivery, attempts: int, last: LastError | None) -> None:
        """Have it told that a delivery is dead which no attempt ended."""
        if not self._is_on:
            return
        wanted = of_dead(delivery, attempts, last)
        verb = partial(self._store.alerts.want, delivery.destination, delivery.kind, wanted, now=self._clock.now())
        await when_there_is_room(verb, self._clock)
        self.note(delivery.destination, [wanted])
