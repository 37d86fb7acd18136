"""How destinations stand: which of them take deliveries now, and why the others do not. The store has what must
outlive a restart; here it is at hand for all who ask at every delivery.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from pipeline.clock import Clock
from pipeline.model import DeliveryReason, DeliveryState
from pipeline.services.setup import Current
from pipeline.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Takers:
    """The destinations that take deliveries, as one value that never changes."""

    configured: frozenset[str]
    paused: frozenset[str] = frozenset()
    """By hand, until they are resumed; also some that are not configured."""
    deferred: frozenset[tuple[str, datetime]] = frozenset()
    """Left alone for a while, as they asked: each until when. What is owed to them is not held, and goes on then."""

    def __contains__(self, name: str) -> bool:
        return name in self.configured and name not in self.paused

    def not_before(self, destination: str) -> datetime | None:
        """Return until when a destination is left alone, or None where it is not."""
        return next((until for name, until in self.deferred if name == destination), None)

    def why_held(self, destination: str, state: DeliveryState) -> DeliveryReason | None:
        """Return why a delivery in this state goes no further, or None where it does, or has ended.

        What is being sent when its destination is paused ends as it began.
        """
        if not state.is_open:
            return None
        if destination not in self.configured:
            return DeliveryReason.UNCONFIGURED
        is_paused = destination in self.paused and state is not DeliveryState.SENDING
        return DeliveryReason.PAUSED if is_paused else None

    def goes_on(self, destination: str, state: DeliveryState) -> bool:
        """Tell whether a delivery in this state is to be sent, or being sent, without anybody doing anything."""
        return state.is_open and self.why_held(destination, state) is None

    def state_of(self, destination: str) -> str:
        """Return `active`, `paused` or `unconfigured`."""
        if destination not in self.configured:
            return "unconfigured"
        return "paused" if destination in self.paused else "active"


class Standing:
    """Keeps how destinations stand."""

    def __init__(self, store: Store, current: Current, clock: Clock) -> None:
        self._store = store
        self._current = current
        self._clock = clock
        self._paused: frozenset[str] = frozenset()
        self._deferred: frozenset[tuple[str, datetime]] = frozenset()

    async def load(self) -> None:
        """Read what is stored; before that nothing is paused."""
        found = await self._store.destinations.list()
        self._paused = frozenset(status.name for status in found if status.paused_at is not None)
        until = {(status.name, status.not_before) for status in found if status.not_before is not None}
        self._deferred = frozenset((name, at) for name, at in until if at > self._clock.now())

    @property
    def takers(self) -> Takers:
        """Return who takes deliveries now; the same value for as long as nothing changes."""
        return _takers(self._current.setup.destinations, self._paused, self._deferred)

    def may_send(self, name: str) -> bool:
        """Tell whether anything may be sent to a destination now."""
        takers = self.takers
        return name in takers and (not takers.deferred or takers.not_before(name) is None)

    def defer(self, name: str, until: datetime) -> None:
        """Leave a destination alone until a moment that is stored already, or until a later one."""
        before = self.takers.not_before(name)
        if before is None or before < until:
            self._deferred = self._deferred - {(name, before)} | {(name, until)}

    def let_go(self) -> datetime | None:
        """Forget the moments that have passed; return the next one, or None."""
        now = self._clock.now()
        self._deferred = frozenset((name, until) for name, until in self._deferred if until > now)
        return min((until for _, until in self._deferred), default=None)

    async def pause(self, name: str) -> bool:
        """Hold what is owed to a configured destination from now on; False where it is paused already."""
        if name in self._paused:
            return False
        kind = self._current.setup.routes[name].kind
        await self._store.destinations.pause(name, kind, now=self._clock.now())
        self._paused |= {name}
        return True

    async def resume(self, name: str) -> bool:
        """Let what was held go on; False where it was not paused."""
        if name not in self._paused:
            return False
        await self._store.destinations.resume(name)
        self._paused -= {name}
        return True


@lru_cache(maxsize=8)
def _takers(configured: frozenset[str], paused: frozenset[str], deferred: frozenset[tuple[str, datetime]]) -> Takers:
    return Takers(configured=configured, paused=paused, deferred=deferred)
