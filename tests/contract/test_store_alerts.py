"""The contract of the store, alerts: what is to be told changes with what brought it about, and is told once."""

from pipeline.model import (
    AlertDue,
    AlertMessage,
    DeliveryReason,
    DeliveryState,
    DestinationNote,
    MessageType,
    Wanted,
)
from pipeline.store import Store
from pipeline.store.transactions.deliveries import Ending
from tests.support import samples
from tests.support.samples import NOW, UNAVAILABLE, attempt, delivery_draft, delivery_step, later
from tests.support.stores import Rig, ended, sending, the_delivery

RETRYING = delivery_step(DeliveryState.RETRYING, due_at=later(5))


async def wanted(store: Store, type_: MessageType, *, token: int | None = None, at: float = 0) -> bool:
    """Record an attempt that wants something to be told of `archive`; tell whether it was recorded."""
    claimed = await sending(store)
    note = DestinationNote(wanted=(Wanted(type=type_, because=f"of {type_.rpartition('.')[2]}"),))
    tried = attempt(1, UNAVAILABLE, later(5))
    return await store.record_attempt(
        claimed.delivery, claimed.token if token is None else token, RETRYING, tried, now=later(at), noted=note
    )


def telling(due: AlertDue, at: float) -> Ending:
    """Return what it owes that this is told: one delivery, to `oncall`."""
    message = AlertMessage(
        id=f"msg_{samples.new_id()}",
        subject_id=samples.new_id(),
        type=due.wanted.type,
        destination=due.destination,
        kind=due.kind,
        because=due.wanted.because,
        delivery_id=due.wanted.delivery_id,
        at=due.wanted_at,
        ended_at=later(at),
    )
    return Ending(message=message, deliveries=(delivery_draft(destination="oncall"),), leases=(None,))


async def told(store: Store, at: float = 0) -> list[str]:
    """Tell all that is to be told; return the types."""
    found = await store.alerts.due()
    for due in found:
        assert await store.alerts.tell(due, telling(due, at), now=later(at)) == [False]
    return [due.wanted.type.removeprefix("destination.") for due in found]


async def test_what_an_attempt_wants_to_be_told_is_stored_with_it_or_not_at_all(store: Store) -> None:
    assert not await wanted(store, MessageType.DISABLED, token=99)
    assert await store.alerts.due() == []
    assert await wanted(store, MessageType.DISABLED)
    (due,) = await store.alerts.due()
    assert (due.destination, due.kind, due.wanted_at, due.told_at) == ("archive", "webhook", NOW, None)
    assert due.wanted == Wanted(type=MessageType.DISABLED, because="of disabled")


async def test_a_sending_that_is_lost_for_good_wants_it_told_too(store: Store) -> None:
    claimed = await sending(store)
    note = DestinationNote(wanted=(Wanted(type=MessageType.DEAD_DELIVERY, because="lost"),))
    dead = delivery_step(DeliveryState.DEAD, reason=DeliveryReason.LOST)
    assert await store.record_attempt(claimed.delivery, claimed.token, dead, None, now=NOW, noted=note)
    assert await told(store) == ["dead_delivery"]


async def test_what_is_overdue_ends_and_is_to_be_told_in_one(store: Store) -> None:
    for _ in range(3):
        await ended(store, delivery_draft())
    end = store.deliveries.end_overdue
    assert len(await end("archive", 1, before=later(60), reason=DeliveryReason.TIMEOUT)) == 1
    assert await store.alerts.due() == []  # nobody is there to be told
    dead = await end("archive", 9, before=later(60), reason=DeliveryReason.TIMEOUT, told_at=later(60))
    (due,) = await store.alerts.due()
    assert due.wanted.delivery_id == min(each.id for each in dead)
    assert (due.wanted.type, due.wanted_at) == (MessageType.DEAD_DELIVERY, later(60))
    assert await end("archive", 9, before=later(60), reason=DeliveryReason.TIMEOUT, told_at=later(90)) == []


async def test_it_is_told_once_with_its_deliveries(rig: Rig) -> None:
    await wanted(rig.store, MessageType.DISABLED)
    (due,) = await rig.store.alerts.due()
    ending = telling(due, 1)
    assert await rig.store.alerts.tell(due, ending, now=later(1)) == [False]
    before = rig.dump()
    assert await rig.store.alerts.tell(due, telling(due, 2), now=later(2)) is None
    assert rig.dump() == before
    delivery = await the_delivery(rig.store, ending.deliveries[0].id)
    assert (delivery.type, delivery.job_id, delivery.batch_id) == (MessageType.DISABLED, None, None)
    await rig.reopen()
    assert await rig.store.alerts.due() == []
    await wanted(rig.store, MessageType.DISABLED, at=5)
    (again,) = await rig.store.alerts.due()
    assert (again.wanted_at, again.told_at) == (later(5), later(1))


async def test_the_first_stands_until_it_is_told(store: Store) -> None:
    for at in (0, 10, 20):
        await wanted(store, MessageType.DEAD_DELIVERY, at=at)
    (due,) = await store.alerts.due()
    assert due.wanted_at == NOW


async def test_the_opposite_of_what_was_not_told_is_not_told(store: Store) -> None:
    await wanted(store, MessageType.BREAKER_OPENED)
    assert await store.alerts.failing() == {"archive"}
    await wanted(store, MessageType.RECOVERED)
    assert await told(store) == []
    assert await store.alerts.failing() == set()

    await wanted(store, MessageType.BREAKER_OPENED)
    assert await told(store, 1) == ["breaker_opened"]
    await wanted(store, MessageType.RECOVERED)
    assert await store.alerts.failing() == set()
    await wanted(store, MessageType.BREAKER_OPENED)
    assert await told(store, 2) == ["breaker_opened"]  # that it had recovered in between is over
    assert await store.alerts.failing() == {"archive"}
    await wanted(store, MessageType.RECOVERED)
    assert await told(store, 3) == ["recovered"]
    assert await store.alerts.failing() == set()


async def test_after_a_resume_failing_need_not_be_told_any_more_but_recovery_must(store: Store) -> None:
    await wanted(store, MessageType.DISABLED)
    await store.destinations.resume("archive")
    assert await told(store) == []
    await wanted(store, MessageType.DISABLED)
    assert await told(store, 1) == ["disabled"]
    await store.destinations.resume("archive")
    assert await store.alerts.failing() == {"archive"}
    await wanted(store, MessageType.RECOVERED)
    assert await told(store, 2) == ["recovered"]


async def test_where_nobody_is_there_it_counts_as_never_told(store: Store) -> None:
    await wanted(store, MessageType.DISABLED)
    (due,) = await store.alerts.due()
    assert await store.alerts.tell(due, None, now=NOW) == []
    assert await store.alerts.due() == []
    await wanted(store, MessageType.DISABLED, at=1)
    (due,) = await store.alerts.due()
    assert due.told_at is None


async def test_alerts_are_pruned_once_nothing_of_them_is_owed(rig: Rig) -> None:
    await wanted(rig.store, MessageType.DISABLED)
    (due,) = await rig.store.alerts.due()
    ending = telling(due, 1)
    await rig.store.alerts.tell(due, ending, now=later(1))
    last = "ffffffff-ffff-7fff-bfff-ffffffffffff"
    assert await rig.store.alerts.prune(last, 9) == 0
    await rig.store.deliveries.cancel(ending.deliveries[0].id)
    assert await rig.store.alerts.prune(ending.message.subject_id, 9) == 0
    assert await rig.store.alerts.prune(last, 9) == 1
    assert await rig.store.get_delivery(ending.deliveries[0].id) is None
    assert "alert_told" not in rig.rows()
