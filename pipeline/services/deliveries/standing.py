"""How destinations stand: which of them take deliveries now, and why the others do not. The store has what must
outlive a restart; here it is at hand for all who ask at every delivery.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from pipeline.clock import Clock
from pipeline.errors import StoreWaitError
from pipeline.health import after_outcome, as_of, breaker_of
from pipeline.model import HEALTHY, DeliveryReason, DeliveryState, DestinationStatus, Health, Holding, Outcome
from pipeline.services.setup import Current
from pipeline.store import Store

_NOTHING: Mapping[str, datetime] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Takers:
    """The destinations that take deliveries, as one value that never changes, and is equal to itself alone."""

    configured: frozenset[str]
    paused: frozenset[str] = frozenset()
    """By hand, until they are resumed; also some that are not configured."""
    disabled: frozenset[str] = frozenset()
    """Because of what became of their attempts, until they are resumed."""
    deferred: Mapping[str, datetime] = field(default_factory=lambda: _NOTHING)
    """Left alone for a while, as they asked: each until when. What is owed to them is not held, and goes on then."""
    broken: Mapping[str, datetime] = field(default_factory=lambda: _NOTHING)
    """Left alone because they fail, each until when one attempt is made: their breakers are open."""
    probing: frozenset[str] = frozenset()
    """Those that are tried with one attempt at a time: their breakers are half-open."""

    def __contains__(self, name: str) -> bool:
        return name in self.configured and name not in self.paused and name not in self.disabled

    def not_before(self, destination: str) -> datetime | None:
        """Return until when a destination is left alone, or None where it is not."""
        deferred, broken = self.deferred.get(destination), self.broken.get(destination)
        return max(deferred, broken) if deferred and broken else deferred or broken

    def why_held(self, destination: str, state: DeliveryState) -> DeliveryReason | None:
        """Return why a delivery in this state goes no further, or None where it does, or has ended.

        What is being sent when its destination stops taking ends as it began.
        """
        if not state.is_open:
            return None
        if destination not in self.configured:
            return DeliveryReason.UNCONFIGURED
        if state is DeliveryState.SENDING:
            return None
        if destination in self.paused:
            return DeliveryReason.PAUSED
        return DeliveryReason.DISABLED if destination in self.disabled else None

    @property
    def holding(self) -> Holding:
        """Return the same for the store, of which deliveries are asked for by the state that is shown."""
        return Holding(configured=self.configured, stopped=self.paused | self.disabled)

    def goes_on(self, destination: str, state: DeliveryState) -> bool:
        """Tell whether a delivery in this state is to be sent, or being sent, without anybody doing anything."""
        return state.is_open and self.why_held(destination, state) is None

    def state_of(self, destination: str) -> str:
        """Return `active`, `paused`, `disabled` or `unconfigured`."""
        if destination not in self.configured:
            return "unconfigured"
        if destination in self.paused:
            return "paused"
        return "disabled" if destination in self.disabled else "active"

    def breaker_of(self, destination: str) -> str:
        """Return `closed`, `open` or `half_open`."""
        return "open" if destination in self.broken else "half_open" if destination in self.probing else "closed"


class Standing:
    """Keeps how destinations stand."""

    def __init__(self, store: Store, current: Current, clock: Clock) -> None:
        self._store = store
        self._current = current
        self._clock = clock
        self._paused: dict[str, datetime] = {}
        self._deferred: dict[str, datetime] = {}
        self._healths: dict[str, Health] = {}
        self._takers = Takers(configured=frozenset())
        self._is_stale = True

    async def load(self) -> None:
        """Read what is stored; before that all is well."""
        now = self._clock.now()
        for stored in await self._store.destinations.list():
            route = self._current.setup.routes.get(stored.name)
            status = as_of(stored, now, route.breaker if route else None)
            await self._correct(stored, status)
            if status.paused_at is not None:
                self._paused[status.name] = status.paused_at
            if status.not_before is not None and status.not_before > now:
                self._deferred[status.name] = status.not_before
            if status.health != HEALTHY:
                self._healths[status.name] = status.health
        self._is_stale = True

    async def _correct(self, stored: DestinationStatus, status: DestinationStatus) -> None:
        """Store until when it is left alone where a clock that was ahead got that wrong, or every restart would begin
        the whole wait anew. Since when it fails stays as it is stored: it may be this clock that is wrong.
        """
        health = replace(stored.health, probe_at=status.health.probe_at)
        correct = replace(stored, not_before=status.not_before, health=health)
        if correct != stored:
            with suppress(StoreWaitError):  # the next start sets it right
                await self._store.destinations.correct(correct)

    @property
    def takers(self) -> Takers:
        """Return who takes deliveries now; the same value for as long as nothing changes."""
        if self._is_stale or self._takers.configured is not self._current.setup.destinations:
            self._takers, self._is_stale = self._made(), False
        return self._takers

    def _made(self) -> Takers:
        now = self._clock.now()
        for name, health in self._healths.items():
            route = self._current.setup.routes.get(name)
            if health.opened_at is not None and route is not None and route.breaker is None:  # it has none any more
                self._healths[name] = replace(health, opened_at=None, probe_at=None)
        breakers = {name: breaker_of(health, now) for name, health in self._healths.items()}
        return Takers(
            configured=self._current.setup.destinations,
            paused=frozenset(self._paused),
            disabled=frozenset(name for name, health in self._healths.items() if health.disabled_at is not None),
            deferred=MappingProxyType(dict(self._deferred)),
            broken=MappingProxyType(
                {
                    name: at
                    for name, health in self._healths.items()
                    if breakers[name] == "open" and (at := health.probe_at)
                }
            ),
            probing=frozenset(name for name, breaker in breakers.items() if breaker == "half_open"),
        )

    def may_send(self, name: str) -> bool:
        """Tell whether anything may be sent to a destination now."""
        takers = self.takers
        return name in takers and name not in takers.deferred and name not in takers.broken

    def health(self, name: str) -> Health:
        """Return how a destination fares."""
        return self._healths.get(name, HEALTHY)

    def paused_at(self, name: str) -> datetime | None:
        """Return since when a destination is paused by an operator, or None where it is not."""
        return self._paused.get(name)

    def note(self, name: str, delivery_id: str, outcome: Outcome, now: datetime) -> Health | None:
        """Take in what became of an attempt, which is to be stored with it; return how its destination fares now, None
        where that is no other than before.
        """
        before = self._healths.get(name, HEALTHY)
        if before is HEALTHY and outcome.is_well:  # as nearly always
            return None
        route = self._current.setup.routes.get(name)
        after = after_outcome(
            before,
            delivery_id,
            outcome,
            now,
            breaker=route.breaker if route else None,
            disable_after_s=route.disable_after_s if route else None,
        )
        if after is before:
            return None
        self._healths[name] = after
        if after == HEALTHY:
            del self._healths[name]
        if (before.opened_at, before.probe_at, before.disabled_at) != (
            after.opened_at,
            after.probe_at,
            after.disabled_at,
        ):
            self._is_stale = True
        return after

    def defer(self, name: str, until: datetime) -> None:
        """Leave a destination alone until a moment that is about to be stored, or until a later one."""
        before = self._deferred.get(name)
        if before is None or before < until:
            self._deferred[name] = until
            self._is_stale = True

    def let_go(self) -> set[str]:
        """Forget the moments that have passed; return the destinations that were left alone until then."""
        now, before = self._clock.now(), self.takers
        passed = {name for name, until in self._deferred.items() if until <= now}
        for name in passed:
            del self._deferred[name]
        passed |= {name for name, until in before.broken.items() if until <= now}
        self._is_stale = self._is_stale or bool(passed)
        return {name for name in passed if self.may_send(name)}

    @property
    def next_moment(self) -> datetime | None:
        """Return when the next destination has been left alone for long enough, or None."""
        takers = self.takers
        return min((*takers.deferred.values(), *takers.broken.values()), default=None)

    async def pause(self, name: str) -> bool:
        """Hold what is owed to a configured destination from now on; False where it is paused already."""
        kind, now = self._current.setup.routes[name].kind, self._clock.now()
        is_new = name not in self._paused
        if is_new:
            self._paused[name] = now  # before it is written, as all here: what is written last is to count last
            self._is_stale = True
        try:
            await self._store.destinations.pause(name, kind, now=now)
        except BaseException:
            if is_new:
                self._paused.pop(name, None)
                self._is_stale = True
            raise
        return is_new

    async def resume(self, name: str) -> bool:
        """Let all that is owed to a configured destination go on, whatever kept it: a pause, a breaker, what the
        receiver asked for, or that it was disabled; False where nothing did.

        What is due goes on at once; what failed and waits for its next attempt goes on with that one.
        """
        takers = self.takers
        if name in takers and takers.not_before(name) is None and name not in takers.probing:
            return False
        # Before it is written: an attempt that ends meanwhile must not write what it was before beside its own end.
        before = self._paused.pop(name, None), self._deferred.pop(name, None), self._healths.pop(name, None)
        self._is_stale = True
        try:
            await self._store.destinations.resume(name)
        except BaseException:
            self._take_back(name, *before)
            raise
        return True

    def _take_back(self, name: str, paused_at: datetime | None, until: datetime | None, health: Health | None) -> None:
        if paused_at is not None:
            self._paused.setdefault(name, paused_at)
        if until is not None:
            self.defer(name, until)
        if health is not None:
            self._healths[name] = health
        self._is_stale = True
