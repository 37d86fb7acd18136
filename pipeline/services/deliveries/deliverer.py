"""The deliverer: has the destination of each claimed delivery try once, and what became of it recorded.

The store is authoritative for every delivery; what stands here is only which sendings this service has in hand, each
under its lease.
"""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from destinations.base import Sending
from pipeline import links
from pipeline.clock import Clock
from pipeline.errors import HeldError, UnknownFunctionError
from pipeline.model import (
    BatchMessage,
    ClaimedDelivery,
    Delivery,
    DeliveryReason,
    JobDraft,
    Lease,
    Message,
    Outcome,
    Verdict,
    sending_of,
)
from pipeline.services.changes import Changes
from pipeline.services.deliveries.destination_lanes import DestinationLanes
from pipeline.services.deliveries.recorder import Recorder
from pipeline.services.deliveries.standing import Standing
from pipeline.services.deliveries.unbegun import Unbegun
from pipeline.services.in_hand import Claim, InHand
from pipeline.services.leases import Leases
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.store.transactions.deliveries import Ending
from pipeline.telemetry import Telemetry


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
        lanes: DestinationLanes,
        recorder: Recorder,
        store: Store,
        current: Current,
        changes: Changes,
        children: Children,
        standing: Standing,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._leases = leases
        self.lanes = lanes
        self._recorder = recorder
        self._store = store
        self._current = current
        self._changes = changes
        self._children = children
        self._standing = standing
        self._clock = clock
        self._telemetry = telemetry
        self._in_hand: InHand[Delivery] = InHand(telemetry)

    # New deliveries

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
        delivery = claimed.delivery
        untouched = partial(self._untouched, claimed)
        self._in_hand.begin((delivery.id, claimed.token), delivery, self._send(claimed), untouched=untouched)
        self._changes.notify(delivery.subject_id)

    def _untouched(self, claimed: ClaimedDelivery) -> None:
        self.lanes[claimed.delivery.destination].release()
        self._in_hand.see_through(self._given_back(claimed, None))

    def held(self) -> frozenset[Claim]:
        """Return (delivery id, token) of every sending in hand, and of those being recorded."""
        return self._in_hand.all()

    def drop(self, gone: frozenset[Claim]) -> None:
        """Break off sendings whose lease is gone; nothing is written for them."""
        self._in_hand.break_off(gone)

    # One sending

    async def _send(self, claimed: ClaimedDelivery) -> None:
        delivery, lane = claimed.delivery, self.lanes[claimed.delivery.destination]
        claim = (delivery.id, claimed.token)
        gate, slots = self.lanes.gates[delivery.destination], self.lanes.slots
        started_at, began = self._clock.now(), self._clock.monotonic()
        has_room = slots.is_free(delivery.destination) and not gate.locked()
        is_wanted = has_room or self._standing.may_send(delivery.destination)
        waiting = None if has_room or not is_wanted else self.lanes.unbegun.add(delivery)
        try:
            if not is_wanted:  # it stopped taking while the claim was under way
                raise HeldError(f"the destination {delivery.destination} takes no deliveries now")
            async with gate, slots.of(delivery.destination):
                if waiting is not None:
                    self._begins(waiting)
                started_at, began = self._clock.now(), self._clock.monotonic()
                outcome, child = await self._try(claimed, started_at)
            outcome = self._telemetry.mask.outcome(outcome)
        except asyncio.CancelledError:
            # A drain, or a destination that takes nothing any more: the row goes back. Under a lost lease this changes
            # nothing. A drain that comes now ends this task, and waits for the write.
            going = self._in_hand.see_through(self._given_back(claimed, waiting))
            if waiting is not None:
                waiting.going = going
            await asyncio.shield(going)
            raise
        except (HeldError, UnknownFunctionError):
            # It has gone, or was paused, since the claim: the delivery is held until it returns.
            await asyncio.shield(self._recorder.give_back(delivery, claimed.token))
            return
        except Exception as error:  # a destination raises nothing: a bug, which must not hold the row for ever
            self._telemetry.failed("task.failed", error, job_id=delivery.job_id, delivery_id=delivery.id)
            message = f"the destination raised {type(error).__name__}"
            outcome, child = Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.ABORTED, message=message), None
        finally:
            duration_s = self._clock.monotonic() - began
            self._in_hand.over(claim)
            if waiting is not None:
                self.lanes.unbegun.remove(waiting)
            lane.release()
        lane.measure(duration_s)
        with self._in_hand.writing(claim):
            recorder = self._recorder
            if await recorder.record(delivery, claimed.token, outcome, child, started_at, duration_s) and child:
                self._children.begin(child)

    def _begins(self, waiting: Unbegun) -> None:
        self.lanes.unbegun.remove(waiting)
        self._changes.notify(waiting.delivery.subject_id)

    async def _given_back(self, claimed: ClaimedDelivery, waiting: Unbegun | None) -> None:
        if waiting is not None and waiting.is_unwanted:
            waiting.is_cancelled = await self._recorder.cancelled(claimed.delivery, claimed.token)
        else:
            await self._recorder.give_back(claimed.delivery, claimed.token)

    async def _try(self, claimed: ClaimedDelivery, started_at: datetime) -> tuple[Outcome, JobDraft | None]:
        name = claimed.delivery.destination
        # Looked up at the last moment: what waited is sent to the current URL, under the current secrets.
        if not self._standing.may_send(name):
            raise HeldError(f"the destination {name} takes no deliveries now")
        route = self._current.setup.routes[name]
        if not route.takes(claimed.delivery):
            return _of_another_kind(claimed.delivery, route.kind), None
        return await self._children.settle(await route.destination.send(self._described(claimed, started_at)))

    def _described(self, claimed: ClaimedDelivery, started_at: datetime) -> Sending:
        delivery = claimed.delivery
        purpose = links.Purpose.BATCH if isinstance(claimed.message, BatchMessage) else links.Purpose.JOB
        return Sending(
            delivery_id=delivery.id,
            destination=delivery.destination,
            recipient=delivery.recipient,
            attempt=delivery.attempt,
            max_attempts=delivery.spent + self.lanes.policies[delivery.destination].max_attempts,
            started_at=started_at,
            message=claimed.message,
            base_url=self._current.setup.base_url,
            link=partial(self._link, purpose, delivery.subject_id),
            read_event=partial(self._read_event, delivery.subject_id),
        )

    def _link(self, purpose: links.Purpose, subject_id: str, url: str) -> str:
        config = self._current.setup.config
        if not (config.keys and config.service.link_keys):
            return url
        until = self._clock.now() + timedelta(seconds=config.service.link_expiry)
        return links.signed(url, subject_id, until, config.service.link_keys, purpose)

    async def _read_event(self, job_id: str) -> bytes:
        return await self._store.get_event(job_id) or b"null"

    # The service's life

    async def passed(self) -> None:
        """Return when every sending that is in hand now has ended: all later ones follow the current setup."""
        await self._in_hand.passed()

    async def drained(self) -> None:
        """Return when no sending is in hand and every attempt is recorded."""
        await self._in_hand.drained()

    async def break_off(self) -> None:
        """Give back what is being sent: it is pending again, and spent no attempt."""
        self._in_hand.break_off()
        await self.drained()


def _of_another_kind(delivery: Delivery, kind: str) -> Outcome:
    is_now = f"{delivery.destination} is of the type {kind} now"
    said = f"it was made for a destination of the type {delivery.kind}, and {is_now}"
    return Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.UNCONFIGURED, message=said)


def _job_id(ending: Ending) -> str | None:
    return ending.message.job_id if isinstance(ending.message, Message) else None
