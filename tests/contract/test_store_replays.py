"""The contract of the store, replays of destinations: what they open and how far they got change together."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.ids import first_id_at
from pipeline.model import (
    Addition,
    Delivery,
    DeliveryState,
    Message,
    Reopening,
    Replay,
    ReplayOf,
    ReplayState,
)
from pipeline.store import Store
from pipeline.store.transactions.replays import Opened, Portion
from tests.support import samples
from tests.support.samples import DELIVERED, NOW, UNAVAILABLE, attempt, delivery_draft, delivery_step, later, lease
from tests.support.stores import Rig, ended, sending, the_delivery

LAST = "ffffffff-ffff-7fff-bfff-ffffffffffff"


def replay(**changes: Any) -> Replay:
    """Return a replay of dead deliveries to `archive` that begins."""
    begins = Replay(
        id=samples.new_id(),
        destination="archive",
        since=NOW,
        until=later(60),
        of=frozenset({ReplayOf.DEAD}),
        rate="50/s",
        is_renewing=False,
        state=ReplayState.RUNNING,
        created_at=NOW,
    )
    return replace(begins, **changes)


async def begun(store: Store, **changes: Any) -> Replay:
    """Store a replay, and return it."""
    given = replay(**changes)
    assert await store.replays.insert(given) is None
    return given


async def dead(store: Store, **changes: Any) -> Delivery:
    """Store a delivery that is dead after its first attempt."""
    claimed = await sending(store, **changes)
    step = delivery_step(DeliveryState.DEAD, max_attempts=1)
    assert await store.record_attempt(claimed.delivery, claimed.token, step, attempt(1, UNAVAILABLE), now=NOW)
    return await the_delivery(store, claimed.delivery.id)


async def step(store: Store, given: Replay, cursor: str, *reopenings: Reopening, **more: Any) -> list[Opened] | None:
    """Have a replay open deliveries and move on to `cursor`."""
    portion = Portion(cursor=cursor, reopenings=reopenings, **more)
    return await store.replays.advance(given, portion, kind="webhook", max_attempts=5, now=later(100))


async def test_a_replay_comes_back_as_it_was_stored(store: Store, rig: Rig) -> None:
    of = frozenset({ReplayOf.DEAD, ReplayOf.MISSING})
    given = await begun(store, of=of, rate="20/m", is_renewing=True)
    await rig.reopen()
    assert await rig.store.replays.get(given.id) == given
    assert await rig.store.replays.running() == [given]
    assert await rig.store.replays.get(samples.new_id()) is None


async def test_of_one_destination_one_replay_runs_at_a_time(store: Store) -> None:
    first, second, other = await begun(store), replay(), await begun(store, destination="index")
    assert await store.replays.insert(second) == first
    assert await store.replays.get(second.id) is None
    assert await store.replays.end(first.id, ReplayState.COMPLETED, now=later(5))
    assert await store.replays.insert(second) is None
    everything = await store.replays.list_all(before=None, most=9)
    assert [each.id for each in everything] == sorted([first.id, second.id, other.id], reverse=True)
    of_one = await store.replays.list_all(before=None, most=9, destination="archive")
    assert {each.id for each in of_one} == {first.id, second.id}
    (before,) = await store.replays.list_all(before=max(first.id, second.id), most=1, destination="archive")
    assert before.id == min(first.id, second.id)


async def test_what_is_opened_has_the_full_schedule_again_and_its_history(store: Store) -> None:
    given, one = await begun(store), await dead(store)
    opened = await step(store, given, "1", Reopening(delivery_id=one.id))
    assert opened == [Opened(delivery_id=one.id, subject_id=one.subject_id, is_of_batch=False, was_pending=False)]
    now = await the_delivery(store, one.id)
    assert (now.state, now.reason, now.attempt, now.spent, now.max_attempts) == (DeliveryState.PENDING, None, 1, 1, 6)
    assert (now.due_at, now.replayed_at) == (later(100), later(100))
    assert now.trigger == "replay"
    assert len(await store.list_attempts(one.id)) == 1
    after = await store.replays.get(given.id)
    assert after is not None
    assert (after.cursor, after.done, after.skipped, after.state) == ("1", 1, 0, ReplayState.RUNNING)


async def test_what_a_replay_was_the_last_to_open_is_counted_by_state(store: Store) -> None:
    first, one, two = await begun(store), await dead(store), await dead(store)
    assert await step(store, first, "1", Reopening(delivery_id=one.id), Reopening(delivery_id=two.id))
    assert await store.replays.opened_by(first.id) == {("archive", DeliveryState.PENDING): 2}
    assert await store.deliveries.cancel(one.id)
    assert await store.replays.opened_by(first.id) == {
        ("archive", DeliveryState.PENDING): 1,
        ("archive", DeliveryState.CANCELLED): 1,
    }
    assert await store.replays.end(first.id, ReplayState.COMPLETED, now=later(5))
    second = await begun(store, of=frozenset({ReplayOf.CANCELLED}))
    assert await step(store, second, "1", Reopening(delivery_id=one.id))
    assert await store.replays.opened_by(second.id) == {("archive", DeliveryState.PENDING): 1}
    assert await store.replays.opened_by(first.id) == {("archive", DeliveryState.PENDING): 1}


async def test_a_delivery_knows_whether_its_last_replay_was_of_it_alone_also_after_a_restart(
    store: Store, rig: Rig
) -> None:
    one = await dead(store)
    assert one.trigger == "auto"
    assert await store.deliveries.replay(one.id, 1, now=later(1))
    await rig.reopen()
    (claimed,) = await rig.store.claim_deliveries("archive", 1, now=later(2), lease=lease(2))
    assert claimed.delivery.trigger == (await the_delivery(rig.store, one.id)).trigger == "manual"
    again = delivery_step(DeliveryState.DEAD, attempt=2)
    assert await rig.store.record_attempt(claimed.delivery, 2, again, attempt(2, UNAVAILABLE), now=later(2))
    assert await step(rig.store, await begun(rig.store), "1", Reopening(delivery_id=one.id))
    assert (await the_delivery(rig.store, one.id)).trigger == "replay"


async def test_a_step_is_taken_once(store: Store) -> None:
    given, one = await begun(store), await dead(store)
    assert await step(store, given, "1", Reopening(delivery_id=one.id))
    (claimed,) = await store.claim_deliveries("archive", 1, now=NOW, lease=lease(2))
    again = delivery_step(DeliveryState.DEAD, attempt=2)
    await store.record_attempt(claimed.delivery, 2, again, attempt(2, UNAVAILABLE), now=NOW)
    assert await step(store, given, "1", Reopening(delivery_id=one.id)) is None
    assert (await the_delivery(store, one.id)).state is DeliveryState.DEAD


async def test_a_replay_that_has_ended_opens_nothing(store: Store) -> None:
    given, one = await begun(store), await dead(store)
    assert await store.replays.end(given.id, ReplayState.CANCELLED, now=later(5))
    assert not await store.replays.end(given.id, ReplayState.COMPLETED, now=later(6))
    assert await step(store, given, "1", Reopening(delivery_id=one.id)) is None
    assert (await the_delivery(store, one.id)).state is DeliveryState.DEAD
    after = await store.replays.get(given.id)
    assert after is not None
    assert (after.state, after.ended_at) == (ReplayState.CANCELLED, later(5))


async def test_what_has_moved_on_is_skipped(store: Store) -> None:
    given, one = await begun(store), await dead(store)
    assert await store.deliveries.replay(one.id, 3, now=later(1))
    assert await step(store, given, "1", Reopening(delivery_id=one.id), Reopening(delivery_id=samples.new_id())) == []
    after = await store.replays.get(given.id)
    assert after is not None
    assert (after.done, after.skipped) == (0, 2)
    assert (await the_delivery(store, one.id)).max_attempts == 4


async def test_more_than_were_counted_raise_the_total(store: Store) -> None:
    given, one, two = await begun(store), await dead(store), await dead(store)
    await store.replays.note_total(given.id, 1)
    opened = await step(store, given, "1", *[Reopening(delivery_id=each.id) for each in (one, two)])
    assert len(opened or ()) == 2
    after = await store.replays.get(given.id)
    assert after is not None
    assert (after.total, after.done, after.skipped) == (2, 2, 0)
    assert await step(store, after, "2", Reopening(delivery_id=one.id)) == []
    after = await store.replays.get(given.id)
    assert after is not None
    assert (after.total, after.done, after.skipped) == (3, 2, 1)


@pytest.mark.parametrize(("state", "skipped"), [(ReplayState.COMPLETED, 4), (ReplayState.CANCELLED, 1)])
async def test_what_was_counted_and_was_not_found_has_moved_on_unless_nobody_looked(
    store: Store, state: ReplayState, skipped: int
) -> None:
    given, one = await begun(store), await dead(store)
    await store.replays.note_total(given.id, 5)
    await step(store, given, "1", Reopening(delivery_id=one.id), Reopening(delivery_id=samples.new_id()))
    assert await store.replays.end(given.id, state, now=later(5))
    after = await store.replays.get(given.id)
    assert after is not None
    assert (after.total, after.done, after.skipped) == (5, 1, skipped)


@pytest.mark.parametrize("of", [ReplayOf.DELIVERED, ReplayOf.DEAD])
async def test_only_states_that_are_named_are_opened(store: Store, of: ReplayOf) -> None:
    given = await begun(store, of=frozenset({of}))
    claimed = await sending(store)
    delivered = delivery_step(DeliveryState.DELIVERED, delivered_at=NOW)
    await store.record_attempt(claimed.delivery, claimed.token, delivered, attempt(1, DELIVERED), now=NOW)
    opened = await step(store, given, "1", Reopening(delivery_id=claimed.delivery.id))
    assert bool(opened) == (of is ReplayOf.DELIVERED)


async def test_held_opens_what_waits_and_nothing_that_is_being_sent(store: Store) -> None:
    given = await begun(store, of=frozenset({ReplayOf.HELD}))
    claimed = await sending(store)
    waiting = delivery_draft()
    await ended(store, waiting)
    opened = await step(
        store, given, "1", Reopening(delivery_id=claimed.delivery.id), Reopening(delivery_id=waiting.id)
    )
    assert [(each.delivery_id, each.was_pending) for each in opened or ()] == [(waiting.id, True)]


async def test_a_new_message_id_is_what_is_sent_and_stays(store: Store) -> None:
    given, one = await begun(store, is_renewing=True), await dead(store)
    new = f"msg_{samples.new_id()}"
    await step(store, given, "1", Reopening(delivery_id=one.id, new_message_id=new))
    (claimed,) = await store.claim_deliveries("archive", 1, now=NOW, lease=lease(2))
    assert (claimed.message.id, claimed.delivery.message_id) == (new, one.message_id)
    await store.record_attempt(
        claimed.delivery, 2, delivery_step(DeliveryState.DEAD, attempt=2), attempt(2, UNAVAILABLE), now=NOW
    )
    assert await store.deliveries.replay(one.id, 3, now=later(1))
    (claimed,) = await store.claim_deliveries("archive", 1, now=NOW, lease=lease(3))
    assert claimed.message.id == new


# Missing


async def unsent(store: Store, destination: str = "index", **changes: Any) -> list[Message]:
    """Return the messages without a delivery to a destination that ended within a minute."""
    given: dict[str, Any] = {"after": ("", ""), "since": first_id_at(NOW), "until": LAST, "most": 100} | changes
    found, _ = await store.replays.unsent(destination, **given)
    assert all(isinstance(each, Message) for each in found)
    return [each for each in found if isinstance(each, Message)]


async def test_messages_without_a_delivery_are_found_and_get_one(store: Store) -> None:
    job = await ended(store, delivery_draft(destination="archive"))
    (message,) = await unsent(store)
    assert (message.job_id, message.function) == (job.id, job.function)
    assert await store.replays.result_of(message) == samples.RESULT
    given = await begun(store, destination="index", of=frozenset({ReplayOf.MISSING}))
    new = Addition(id=samples.new_id(), message_id=message.id, subject_id=job.id, recipient="")
    assert await step(store, given, "m", additions=[new]) == [
        Opened(delivery_id=new.id, subject_id=job.id, is_of_batch=False, was_pending=False)
    ]
    made = await the_delivery(store, new.id)
    assert (made.destination, made.kind, made.state, made.type) == ("index", "webhook", "pending", "job.succeeded")
    assert (made.attempt, made.max_attempts, made.message_id) == (0, 5, message.id)
    assert (made.created_at, made.replayed_at, made.trigger) == (later(100), later(100), "replay")
    assert await unsent(store) == []
    (claimed,) = await store.claim_deliveries("index", 1, now=NOW, lease=lease(9))
    assert claimed.message == replace(message, result=samples.RESULT)


async def test_a_delivery_that_is_there_or_whose_message_has_gone_is_not_made(store: Store, rig: Rig) -> None:
    there, gone = await ended(store, delivery_draft()), await ended(store, delivery_draft(destination="other"))
    (message,) = [each for each in await unsent(store, "nobody") if each.job_id == there.id]
    (claimed,) = await store.claim_deliveries("other", 1, now=NOW, lease=lease(9))
    step_to = delivery_step(DeliveryState.DELIVERED, delivered_at=NOW)
    await store.record_attempt(claimed.delivery, 9, step_to, attempt(), now=NOW)
    await store.delete_job(gone.id)
    given = await begun(store, of=frozenset({ReplayOf.MISSING}))
    additions = [
        Addition(id=samples.new_id(), message_id=each, subject_id=subject, recipient="")
        for each, subject in ((message.id, there.id), (claimed.message.id, gone.id))
    ]
    assert await step(store, given, "m", additions=additions) == []
    assert rig.rows()["delivery"] == 1


async def test_the_search_goes_on_behind_what_it_saw_and_keeps_to_its_time(store: Store) -> None:
    jobs = [(await ended(store, delivery_draft())).id for _ in range(5)]
    given: dict[str, Any] = {"since": first_id_at(NOW), "until": LAST, "most": 2}
    after: tuple[str, str] | None = ("", "")
    found = []
    while after is not None:
        messages, after = await store.replays.unsent("index", after=after, **given)
        found += [each.subject_id for each in messages]
    assert sorted(found) == sorted(jobs)
    assert await unsent(store, since=first_id_at(later(1e6))) == []
    assert await unsent(store, until=first_id_at(NOW)) == []


async def test_deliveries_are_walked_in_order_between_two_ids(store: Store) -> None:
    drafts = [delivery_draft() for _ in range(4)]
    await ended(store, *[replace(each, recipient=each.id) for each in drafts])
    await ended(store, delivery_draft(destination="index"))
    found = await store.replays.deliveries("archive", after=drafts[0].id, below=drafts[3].id, most=9)
    assert found == [(drafts[1].id, DeliveryState.PENDING), (drafts[2].id, DeliveryState.PENDING)]
    assert len(await store.replays.deliveries("archive", after="", below=LAST, most=3)) == 3


async def test_a_total_is_noted_once_and_ended_replays_are_pruned(store: Store, rig: Rig) -> None:
    given, other = await begun(store), await begun(store, destination="index")
    for total in (7, 8):
        await store.replays.note_total(given.id, total)
    after = await store.replays.get(given.id)
    assert after is not None
    assert after.total == 7
    await store.replays.end(given.id, ReplayState.COMPLETED, now=later(5))
    assert await store.replays.prune(10, ended_before=later(5)) == 0
    assert await store.replays.prune(10, ended_before=later(6)) == 1
    assert await store.replays.running() == [other]
    assert rig.rows()["replay"] == 1
