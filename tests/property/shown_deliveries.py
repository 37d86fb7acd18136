"""What must hold after each step between the model and all that the store shows of deliveries.

Each check asks the reading verbs by itself; they are run side by side, so that the threads of the store change hands
as rarely as may be.
"""

import asyncio
from collections import Counter
from dataclasses import replace

from pipeline.model import DeliveryState
from pipeline.store import Store
from tests.property.machine import MOST, OWNERS
from tests.property.model_of_deliveries import ModelOfDeliveries
from tests.property.model_of_replays import ModelOfReplays

OPEN = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING)
LAST = "~"
"""Greater than every id."""


async def check(store: Store, replays: ModelOfReplays) -> None:
    """Compare all; what is asked for each row alone only of the rows that were changed."""
    model = replays.owing
    await asyncio.gather(
        every_delivery_is_there_once(store, model),
        nothing_is_left_of_what_is_gone(store, model),
        attempts_are_numbered_without_gaps_and_no_more_than_allowed(store, model),
        each_that_is_being_sent_has_one_owner(store, model),
        lists_show_each_under_its_state(store, model),
        what_is_open_or_dead_is_counted(store, model),
        jobs_count_their_deliveries(store, model),
        what_was_taken_over_has_its_one_job(store, model),
        destinations_are_as_they_were_left(store, model),
        messages_that_a_destination_never_got_are_found(store, model),
        replays_are_as_they_were_left(store, replays),
    )


async def every_delivery_is_there_once(store: Store, model: ModelOfDeliveries) -> None:
    """With all that is told of it; of one message, destination and recipient there is never a second one."""
    found = await store.list_deliveries(before=None, most=MOST)
    assert found == sorted(model.deliveries.values(), key=lambda each: each.id, reverse=True)
    assert max(Counter((each.message_id, each.destination, each.recipient) for each in found).values(), default=1) == 1


async def nothing_is_left_of_what_is_gone(store: Store, model: ModelOfDeliveries) -> None:
    """Neither it nor its attempts."""
    for delivery_id in model.gone & model.touched:
        assert await asyncio.gather(store.get_delivery(delivery_id), store.list_attempts(delivery_id)) == [None, []]


async def attempts_are_numbered_without_gaps_and_no_more_than_allowed(store: Store, model: ModelOfDeliveries) -> None:
    """Those that were returned, lost or cancelled before they began left none."""
    changed = [each for each in model.deliveries.values() if each.id in model.touched]
    found = await asyncio.gather(*[store.list_attempts(each.id) for each in changed])
    for each, attempts in zip(changed, found, strict=True):
        assert attempts == model.attempts.get(each.id, [])
        assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
        assert len(attempts) == each.attempt - (each.state is DeliveryState.SENDING)
        assert each.attempt <= each.max_attempts


async def each_that_is_being_sent_has_one_owner(store: Store, model: ModelOfDeliveries) -> None:
    """And nothing else has any."""
    leased = await asyncio.gather(*[store.leased_deliveries(owner) for owner in OWNERS])
    held = [(each, owner, token) for owner, pairs in zip(OWNERS, leased, strict=True) for each, token in pairs]
    assert Counter((each.id, owner, token) for each, owner, token in held) == Counter(
        (delivery_id, lease.owner, lease.token) for delivery_id, lease in model.leases.items()
    )
    assert {each for each, *_ in held} == {
        each for each in model.deliveries.values() if each.state is DeliveryState.SENDING
    }


async def lists_show_each_under_its_state(store: Store, model: ModelOfDeliveries) -> None:
    """As held what goes no further, and as pending what is claimed and has not begun: here what has an odd token."""
    unbegun = frozenset(delivery_id for delivery_id, lease in model.leases.items() if lease.token % 2)
    holding = replace(model.destinations.holding, unbegun=unbegun)
    lists = [store.list_deliveries(before=None, most=MOST, state=each, holding=holding) for each in DeliveryState]
    for state, shown in zip(DeliveryState, await asyncio.gather(*lists), strict=True):
        expected = {each.id for each in model.deliveries.values() if model.destinations.shown(each, unbegun) is state}
        assert {each.id for each in shown} == expected, state
    for name in model.destinations.kinds:
        shown = await store.list_deliveries(before=None, most=MOST, destination=name)
        assert {each.id for each in shown} == {each.id for each in model.to(name)}


async def what_is_open_or_dead_is_counted(store: Store, model: ModelOfDeliveries) -> None:
    """By destination and state."""
    there = Counter((each.destination, each.state) for each in model.deliveries.values())
    counted, surveyed, dead = await asyncio.gather(
        store.open_deliveries(), store.survey(), store.destinations.count_dead()
    )
    assert counted == surveyed.deliveries == {key: count for key, count in there.items() if key[1] in OPEN}
    assert dead == {name: count for (name, state), count in there.items() if state is DeliveryState.DEAD}


async def jobs_count_their_deliveries(store: Store, model: ModelOfDeliveries) -> None:
    """As they are now."""
    changed = {each.subject_id for each in model.deliveries.values() if each.id in model.touched}
    for job_id in changed:
        view = await store.get_job(job_id)
        assert view is not None
        assert view.deliveries == Counter((each.destination, each.state) for each in model.of_job(job_id))


async def what_was_taken_over_has_its_one_job(store: Store, model: ModelOfDeliveries) -> None:
    """The child of the job whose message it was."""
    views = await store.list_jobs(before=None, most=MOST, function="child")
    assert {view.job.id: view.job.parent_id for view in views} == model.children


async def destinations_are_as_they_were_left(store: Store, model: ModelOfDeliveries) -> None:
    """Paused, disabled, put off; how it went last; and those that were only ever owed something."""
    found = await store.destinations.list()
    assert {each.name: each for each in found} == model.destinations.statuses(model.deliveries.values())
    assert len({each.name for each in found}) == len(found)


async def messages_that_a_destination_never_got_are_found(store: Store, model: ModelOfDeliveries) -> None:
    """By those who would make up for that."""
    for name in model.destinations.kinds:
        found, _ = await store.replays.unsent(name, after=("", ""), since="", until=LAST, most=MOST)
        assert {each.id: each for each in found} == {each.id: each for each in model.unsent(name)}


async def replays_are_as_they_were_left(store: Store, replays: ModelOfReplays) -> None:
    """With how far they got, and how what they opened fares now."""
    found, running = await asyncio.gather(store.replays.list_all(before=None, most=MOST), store.replays.running())
    assert {each.id: each for each in found} == replays.replays
    assert {each.id for each in running} == {each.id for each in replays.running()}
    for replay_id in replays.replays:
        assert await store.replays.opened_by(replay_id) == replays.opened_by(replay_id)
