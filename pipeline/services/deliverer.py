"""The deliverer: claims pending deliveries for free slots, has the destination try once, and records the attempt.

Each destination has a lane of its own, so that a slow or dead receiver delays no other. The store is authoritative
for every delivery; what stands here is only which sendings this service has in hand, each under its lease.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Protocol

from destinations.base import Sending
from pipeline import links
from pipeline.clock import Clock
from pipeline.errors import HeldError, StoreError, UnknownFunctionError
from pipeline.lifecycle import DeliveryStep, after_attempt, after_sending_lost, after_sending_returned
from pipeline.model import (
    Attempt,
    ClaimedDelivery,
    Delivery,
    DeliveryReason,
    DeliveryState,
    JobDraft,
    Lease,
    Message,
    Outcome,
    Verdict,
    sending_of,
)
from pipeline.retry import Policy
from pipeline.services.changes import Changes
from pipeline.services.lane import Lane, Lanes
from pipeline.services.leases import Leases
from pipeline.services.moments import NextMoment
from pipeline.services.patience import when_there_is_room
from pipeline.services.promoter import Promoter
from pipeline.services.setup import Current
from pipeline.services.standing import Standing
from pipeline.store import Store
from pipeline.store.deliveries import Ending
from pipeline.telemetry import Telemetry

IN_FLIGHT = 200
"""Attempts in flight at once, over all destinations. How many to one destination, its gate says: what a lane holds
ready beyond its slots waits there.
"""
JITTER = 0.2
"""The largest fraction that is added to a wait."""


class Children(Protocol):
    """Who turns what a function destination says into a job."""

    async def settle(self, outcome: Outcome) -> tuple[Outcome, JobDraft | None]:
        """Return the outcome with the job to be stored with it, if there is to be one."""
        ...

    def begin(self, draft: JobDraft) -> None:
        """Note that the job is stored."""
        ...


class Deliverer:
    """Sends the deliveries of all configured destinations."""

    def __init__(
        self,
        *,
        leases: Leases,
        store: Store,
        current: Current,
        promoter: Promoter,
        changes: Changes,
        children: Children,
        standing: Standing,
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
    ) -> None:
        self._leases = leases
        self._store = store
        self._current = current
        self._promoter = promoter
        self._changes = changes
        self._children = children
        self._standing = standing
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._sending: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._writing: set[tuple[str, int]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._noted_at: dict[str, datetime] = {}
        self._policies: dict[str, Policy] = {}
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._next_end = NextMoment(clock)
        self.lanes: Lanes[ClaimedDelivery] = Lanes(self._claim, self.start, clock)
        self.follow()

    def follow(self) -> list[Lane[ClaimedDelivery]]:
        """Send to those destinations of the current setup that take deliveries from now on; return the lanes that are
        new.

        A sending under way ends as it began; what became of it is recorded under the policy that counts then.
        """
        routes = self._current.setup.routes
        # The policy of a destination that has gone stays: what is still being sent to it may fail.
        self._policies.update({name: route.policy for name, route in routes.items()})
        sizes = {name: route.concurrency for name, route in routes.items()}
        for name, size in sizes.items():
            if (lane := self.lanes.get(name)) is None or lane.size != size:
                self._gates[name] = asyncio.Semaphore(size)
        return self.lanes.follow({name: size for name, size in sizes.items() if self._standing.may_send(name)})

    async def pending(self) -> Mapping[str, int]:
        """Count what waits in the store to be sent, by destination."""
        counts = await self._store.open_deliveries()
        return {name: count for (name, state), count in counts.items() if state is DeliveryState.PENDING}

    # Claims

    async def _claim(self, destination: str, most: int) -> list[ClaimedDelivery]:
        return await when_there_is_room(
            lambda: self._store.claim_deliveries(destination, most, now=self._clock.now(), lease=self._leases.new()),
            self._clock,
        )

    def offer(self, destination: str) -> Lease | None:
        """Take a slot for a delivery about to be inserted, if one is free and nothing waits before it."""
        lane = self.lanes.get(destination)
        return self._leases.for_new_row() if lane is not None and lane.offer() else None

    def withdraw(self, ending: Ending | None) -> None:
        """Give back the slots of an ending that was not written after all."""
        if ending is not None:
            for draft, lease in zip(ending.deliveries, ending.leases, strict=True):
                if lease is not None:
                    self.lanes[draft.destination].release()

    def begin(self, ending: Ending, claimed: list[bool], now: datetime) -> None:
        """Send at once what was claimed as it was inserted; the rest waits in its lane."""
        for draft, lease, is_claimed in zip(ending.deliveries, ending.leases, claimed, strict=True):
            if draft.is_filtered:
                self._telemetry.emit(
                    "delivery.skipped", delivery_id=draft.id, job_id=_job_id(ending), destination=draft.destination
                )
                continue
            if is_claimed and lease is not None:
                delivery = sending_of(draft, ending.message, now)
                self.start(ClaimedDelivery(delivery=delivery, token=lease.token, message=ending.message))
                continue
            if lease is not None:
                self.lanes[draft.destination].release()
            self.lanes.add({draft.destination: 1})

    def start(self, claimed: ClaimedDelivery) -> None:
        """Begin a sending; the slot in its lane is taken already, and given back when the sending has ended."""
        task = asyncio.create_task(self._send(claimed))
        self._sending[claimed.delivery.id, claimed.token] = task
        self._ending.add(task)
        task.add_done_callback(self._ended)
        self._changes.notify(claimed.delivery.subject_id)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, StoreError):  # of that the store tells by itself, once
            self._telemetry.failed("task.failed", error)

    def held(self) -> frozenset[tuple[str, int]]:
        """Return (delivery id, token) of every sending in hand, and of those being recorded."""
        return frozenset(self._sending) | self._writing

    def drop(self, gone: frozenset[tuple[str, int]]) -> None:
        """Break off sendings whose lease is gone; nothing is written for them."""
        for key in gone:
            if (task := self._sending.get(key)) is not None:
                task.cancel()

    # One sending

    async def _send(self, claimed: ClaimedDelivery) -> None:
        delivery, lane = claimed.delivery, self.lanes[claimed.delivery.destination]
        key = (delivery.id, claimed.token)
        started_at, began = self._clock.now(), self._clock.monotonic()
        try:
            async with self._gates[delivery.destination], self._slots:
                started_at, began = self._clock.now(), self._clock.monotonic()
                outcome, child = await self._try(claimed, started_at)
            outcome = self._telemetry.mask.outcome(outcome)
        except asyncio.CancelledError:
            # A drain, which gives the row back, or a lost lease, under which this changes nothing.
            await asyncio.shield(self._give_back(delivery, claimed.token))
            raise
        except (HeldError, UnknownFunctionError):
            # It has gone, or was paused, since the claim: the delivery is held until it returns.
            await asyncio.shield(self._give_back(delivery, claimed.token))
            return
        except Exception as error:  # a destination raises nothing: a bug, which must not hold the row for ever
            self._telemetry.failed("task.failed", error, job_id=delivery.job_id, delivery_id=delivery.id)
            message = f"the destination raised {type(error).__name__}"
            outcome, child = Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.ABORTED, message=message), None
        finally:
            duration_s = self._clock.monotonic() - began
            self._sending.pop(key, None)
            lane.release()
        lane.measure(duration_s)
        self._writing.add(key)
        try:
            await self._record(delivery, claimed.token, outcome, child, started_at, duration_s)
        finally:
            self._writing.discard(key)

    async def _try(self, claimed: ClaimedDelivery, started_at: datetime) -> tuple[Outcome, JobDraft | None]:
        name = claimed.delivery.destination
        # Looked up at the last moment: what waited is sent to the current URL, under the current secrets.
        if not self._standing.may_send(name):
            raise HeldError(f"the destination {name} takes no deliveries now")
        route = self._current.setup.routes[name]
        return await self._children.settle(await route.destination.send(self._described(claimed, started_at)))

    def _described(self, claimed: ClaimedDelivery, started_at: datetime) -> Sending:
        delivery = claimed.delivery
        return Sending(
            delivery_id=delivery.id,
            destination=delivery.destination,
            recipient=delivery.recipient,
            attempt=delivery.attempt,
            max_attempts=delivery.spent + self._policies[delivery.destination].max_attempts,
            started_at=started_at,
            message=claimed.message,
            base_url=self._current.setup.base_url,
            link=partial(self._link, delivery.subject_id),
            read_event=partial(self._read_event, delivery.subject_id),
        )

    def _link(self, job_id: str, url: str) -> str:
        config = self._current.setup.config
        if not (config.keys and config.service.link_keys):
            return url
        until = self._clock.now() + timedelta(seconds=config.service.link_expiry)
        return links.signed(url, job_id, until, config.service.link_keys)

    async def _read_event(self, job_id: str) -> bytes:
        return await self._store.get_event(job_id) or b"null"

    async def _record(
        self,
        delivery: Delivery,
        token: int,
        outcome: Outcome,
        child: JobDraft | None,
        started_at: datetime,
        duration_s: float,
    ) -> None:
        now = self._clock.now()
        rule = self._policies[delivery.destination]
        is_delivered = outcome.verdict is Verdict.DELIVERED
        jitter = 0.0 if is_delivered else self._random.uniform(0.0, JITTER)
        step = after_attempt(delivery, outcome, rule, now, jitter)
        attempt = Attempt(
            number=delivery.attempt,
            trigger="replay" if delivery.replayed_at else "auto",
            started_at=started_at,
            duration_s=duration_s,
            outcome=outcome,
            next_attempt_at=step.due_at if step.state is DeliveryState.RETRYING else None,
            why=step.why,
        )
        is_success_noted = is_delivered and self._is_note_due(delivery.destination, now)
        not_before = None if outcome.pause_s is None else now + timedelta(seconds=outcome.pause_s)
        write = partial(self._write, is_success_noted=is_success_noted, not_before=not_before, child=child)
        if await write(delivery, token, step, attempt, now):
            if child is not None:
                self._children.begin(child)
            if not_before is not None:
                self._defer(delivery.destination, not_before)
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

    def _defer(self, destination: str, until: datetime) -> None:
        self._standing.defer(destination, until)
        self.follow()
        self._next_end.expect(until)
        self._telemetry.emit("destination.deferred", destination=destination, until=until.isoformat())

    async def serve(self) -> None:
        """Send again to destinations that were left alone for as long as they wanted, until cancelled."""
        while True:
            self._next_end.forget()
            self._next_end.expect(self._standing.let_go())
            await self.lanes.count_new(self.follow(), self.pending)
            await self._next_end.wait()

    def _is_note_due(self, destination: str, now: datetime) -> bool:
        """Tell whether the destination's last success was noted over a second ago; at most one write a second."""
        noted_at = self._noted_at.get(destination)
        if noted_at is not None and (now - noted_at).total_seconds() < 1:
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
        is_success_noted: bool = False,
        not_before: datetime | None = None,
        child: JobDraft | None = None,
    ) -> bool:
        verb = partial(
            self._store.record_attempt,
            delivery,
            token,
            step,
            attempt,
            now=now,
            is_success_noted=is_success_noted,
            not_before=not_before,
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
            self.lanes.add({delivery.destination: 1})
        self._changes.notify(delivery.subject_id)
        return True

    async def _give_back(self, delivery: Delivery, token: int) -> None:
        now = self._clock.now()
        await self._write(delivery, token, after_sending_returned(delivery, now), None, now)

    async def lost(self, delivery: Delivery, token: int) -> None:
        """Write that a sending was lost with the service that had it."""
        now = self._clock.now()
        step = after_sending_lost(delivery, now)
        if await self._write(delivery, token, step, None, now) and step.state is DeliveryState.DEAD:
            self._telemetry.emit(
                f"delivery.{step.state}",
                delivery_id=delivery.id,
                job_id=delivery.job_id,
                destination=delivery.destination,
                attempt=step.attempt,
                reason=step.reason,
                duration_s=None,
            )

    # The service's life

    async def passed(self) -> None:
        """Return when every sending that is in hand now has ended: all later ones follow the current setup."""
        if self._ending:
            await asyncio.wait(self._ending)

    async def drained(self) -> None:
        """Return when no sending is in hand and every attempt is recorded."""
        while self._ending:
            await asyncio.wait(self._ending)

    async def break_off(self) -> None:
        """Give back what is being sent: it is pending again, and spent no attempt."""
        for task in self._sending.values():
            task.cancel()
        await self.drained()


def _job_id(ending: Ending) -> str | None:
    return ending.message.job_id if isinstance(ending.message, Message) else None
