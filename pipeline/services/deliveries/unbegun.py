"""Sendings that have not begun: claimed, and so `sending` in the store, they wait for a slot. They are kept apart here,
to be shown as what they are, and to go back at once where their destination takes nothing any more.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline.model import Delivery, DeliveryState
from pipeline.store.reading.jobs import JobView

Counts = Mapping[tuple[str, DeliveryState], int]


@dataclass(slots=True, kw_only=True, eq=False)
class Unbegun:
    """A sending that waits for a slot."""

    delivery: Delivery
    """As it was claimed."""
    task: asyncio.Task[None]
    is_unwanted: bool = False
    """Whether it is to be cancelled as it goes back."""
    is_cancelled: bool = False
    """Whether that is written."""
    is_going: bool = False
    going: asyncio.Task[None] | None = None
    """What writes that it goes back, once it does."""


@dataclass(slots=True)
class AllUnbegun:
    """All sendings that have not begun. Most begin as they are claimed, and are never here."""

    _by_id: dict[str, Unbegun] = field(default_factory=dict)
    _by_subject: Counter[tuple[str, str]] = field(default_factory=Counter)
    _by_destination: Counter[str] = field(default_factory=Counter)

    def add(self, delivery: Delivery) -> Unbegun:
        """Note that a delivery waits for a slot, in the current task, until `remove`."""
        task = asyncio.current_task()
        assert task is not None
        if (before := self._by_id.get(delivery.id)) is not None:  # given back, claimed anew, and not through with it
            self.remove(before)
        self._by_id[delivery.id] = waiting = Unbegun(delivery=delivery, task=task)
        self._count(delivery, 1)
        return waiting

    def remove(self, waiting: Unbegun) -> bool:
        """Note that it waits no more; False where that was noted before."""
        if self._by_id.get(waiting.delivery.id) is not waiting:
            return False
        del self._by_id[waiting.delivery.id]
        self._count(waiting.delivery, -1)
        return True

    def _count(self, delivery: Delivery, count: int) -> None:
        self._by_destination[delivery.destination] += count
        own = (delivery.subject_id, delivery.destination)
        self._by_subject[own] += count
        if not self._by_subject[own]:  # there is no end of subjects
            del self._by_subject[own]

    # What they are shown as

    @property
    def ids(self) -> frozenset[str]:
        """Return the ids of all."""
        return frozenset(self._by_id)

    @property
    def destinations(self) -> list[str]:
        """Return the destinations that they are owed to."""
        return [name for name, count in self._by_destination.items() if count]

    def shown(self, delivery: Delivery) -> Delivery:
        """Return a delivery as it was read, pending where its sending has not begun."""
        if delivery.state is not DeliveryState.SENDING or delivery.id not in self._by_id:
            return delivery
        return replace(delivery, state=DeliveryState.PENDING, attempt=delivery.attempt - 1)

    def of_job(self, view: JobView) -> JobView:
        """Return a job as it was read, with those of its deliveries counted as pending; the same where there are none,
        as nearly always.
        """
        if not self._by_id:
            return view
        own = {name: count for name, _ in view.deliveries if (count := self._by_subject[view.job.id, name])}
        return replace(view, deliveries=_moved(view.deliveries, own)) if own else view

    def counted(self, counts: Counts) -> Counts:
        """Return the deliveries that were counted, by destination and state, with these counted as pending."""
        return _moved(counts, self._by_destination) if self._by_id else counts

    # Giving them back

    def give_back(self, destination: str) -> list[asyncio.Task[None]]:
        """Have all that wait for a destination go back to the store; return those that are about to, to be awaited."""
        going = [each for each in self._by_id.values() if each.delivery.destination == destination]
        for each in going:
            self._stop(each)
        return [each.task for each in going]

    async def cancel(self, delivery_id: str) -> bool:
        """Have a delivery cancelled; False where it has begun, or is about to go back for another reason: it has by
        then.
        """
        waiting = self._by_id.get(delivery_id)
        if waiting is None:
            return False
        waiting.is_unwanted = waiting.is_unwanted or not waiting.is_going
        self._stop(waiting)
        await asyncio.wait([waiting.task])
        if waiting.going is not None:  # a drain may have ended the task before
            await asyncio.wait([waiting.going])
        return waiting.is_cancelled

    @staticmethod
    def _stop(waiting: Unbegun) -> None:
        # Once: a second time would break off what writes that it goes back.
        if not waiting.is_going:
            waiting.is_going = True
            waiting.task.cancel()


def _moved(counts: Counts, unbegun: Mapping[str, int]) -> Counts:
    moved = Counter(counts)
    for name, count in unbegun.items():
        # Never more than were read as being sent: some may have gone back, or begun, since.
        moving = min(count, moved[name, DeliveryState.SENDING])
        moved[name, DeliveryState.SENDING] -= moving
        moved[name, DeliveryState.PENDING] += moving
    return +moved
