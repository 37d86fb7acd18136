"""The lanes of all destinations: who claims what is owed to each, how much of it at once, and who is left out for now.

A slow or dead receiver delays no other. What waits is in the store; how a destination stands, `standing` says.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping

from pipeline.clock import Clock
from pipeline.model import ClaimedDelivery
from pipeline.retry import Policy
from pipeline.services.deliveries.slots import Slots
from pipeline.services.deliveries.standing import Standing, Takers
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
        self._followed: Takers | None = None
        self.follow_setup()

    async def _claim_for(self, destination: str, most: int) -> list[ClaimedDelivery]:
        return await when_there_is_room(
            lambda: self._store.claim_deliveries(destination, most, now=self._clock.now(), lease=self._leases.new()),
            self._clock,
        )

    def follow_setup(self) -> list[Lane[ClaimedDelivery]]:
        """Send to the destinations of the current setup from now on, to those of them that take deliveries; return the
        lanes that are new, which are still to be counted.

        A sending under way ends as it began; what became of it is recorded under the policy that counts then.
        """
        routes = self._current.setup.routes
        # The policy of a destination that has gone stays: what is still being sent to it may fail.
        self.policies.update({name: route.policy for name, route in routes.items()})
        self.slots.share_out({name: route.concurrency for name, route in routes.items()})
        new = self.make({name: route.concurrency for name, route in routes.items()})
        self.gates.update({lane.name: asyncio.Semaphore(lane.size) for lane in new})
        for name, route in routes.items():
            if self._rates.get(name) != route.rate:
                self._rates[name] = route.rate
                self[name].pace(None if route.rate is None else Pacer(route.rate, self._clock))
        self._followed = None
        self.follow_standing()
        return new

    def follow_standing(self) -> None:
        """Send to those destinations that take deliveries now, and to no others."""
        takers = self._standing.takers
        if takers is self._followed:  # as nearly always: this is asked after every attempt that failed
            return
        self._followed = takers
        routes = {name: route for name, route in self._current.setup.routes.items() if self._standing.may_send(name)}
        taking = {name: 1 if name in takers.probing else route.concurrency for name, route in routes.items()}
        for name, size in taking.items():  # a closed lane keeps its size until it is opened again, and so its gate
            if self[name].size != size:
                self.gates[name] = asyncio.Semaphore(size)
        self.follow(taking)
        for name in self.unbegun.destinations:
            if not self._standing.may_send(name):
                self.unbegun.give_back(name)

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

    async def pending(self, destinations: Collection[str] | None = None) -> Mapping[str, int]:
        """Count what waits in the store to be sent to these destinations, or to every one."""
        return await self._store.deliveries.count_pending(destinations)
