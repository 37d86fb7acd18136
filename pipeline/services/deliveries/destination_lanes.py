"""The lanes of all destinations: who claims what is owed to each, how much of it at once, and who is left out for now.

A slow or dead receiver delays no other. What waits is in the store; how a destination stands, `standing` says.
"""

import asyncio
from collections.abc import Callable, Mapping

from pipeline.clock import Clock
from pipeline.model import ClaimedDelivery, DeliveryState
from pipeline.retry import Policy
from pipeline.services.deliveries.slots import Slots
from pipeline.services.deliveries.standing import Standing
from pipeline.services.deliveries.unbegun import AllUnbegun
from pipeline.services.lane import Lane, Lanes
from pipeline.services.leases import Leases
from pipeline.services.pacing import BacklogPacer, Pacer
from pipeline.services.patience import when_there_is_room
from pipeline.services.setup import Current
from pipeline.store import Store

SPREAD_PER_S = 50.0
"""How fast what has waited for a destination is sent, once it takes something again."""


class DestinationLanes(Lanes[ClaimedDelivery]):
    """The lanes, the gate of each destination, and the policy under which its attempts are recorded."""

    def __init__(
        self,
        *,
        leases: Leases,
        store: Store,
        current: Current,
        standing: Standing,
        start: Callable[[ClaimedDelivery], None],
        clock: Clock,
    ) -> None:
        super().__init__(self._claim_for, start, clock)
        self._leases = leases
        self._store = store
        self._current = current
        self._standing = standing
        self.policies: dict[str, Policy] = {}
        self.gates: dict[str, asyncio.Semaphore] = {}
        """How many attempts to a destination are in flight, these say: what its lane holds ready waits there."""
        self.slots = Slots()
        self.unbegun = AllUnbegun()
        self._rates: dict[str, float | None] = {}
        self.follow_setup()

    async def _claim_for(self, destination: str, most: int) -> list[ClaimedDelivery]:
        return await when_there_is_room(
            lambda: self._store.claim_deliveries(destination, most, now=self._clock.now(), lease=self._leases.new()),
            self._clock,
        )

    def follow_setup(self) -> list[Lane[ClaimedDelivery]]:
        """Send to those destinations of the current setup that take deliveries from now on; return the lanes that are
        new.

        A sending under way ends as it began; what became of it is recorded under the policy that counts then.
        """
        routes, takers = self._current.setup.routes, self._standing.takers
        # The policy of a destination that has gone stays: what is still being sent to it may fail.
        self.policies.update({name: route.policy for name, route in routes.items()})
        sizes = {name: 1 if name in takers.probing else route.concurrency for name, route in routes.items()}
        taking = {name: size for name, size in sizes.items() if self._standing.may_send(name)}
        for name, size in taking.items():  # a closed lane keeps its size until it is opened again, and so its gate
            if (lane := self.get(name)) is None or lane.size != size:
                self.gates[name] = asyncio.Semaphore(size)
        self.slots.share_out({name: route.concurrency for name, route in routes.items()})
        new = self.follow(taking)
        for name, route in routes.items():
            self._follow_rate(name, route.rate)
        for name in self.unbegun.destinations:
            if not self._standing.may_send(name):
                self.unbegun.give_back(name)
        return new

    def _follow_rate(self, name: str, rate: float | None) -> None:
        if (lane := self.get(name)) is not None and self._rates.get(name) != rate:
            self._rates[name] = rate
            lane.pace(None if rate is None else Pacer(rate, self._clock))

    def spread(self, name: str, *, to_come: int = 0) -> None:
        """Send what waits for a destination now, and so many that are about to, at a steady rate, and what comes
        meanwhile after it.

        So a receiver that was down is not brought down again; once nothing waits any more, all is sent as it comes.
        Where it has a rate of its own, that holds for all.
        """
        lane = self.get(name)
        if lane is not None and self._rates.get(name) is None:
            lane.pace(BacklogPacer(SPREAD_PER_S, self._clock, lane.backlog, to_come=to_come))

    def spread_per_s(self, name: str) -> float | None:
        """Return how many a second are sent of what has waited for a destination; None where nothing is spread."""
        pacer = self.pacer(name)
        return pacer.rate if isinstance(pacer, BacklogPacer) else None

    def pacer(self, name: str) -> Pacer | None:
        """Return who counts out the turns of a destination, None where nobody does."""
        lane = self.get(name)
        return None if lane is None else lane.pacer

    async def pending(self) -> Mapping[str, int]:
        """Count what waits in the store to be sent, by destination."""
        counts = await self._store.open_deliveries()
        return {name: count for (name, state), count in counts.items() if state is DeliveryState.PENDING}
