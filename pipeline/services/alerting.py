"""Alerting: tells operators what there is to tell of destinations, at other destinations, as ordinary deliveries.

What is to be told, and when the same was told last, the store knows.
"""

from datetime import datetime
from functools import partial

from pipeline.alerts import QUIET
from pipeline.clock import Clock
from pipeline.ids import IdSource
from pipeline.model import AlertDue, AlertMessage
from pipeline.services.deliveries.deliverer import Deliverer
from pipeline.services.deliveries.wishes import Wishes
from pipeline.services.fanout import FanOut
from pipeline.services.patience import when_there_is_room
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.telemetry import Telemetry


class Alerting:
    """Tells what is wished to be told, each when its time has come."""

    def __init__(
        self,
        *,
        wishes: Wishes,
        store: Store,
        fan_out: FanOut,
        deliverer: Deliverer,
        current: Current,
        ids: IdSource,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._next = wishes.next_telling
        self._store = store
        self._fan_out = fan_out
        self._deliverer = deliverer
        self._current = current
        self._ids = ids
        self._clock = clock
        self._telemetry = telemetry

    async def serve(self) -> None:
        """Tell all that is to be told, each when its time has come, until cancelled."""
        while True:
            self._next.forget()
            for due in await self._store.alerts.due():
                now, told_at = self._clock.now(), due.told_at
                # What was told later than now was told by a clock that was ahead.
                if told_at is not None and told_at <= now < told_at + QUIET:
                    self._next.expect(told_at + QUIET)
                else:
                    await self._tell(due)
            await self._next.wait()

    async def _tell(self, due: AlertDue) -> None:
        now = self._clock.now()
        # Of itself a destination that fails hears nothing.
        goals = [goal for goal in self._current.setup.alerts if goal.route.name != due.destination]
        ending = self._fan_out.ending_of_alert(goals, self._message(due, now), self._deliverer.offer) if goals else None
        try:
            claimed = await when_there_is_room(partial(self._store.alerts.tell, due, ending, now=now), self._clock)
        except BaseException:
            self._deliverer.withdraw(ending)
            raise
        if claimed is None:
            self._deliverer.withdraw(ending)
        elif ending is not None:
            self._deliverer.begin(ending, claimed, now)
            self._telemetry.emit("destination.alerted", destination=due.destination, alert=due.wanted.type)

    def _message(self, due: AlertDue, now: datetime) -> AlertMessage:
        return AlertMessage(
            id=self._ids.message_id(),
            subject_id=self._ids.new(),
            type=due.wanted.type,
            destination=due.destination,
            kind=due.kind,
            because=due.wanted.because,
            delivery_id=due.wanted.delivery_id,
            at=due.wanted_at,
            ended_at=now,
        )
