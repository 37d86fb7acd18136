"""The caretaker: has destinations sent to again once they were left alone for as long as they were to be, and ends what
has waited for a broken one for longer than its policy allows.
"""

from datetime import timedelta
from functools import partial

from pipeline.clock import Clock
from pipeline.model import DeliveryReason, DeliveryState
from pipeline.services.changes import Changes
from pipeline.services.deliveries.destination_lanes import DestinationLanes
from pipeline.services.deliveries.standing import Standing
from pipeline.services.deliveries.wishes import Wishes
from pipeline.services.moments import NextMoment
from pipeline.services.patience import when_there_is_room
from pipeline.store import Store
from pipeline.telemetry import Telemetry

OVERDUE_S = 60.0
"""What should have been sent so long before a start is a backlog."""
_MOST = 500


class Caretaker:
    """Looks after the destinations that take nothing now."""

    def __init__(
        self,
        *,
        next_end: NextMoment,
        store: Store,
        standing: Standing,
        wishes: Wishes,
        lanes: DestinationLanes,
        changes: Changes,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Whoever leaves a destination alone says so to `next_end`."""
        self._next_end = next_end
        self._store = store
        self._standing = standing
        self._wishes = wishes
        self._lanes = lanes
        self._changes = changes
        self._clock = clock
        self._telemetry = telemetry

    async def spread_backlog(self) -> None:
        """Have what came due while no service was there sent at a steady rate; to be called once, before all else."""
        overdue = await self._store.deliveries.overdue(before=self._clock.now() - timedelta(seconds=OVERDUE_S))
        for name, count in overdue.items():
            self._lanes.spread(name, to_come=count)

    async def serve(self) -> None:
        """Look after them, until cancelled."""
        while True:
            self._next_end.forget()
            passed = self._standing.let_go()
            self._next_end.expect(self._standing.next_moment)
            self._lanes.follow_standing()
            for name in passed:
                self._lanes.spread(name)
            takers = self._standing.takers
            for name in takers.broken:
                if name in takers:  # what is held waits for as long as it takes
                    await self._end_overdue(name)
            await self._next_end.wait()

    async def _end_overdue(self, name: str) -> None:
        """End what is older than its policy allows: nobody tries it, so that no attempt would find out."""
        rule, last = self._lanes.policies.get(name), self._standing.health(name).last
        if rule is None or rule.max_age_s is None:
            return
        before = self._clock.now() - timedelta(seconds=rule.max_age_s)
        reason = last or DeliveryReason.ABORTED
        verb = self._store.deliveries.end_overdue
        told_at = self._clock.now() if self._wishes.is_on else None
        while ended := await when_there_is_room(
            partial(verb, name, _MOST, before=before, reason=reason, told_at=told_at), self._clock
        ):
            if told_at is not None:
                self._wishes.next_telling.expect(told_at)
            for each in ended:
                self._changes.notify(each.subject_id)
                self._telemetry.emit(
                    f"delivery.{DeliveryState.DEAD}",
                    delivery_id=each.id,
                    job_id=each.job_id,
                    destination=name,
                    attempt=each.attempt,
                    reason=each.reason,
                    duration_s=None,
                )
            await self._lanes.recount_those([name], self._lanes.pending)
