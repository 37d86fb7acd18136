"""What must be true of destinations: what is remembered of each, and which deliveries are shown as held by that."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pipeline.model import HEALTHY, Delivery, DeliveryState, DestinationNote, DestinationStatus, Holding

WAITING = frozenset({DeliveryState.PENDING, DeliveryState.RETRYING})


@dataclass
class ModelOfDestinations:
    """What the attempts told, and what an operator asked for."""

    kinds: Mapping[str, str]
    """All that there are, with the kind of each."""
    notes: dict[str, DestinationStatus] = field(default_factory=dict)
    configured: frozenset[str] = frozenset()
    """Those that the configuration has now; the store is told as it is asked."""

    def note(self, name: str, noted: DestinationNote) -> None:
        """The newest holds; of two moments before which it wants nothing the later one."""
        before = self.status(name)
        self.notes[name] = replace(
            before,
            last_success_at=noted.succeeded_at or before.last_success_at,
            not_before=max(filter(None, (noted.not_before, before.not_before)), default=None),
            last_failure=noted.failure or before.last_failure,
            health=noted.health or before.health,
        )

    def pause(self, name: str, now: datetime) -> None:
        """It is paused since the first time that this was asked for."""
        before = self.status(name)
        self.notes[name] = replace(before, paused_at=before.paused_at or now)

    def resume(self, name: str) -> None:
        """All that keeps anything from it is forgotten; how it went last is not."""
        if name in self.notes:
            self.notes[name] = replace(self.notes[name], paused_at=None, not_before=None, health=HEALTHY)

    def status(self, name: str) -> DestinationStatus:
        """Return what is known of a destination."""
        return self.notes.get(name, DestinationStatus(name=name, kind=self.kinds[name], last_success_at=None))

    def statuses(self, owed: Iterable[Delivery]) -> dict[str, DestinationStatus]:
        """Return what is told of each destination that was noted, or that something is or was owed to."""
        names = set(self.notes) | {each.destination for each in owed}
        return {name: self.status(name) for name in names}

    @property
    def holding(self) -> Holding:
        """Return which of them take deliveries: those that are configured, and neither paused nor disabled."""
        stopped = {each.name for each in self.notes.values() if each.paused_at or each.health.disabled_at}
        return Holding(configured=self.configured, stopped=frozenset(stopped))

    @property
    def taking(self) -> list[str]:
        """Return those that take deliveries."""
        return sorted(self.configured - self.holding.stopped)

    def shown(self, delivery: Delivery, unbegun: Container[str]) -> DeliveryState:
        """Return the state that lists show: what is claimed and has not begun is pending; and what is open is
        held where its destination has gone, what waits also where that takes nothing.
        """
        state = DeliveryState.PENDING if delivery.id in unbegun else delivery.state
        is_held = state.is_open and delivery.destination not in self.configured
        is_held |= state in WAITING and delivery.destination in self.holding.stopped
        return DeliveryState.HELD if is_held else state
