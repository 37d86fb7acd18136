"""The recorder: writes what became of a sending, and tells all who wait for it."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from random import Random

from pipeline.clock import Clock
from pipeline.lifecycle import (
    DeliveryStep,
    after_attempt,
    after_sending_cancelled,
    after_sending_lost,
    after_sending_returned,
)
from pipeline.model import (
    Attempt,
    Delivery,
    DeliveryState,
    DestinationNote,
    Health,
    JobDraft,
    LastFailure,
    MessageType,
    Outcome,
    Verdict,
)
from pipeline.services.changes import Changes
from pipeline.services.deliveries.destination_lanes import DestinationLanes
from pipeline.services.deliveries.standing import Standing
from pipeline.services.deliveries.wishes import Wishes
from pipeline.services.moments import NextMoment
from pipeline.services.patience import when_there_is_room
from pipeline.services.promoter import Promoter
from pipeline.store import Store
from pipeline.telemetry import Telemetry

JITTER = 0.2
"""The largest fraction that is added to a wait."""


class Recorder:
    """Records attempts, and sendings that came to none."""

    def __init__(
        self,
        *,
        store: Store,
        lanes: DestinationLanes,
        promoter: Promoter,
        next_end: NextMoment,
        changes: Changes,
        standing: Standing,
        wishes: Wishes,
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._promoter = promoter
        self._next_end = next_end
        self._changes = changes
        self._standing = standing
        self._wishes = wishes
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._noted_at: dict[str, float] = {}

    async def record(
        self,
        delivery: Delivery,
        token: int,
        outcome: Outcome,
        child: JobDraft | None,
        started_at: datetime,
        duration_s: float,
    ) -> bool:
        """Write an attempt, what follows from it and, with it, the job that took the message over; False where the
        lease is gone: then only what it tells of its destination is written.
        """
        now = self._clock.now()
        rule = self._lanes.policies[delivery.destination]
        is_delivered = outcome.verdict is Verdict.DELIVERED
        jitter = 0.0 if is_delivered else self._random.uniform(0.0, JITTER)
        step = after_attempt(delivery, outcome, rule, now, jitter)
        attempt = Attempt(
            number=delivery.attempt,
            trigger=delivery.trigger,
            started_at=started_at,
            duration_s=duration_s,
            outcome=outcome,
            next_attempt_at=step.due_at if step.state is DeliveryState.RETRYING else None,
            why=step.why,
        )
        before = self._standing.health(delivery.destination)
        noted = self._noted(delivery, outcome, step, before, now)
        is_written = await self._write(delivery, token, step, attempt, now, noted=noted, child=child)
        if noted is not None and not is_written:  # the lease was gone; that it went so counts for those to come
            noted = await self._note_alone(delivery, noted, now)
        if noted is not None:
            self._follow(delivery.destination, before, noted)
        if not is_written:
            return False
        self._telemetry.emit(
            f"delivery.{step.state}",
            delivery_id=delivery.id,
            job_id=delivery.job_id,
            destination=delivery.destination,
            attempt=delivery.attempt,
            reason=step.reason,
            error_class=outcome.reason,
            duration_s=round(duration_s, 6),
            latency_s=(now - (delivery.replayed_at or delivery.created_at)).total_seconds(),
        )
        return True

    def _noted(
        self, delivery: Delivery, outcome: Outcome, step: DeliveryStep, before: Health, now: datetime
    ) -> DestinationNote | None:
        """Take in what an attempt tells of its destination; return what of it is to be stored, None for nothing."""
        name = delivery.destination
        health = self._standing.note(name, delivery.id, outcome, now)
        is_delivered = outcome.verdict is Verdict.DELIVERED
        wanted = self._wishes.after(delivery, step, outcome, before, health or before)
        until = None if outcome.pause_s is None else now + timedelta(seconds=outcome.pause_s)
        if until is not None:
            self._standing.defer(name, until)
        is_due, error = is_delivered and self._is_note_due(name), step.last_error
        if health is None and until is None and not wanted and not is_due and error is None:
            return None
        return DestinationNote(
            succeeded_at=now if is_delivered else None,
            not_before=until,
            failure=LastFailure(at=now, delivery_id=delivery.id, error=error) if error else None,
            health=health,
            wanted=wanted,
        )

    async def _note_alone(self, delivery: Delivery, noted: DestinationNote, now: datetime) -> DestinationNote:
        """Write what an attempt tells of its destination, but not that its delivery is dead, which whoever has the
        lease decides; return what was written.
        """
        wanted = tuple(each for each in noted.wanted if each.type is not MessageType.DEAD_DELIVERY)
        noted = replace(noted, wanted=wanted)
        verb = partial(self._store.destinations.note, delivery.destination, delivery.kind, noted, now=now)
        await when_there_is_room(verb, self._clock)
        return noted

    def _follow(self, destination: str, before: Health, noted: DestinationNote) -> None:
        """Send as what was noted has it, and tell what changed."""
        after = before if noted.health is None else noted.health
        self._wishes.note(destination, noted.wanted)
        if noted.not_before is not None:
            self._telemetry.emit("destination.deferred", destination=destination, until=noted.not_before.isoformat())
        if before.opened_at is None and after.opened_at is not None:
            self._telemetry.emit(
                "destination.breaker_opened",
                destination=destination,
                failures=after.failures,
                reason=after.last,
                until=after.probe_at and after.probe_at.isoformat(),
            )
        is_closed = before.opened_at is not None and after.opened_at is None
        if is_closed:
            self._telemetry.emit("destination.breaker_closed", destination=destination)
        if before.disabled_at is None and after.disabled_at is not None:
            self._changes.notify_all()  # what is held counts as settled
            self._telemetry.emit("destination.disabled", destination=destination, reason=after.disabled_because)
        self._lanes.follow_standing()
        self._next_end.expect(self._standing.next_moment)
        if is_closed:
            self._lanes.spread(destination)

    def _is_note_due(self, destination: str) -> bool:
        """Tell whether the destination's last success was noted over a second ago; at most one write a second."""
        now, noted_at = self._clock.monotonic(), self._noted_at.get(destination)
        if noted_at is not None and now - noted_at < 1:
            return False
        self._noted_at[destination] = now
        return True

    async def _write(
        self,
        delivery: Delivery,
        token: int,
        step: DeliveryStep,
        attempt: Attempt | None,
        now: datetime,
        *,
        noted: DestinationNote | None = None,
        child: JobDraft | None = None,
    ) -> bool:
        verb = partial(
            self._store.record_attempt,
            delivery,
            token,
            step,
            attempt,
            now=now,
            noted=noted,
            child=child,
        )
        if not await when_there_is_room(verb, self._clock):
            self._telemetry.emit(
                "delivery.stale", delivery_id=delivery.id, job_id=delivery.job_id, destination=delivery.destination
            )
            return False
        if step.state is DeliveryState.RETRYING:
            self._promoter.expect(step.due_at)
        elif step.state is DeliveryState.PENDING:
            self._lanes.add({delivery.destination: 1})
        self._changes.notify(delivery.subject_id)
        return True

    async def give_back(self, delivery: Delivery, token: int) -> None:
        """Write that a sending was not made after all: it is pending again, and spent no attempt."""
        now = self._clock.now()
        await self._write(delivery, token, after_sending_returned(delivery, now), None, now)

    async def cancelled(self, delivery: Delivery, token: int) -> bool:
        """Write that a sending was cancelled before it had begun; False where the lease is gone."""
        return await self._write(delivery, token, after_sending_cancelled(delivery), None, self._clock.now())

    async def lost(self, delivery: Delivery, token: int) -> None:
        """Write that a sending was lost with the service that had it."""
        now = self._clock.now()
        step = after_sending_lost(delivery, now)
        wanted = self._wishes.of_dead(delivery, step)
        noted = DestinationNote(wanted=wanted) if wanted else None
        if await self._write(delivery, token, step, None, now, noted=noted) and step.state is DeliveryState.DEAD:
            self._wishes.note(delivery.destination, wanted)
            self._telemetry.emit(
                f"delivery.{step.state}",
                delivery_id=delivery.id,
                job_id=delivery.job_id,
                destination=delivery.destination,
                attempt=step.attempt,
                reason=step.reason,
                duration_s=None,
            )
