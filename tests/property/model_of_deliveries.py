"""What must be true of deliveries, in plain Python: each verb of the store as it would be if there were only dicts."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pipeline.lifecycle import DeliveryStep
from pipeline.model import (
    Attempt,
    ClaimedDelivery,
    Delivery,
    DeliveryDraft,
    DeliveryReason,
    DeliveryState,
    DestinationNote,
    JobDraft,
    JobState,
    Lease,
    Message,
)
from pipeline.store.transactions.deliveries import Ending
from pipeline.store.transactions.interventions import Deletion
from pipeline.store.transactions.pruning import Cutoffs
from tests.property.model_of_destinations import WAITING, ModelOfDestinations

_S = DeliveryState
REPLAYABLE = frozenset({_S.DELIVERED, _S.DEAD, _S.CANCELLED, _S.RETRYING})
"""What a replay may have sent now; what was skipped was never to be sent."""


@dataclass
class ModelOfDeliveries:
    """All that is owed, who is sending it, and what is remembered of where it goes."""

    destinations: ModelOfDestinations
    jobs: dict[str, tuple[JobState, datetime]] = field(default_factory=dict)
    """How and when each ended."""
    messages: dict[str, Message] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    """Under which each that is being sent is held."""
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    """What was changed since somebody looked last."""
    gone: set[str] = field(default_factory=set)
    """The deliveries that were deleted with their jobs."""
    children: dict[str, str] = field(default_factory=dict)
    """Of each job that a delivery made the job that its message was of."""

    # What a job's end owes

    def end_job(self, ending: Ending) -> list[bool]:
        """A message and its deliveries; each is claimed at once where a lease is given and nothing waits before it."""
        message = ending.message
        self.jobs[message.job_id] = (message.state, message.ended_at)
        self.messages[message.id] = message
        return [
            self.owe(message, draft, lease)
            for draft, lease in zip(ending.deliveries, ending.leases, strict=True)
        ]  # fmt: skip

    def owe(self, message: Message, draft: DeliveryDraft, lease: Lease | None) -> bool:
        """One delivery; return whether it was claimed."""
        is_claimed = lease is not None and not draft.is_filtered and not self.pending(draft.destination)
        self.touched.add(draft.id)
        self.deliveries[draft.id] = Delivery(
            id=draft.id,
            message_id=message.id,
            type=message.type,
            subject_id=message.job_id,
            destination=draft.destination,
            kind=draft.kind,
            recipient=draft.recipient,
            state=_S.SKIPPED if draft.is_filtered else _S.SENDING if is_claimed else _S.PENDING,
            reason=DeliveryReason.FILTERED if draft.is_filtered else None,
            attempt=int(is_claimed),
            max_attempts=draft.max_attempts,
            lost=0,
            created_at=message.ended_at,
            due_at=message.ended_at,
            delivered_at=None,
            last_error=None,
        )
        if is_claimed and lease is not None:
            self.leases[draft.id] = lease
        return is_claimed

    # Sending

    def claim(self, destination: str, most: int, lease: Lease) -> list[ClaimedDelivery]:
        """The oldest that are pending, each to one owner."""
        return [self._claimed(each, lease) for each in self.pending(destination)[:most]]

    def _claimed(self, delivery_id: str, lease: Lease) -> ClaimedDelivery:
        before = self.deliveries[delivery_id]
        self.change(delivery_id, state=_S.SENDING, attempt=before.attempt + 1)
        self.leases[delivery_id] = lease
        return self.sending(delivery_id)

    def sending(self, delivery_id: str) -> ClaimedDelivery:
        """Return what whoever sends it has in hand."""
        delivery = self.deliveries[delivery_id]
        message = replace(self.messages[delivery.message_id], id=delivery.sent_message_id)
        return ClaimedDelivery(delivery=delivery, token=self.leases[delivery_id].token, message=message)

    def record(
        self,
        claimed: ClaimedDelivery,
        step: DeliveryStep,
        attempt: Attempt | None,
        noted: DestinationNote | None = None,
        child: JobDraft | None = None,
    ) -> bool:
        """What became of a sending: all of it, or nothing where the lease is not held any more."""
        delivery_id = claimed.delivery.id
        lease = self.leases.get(delivery_id)
        if lease is None or lease.token != claimed.token:
            return False
        del self.leases[delivery_id]
        before = self.deliveries[delivery_id]
        self.change(
            delivery_id,
            state=step.state,
            reason=step.reason,
            attempt=step.attempt,
            max_attempts=before.max_attempts if step.max_attempts is None else step.max_attempts,
            lost=step.lost,
            due_at=step.due_at,
            delivered_at=step.delivered_at,
            last_error=step.last_error or before.last_error,
        )
        if attempt is not None:
            self.attempts.setdefault(delivery_id, []).append(attempt)
        if noted is not None:
            self.destinations.note(before.destination, noted)
        if child is not None:
            self.children[child.id] = before.subject_id
        return True

    def expired(self, now: datetime) -> set[tuple[Delivery, int]]:
        """What is being sent by nobody any more."""
        return {(self.deliveries[each], lease.token) for each, lease in self.leases.items() if lease.expires_at < now}

    def renew(self, owner: str, expires_at: datetime) -> set[tuple[str, int]]:
        """All that an owner holds still, held for longer."""
        held = {each: lease for each, lease in self.leases.items() if lease.owner == owner}
        self.leases |= {each: replace(lease, expires_at=expires_at) for each, lease in held.items()}
        return {(each, lease.token) for each, lease in held.items()}

    def promote(self, now: datetime) -> tuple[Counter[str], datetime | None]:
        """All whose moment has come are pending."""
        due = [each for each in self.deliveries.values() if each.state is _S.RETRYING and each.due_at <= now]
        for each in due:
            self.change(each.id, state=_S.PENDING)
        later = [each.due_at for each in self.deliveries.values() if each.state is _S.RETRYING]
        return Counter(each.destination for each in due), min(later, default=None)

    # What is done to them from outside

    def cancel(self, delivery_id: str) -> bool:
        """Only what waits can be cancelled."""
        found = self.deliveries.get(delivery_id)
        if found is None or found.state not in WAITING:
            return False
        self.change(delivery_id, state=_S.CANCELLED, reason=None)
        return True

    def replay(self, delivery_id: str, tries: int, new_message_id: str | None, now: datetime) -> bool:
        """What has ended, or is to be tried later, is sent now, with its history and so many further attempts."""
        return self.open(delivery_id, REPLAYABLE, tries, new_message_id, now, is_by_hand=True)

    def open(
        self,
        delivery_id: str,
        states: Iterable[DeliveryState],
        tries: int,
        new_message_id: str | None,
        now: datetime,
        *,
        is_by_hand: bool,
    ) -> bool:
        """Open one that stands in one of these states."""
        found = self.deliveries.get(delivery_id)
        if found is None or found.state not in states:
            return False
        self.change(
            delivery_id,
            state=_S.PENDING,
            reason=None,
            spent=found.attempt,
            max_attempts=found.attempt + tries,
            lost=0,
            due_at=now,
            replayed_at=now,
            is_by_hand=is_by_hand,
            delivered_at=None,
            new_message_id=new_message_id or found.new_message_id,
        )
        return True

    def end_overdue(self, destination: str, before: datetime, reason: DeliveryReason) -> list[Delivery]:
        """What has been pending for too long is dead; why, its attempts say where there were any."""
        found = [self.deliveries[each] for each in self.pending(destination)]
        overdue = [each for each in found if (each.replayed_at or each.created_at) < before]
        for each in overdue:
            self.change(each.id, state=_S.DEAD, reason=each.reason or reason)
        return [self.deliveries[each.id] for each in overdue]

    # Retention

    def delete(self, job_id: str) -> Deletion:
        """A job goes with all that is its, unless it still owes anything."""
        if job_id not in self.jobs:
            return Deletion.UNKNOWN
        if any(each.state.is_open for each in self.of_job(job_id)):
            return Deletion.OWES
        for each in self.of_job(job_id):
            del self.deliveries[each.id]
            self.attempts.pop(each.id, None)
            self.gone.add(each.id)
            self.touched.add(each.id)
        self.messages = {each.id: each for each in self.messages.values() if each.job_id != job_id}
        del self.jobs[job_id]
        return Deletion.DONE

    def prune(self, cutoffs: Cutoffs) -> int:
        """Each job that owes nothing goes by the retention of its end, with dead deliveries by that of these."""
        outlived = []
        for job_id, (state, ended_at) in self.jobs.items():
            if any(each.state is _S.DEAD for each in self.of_job(job_id)):
                is_outlived = ended_at < cutoffs.dead
            else:
                is_outlived = ended_at < (cutoffs.succeeded if state is JobState.SUCCEEDED else cutoffs.failed)
            outlived += [job_id] if is_outlived else []
        return [self.delete(job_id) for job_id in outlived].count(Deletion.DONE)

    # What there is

    def of_job(self, job_id: str) -> list[Delivery]:
        """Return the deliveries of a job."""
        return [each for each in self.deliveries.values() if each.subject_id == job_id]

    def to(self, destination: str) -> list[Delivery]:
        """Return the deliveries to a destination."""
        return [each for each in self.deliveries.values() if each.destination == destination]

    def pending(self, destination: str) -> list[str]:
        """Return the ids of what is pending to a destination, the oldest first."""
        return sorted(each.id for each in self.to(destination) if each.state is _S.PENDING)

    def owed(self) -> Counter[tuple[str, str, str]]:
        """Count the deliveries of each message, destination and recipient: there is never a second one."""
        return Counter((each.message_id, each.destination, each.recipient) for each in self.deliveries.values())

    def unsent(self, destination: str) -> list[Message]:
        """Return the messages that have no delivery to a destination, without their results."""
        sent = {each.message_id for each in self.to(destination)}
        return [replace(each, result=None) for each in self.messages.values() if each.id not in sent]

    def change(self, delivery_id: str, **changes: Any) -> None:
        """Change what is told of a delivery."""
        self.deliveries[delivery_id] = replace(self.deliveries[delivery_id], **changes)
        self.touched.add(delivery_id)
