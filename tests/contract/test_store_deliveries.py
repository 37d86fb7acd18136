"""The contract of the store, deliveries: claims, attempts, promotion, leases. Asks nothing but the verbs."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.lifecycle import DeliveryStep
from pipeline.model import (
    DeliveryReason,
    DeliveryState,
    DestinationNote,
    DestinationStatus,
    Health,
    LastError,
    LastFailure,
    MessageType,
    Outcome,
    Verdict,
)
from pipeline.store import Store
from tests.support import samples
from tests.support.samples import (
    DELIVERED,
    FAILED,
    NOW,
    SUCCEEDED,
    UNAVAILABLE,
    attempt,
    delivery_draft,
    delivery_step,
    ending,
    failed,
    later,
    lease,
    succeeded,
)
from tests.support.stores import Rig, ended, running, sending, the_delivery

DONE = delivery_step(DeliveryState.DELIVERED, delivered_at=NOW)
BACK = delivery_step(DeliveryState.PENDING, attempt=0)
LAST_ERROR = LastError(reason=DeliveryReason.HTTP_ERROR, message="503 Service Unavailable", status=503)


def again(seconds: float) -> DeliveryStep:
    """Return the step of a failed attempt that is made again in `seconds`."""
    return delivery_step(
        DeliveryState.RETRYING, due_at=later(seconds), reason=DeliveryReason.HTTP_ERROR, last_error=LAST_ERROR
    )


# Insert


async def test_deliveries_are_claimed_on_insert_only_where_none_is_pending(store: Store) -> None:
    await ended(store, delivery_draft(destination="busy"))
    job = await running(store, token=5)
    drafts = [delivery_draft(destination=name) for name in ("busy", "idle", "unasked", "twice", "twice")]
    drafts[4] = replace(drafts[4], recipient="second")
    leases = (lease(1), lease(2), None, lease(3), lease(4))
    owed = ending(job, *drafts, leases=leases)
    claimed = await store.finish_run(job, 5, SUCCEEDED, succeeded(), now=NOW, ending=owed)
    assert claimed == [False, True, False, True, True]
    shown = [(found.state, found.attempt) for found in [await the_delivery(store, each.id) for each in drafts]]
    assert shown == [("pending", 0), ("sending", 1), ("pending", 0), ("sending", 1), ("sending", 1)]
    assert {token for _, token in await store.leased_deliveries(samples.OWNER)} == {2, 3, 4}


async def test_an_inserted_delivery_has_all_that_was_given(store: Store) -> None:
    given = delivery_draft(destination="index", kind="function", recipient="x", max_attempts=4)
    job = await ended(store, given)
    found = await the_delivery(store, given.id)
    assert found == samples.delivery(
        id=given.id, message_id=found.message_id, subject_id=job.id, destination="index", kind="function",
        recipient="x", state=DeliveryState.PENDING, attempt=0, max_attempts=4,
    )  # fmt: skip


async def test_a_message_has_one_delivery_for_each_destination_and_recipient(rig: Rig, store: Store) -> None:
    job = await running(store, token=5)
    before = rig.dump()
    owed = ending(job, delivery_draft(recipient="a"), delivery_draft(recipient="a"))
    with pytest.raises(Exception, match="UNIQUE"):
        await store.finish_run(job, 5, SUCCEEDED, succeeded(), now=NOW, ending=owed)
    assert rig.dump() == before
    owed = ending(job, *(delivery_draft(destination=name, recipient=to) for name in ("x", "y") for to in ("a", "b")))
    assert await store.finish_run(job, 5, SUCCEEDED, succeeded(), now=NOW, ending=owed) == [False] * 4


# Claim


async def test_claims_take_the_oldest_of_their_destination(store: Store) -> None:
    drafts = [delivery_draft() for _ in range(3)]
    for each in reversed(drafts):
        await ended(store, each)
    await ended(store, delivery_draft(destination="other"))
    claimed = await store.claim_deliveries("archive", 2, now=NOW, lease=lease(1))
    assert [each.delivery.id for each in claimed] == [each.id for each in drafts[:2]]
    assert [(each.delivery.state, each.delivery.attempt, each.token) for each in claimed] == [("sending", 1, 1)] * 2
    claimed = await store.claim_deliveries("archive", 2, now=NOW, lease=lease(2))
    assert [each.delivery.id for each in claimed] == [drafts[2].id]
    assert await store.claim_deliveries("archive", 2, now=NOW, lease=lease(3)) == []


@pytest.mark.parametrize("with_result", [True, False])
async def test_a_claim_brings_the_message_as_it_was_written(store: Store, with_result: bool) -> None:
    job = await running(store, token=5, tags=("x", "y"), parent_id=samples.new_id(), depth=3)
    result = samples.RESULT if with_result else None
    facts = {"type": MessageType.JOB_FAILED, "state": "failed", "reason": "timeout", "error": samples.ERROR}
    owed = ending(job, delivery_draft(), result=result, attempt=2, started_at=None, ended_at=later(3), **facts)
    await store.finish_run(job, 5, FAILED, failed(result=result), now=NOW, ending=owed)
    (claimed,) = await store.claim_deliveries("archive", 1, now=NOW, lease=lease(1))
    assert claimed.message == owed.message
    assert claimed.delivery.type is MessageType.JOB_FAILED


# Attempts


async def test_a_delivered_attempt_ends_the_delivery(store: Store) -> None:
    claimed = await sending(store)
    outcome = Outcome(
        verdict=Verdict.DELIVERED, status=204, headers=(("x", "1"), ("x", "2")), body=b"\xff", remote_address="::1"
    )
    assert await store.record_attempt(claimed.delivery, 1, DONE, attempt(outcome=outcome), now=NOW)
    done = await the_delivery(store, claimed.delivery.id)
    assert (done.state, done.attempt, done.delivered_at, done.reason, done.last_error) == (
        "delivered", 1, NOW, None, None,
    )  # fmt: skip
    assert await store.list_attempts(done.id) == [attempt(outcome=outcome)]
    assert await store.leased_deliveries(samples.OWNER) == []


async def test_a_failed_attempt_is_recorded_and_due_again(store: Store) -> None:
    claimed = await sending(store)
    outcome = replace(UNAVAILABLE, retry_after_s=1.5)
    record = attempt(outcome=outcome, next_attempt_at=later(30))
    assert await store.record_attempt(claimed.delivery, 1, again(30), record, now=NOW)
    waiting = await the_delivery(store, claimed.delivery.id)
    assert (waiting.state, waiting.reason, waiting.last_error, waiting.due_at) == (
        "retrying", "http_error", LAST_ERROR, later(30),
    )  # fmt: skip
    assert await store.list_attempts(waiting.id) == [record]


async def test_attempts_are_numbered_without_gaps_whatever_was_given_back(store: Store) -> None:
    claimed = await sending(store, token=1)
    steps: list[tuple[DeliveryStep, Outcome | None]] = [
        (BACK, None),
        (again(1), UNAVAILABLE),
        (delivery_step(DeliveryState.PENDING, attempt=1, lost=1), None),
        (delivery_step(DeliveryState.DELIVERED, attempt=2, lost=1, delivered_at=NOW), DELIVERED),
    ]
    for token, (step, outcome) in enumerate(steps, start=1):
        delivery = claimed.delivery
        record = outcome and attempt(delivery.attempt, outcome)
        assert await store.record_attempt(delivery, token, step, record, now=NOW)
        if step.state is not DeliveryState.DELIVERED:
            await store.promote_due_deliveries(1, now=later(9))
            (claimed,) = await store.claim_deliveries("archive", 1, now=NOW, lease=lease(token + 1))
    assert [each.number for each in await store.list_attempts(claimed.delivery.id)] == [1, 2]
    done = await the_delivery(store, claimed.delivery.id)
    assert (done.attempt, done.lost, done.state) == (2, 1, "delivered")
    assert done.last_error == LAST_ERROR  # what went wrong before is still told


@pytest.mark.parametrize("is_recorded", [False, True])
@pytest.mark.parametrize("step", [DONE, BACK, again(5)], ids=lambda step: step.state)
async def test_an_attempt_with_stale_lease_changes_nothing(
    rig: Rig, store: Store, is_recorded: bool, step: DeliveryStep
) -> None:
    claimed = await sending(store, token=1)
    if is_recorded:
        await store.record_attempt(claimed.delivery, 1, again(5), attempt(outcome=UNAVAILABLE), now=NOW)
    before = rig.dump()
    token = 1 if is_recorded else 2
    assert not await store.record_attempt(claimed.delivery, token, step, attempt(2), now=later(9))
    assert rig.dump() == before


async def test_a_token_of_an_earlier_sending_is_stale_in_the_next(rig: Rig, store: Store) -> None:
    claimed = await sending(store, token=1)
    await store.record_attempt(claimed.delivery, 1, BACK, None, now=NOW)
    await store.claim_deliveries("archive", 1, now=NOW, lease=lease(2))
    before = rig.dump()
    assert not await store.record_attempt(claimed.delivery, 1, DONE, attempt(), now=NOW)
    assert rig.dump() == before


async def test_a_destination_s_last_success_is_noted_where_that_is_asked_for(store: Store) -> None:
    for token, (seconds, is_noted) in enumerate(((0.0, True), (5.0, False), (9.0, True))):
        claimed = await sending(store, token=token)
        await store.record_attempt(
            claimed.delivery,
            token,
            DONE,
            attempt(),
            now=later(seconds),
            noted=DestinationNote(succeeded_at=later(seconds)) if is_noted else None,
        )
        at = later(seconds if is_noted else 0.0)
        assert await store.destinations.list() == [
            DestinationStatus(name="archive", kind="webhook", last_success_at=at)
        ]


async def test_a_stale_success_is_not_noted(rig: Rig, store: Store) -> None:
    claimed = await sending(store, token=1)
    before = rig.dump()
    assert not await store.record_attempt(
        claimed.delivery, 2, DONE, attempt(), now=NOW, noted=DestinationNote(succeeded_at=NOW)
    )
    assert rig.dump() == before


async def test_every_destination_that_is_owed_something_is_known_with_its_kind(store: Store) -> None:
    await ended(store, delivery_draft(destination="new", kind="email"))
    claimed = await sending(store, destination="failing")
    await store.record_attempt(claimed.delivery, 1, again(5), attempt(outcome=UNAVAILABLE), now=NOW)
    found = sorted((each.name, each.kind, each.last_success_at) for each in await store.destinations.list())
    assert found == [("failing", "webhook", None), ("new", "email", None)]


# Promotion, leases, counts


async def test_what_is_due_becomes_pending_and_the_next_moment_is_told(store: Store) -> None:
    for token, (seconds, name) in enumerate(((5.0, "a"), (30.0, "b"), (30.5, "a"), (90.0, "a"))):
        claimed = await sending(store, token=token, destination=name)
        await store.record_attempt(claimed.delivery, token, again(seconds), attempt(outcome=UNAVAILABLE), now=NOW)
    assert await store.promote_due_deliveries(9, now=later(4.9)) == ({}, later(5))
    assert await store.promote_due_deliveries(1, now=later(40)) == ({"a": 1}, later(30))
    assert await store.promote_due_deliveries(9, now=later(40)) == ({"a": 1, "b": 1}, later(90))
    assert await store.promote_due_deliveries(9, now=later(90)) == ({"a": 1}, None)
    assert await store.open_deliveries() == {("a", "pending"): 3, ("b", "pending"): 1}


async def test_leases_of_sendings_are_renewed_and_expire(store: Store) -> None:
    claimed = await sending(store, token=3)
    held = (claimed.delivery, 3)
    assert await store.leased_deliveries(samples.OWNER) == [held]
    assert await store.leased_deliveries("another") == []
    assert await store.expired_deliveries(now=later(30)) == []
    assert await store.expired_deliveries(now=later(30.001)) == [held]
    job = await running(store, token=4)
    assert await store.renew_leases(samples.OWNER, expires_at=later(60)) == {(claimed.delivery.id, 3), (job.id, 4)}
    assert await store.expired_deliveries(now=later(59)) == []
    assert await store.renew_leases("another", expires_at=later(90)) == set()
    await store.record_attempt(claimed.delivery, 3, DONE, attempt(), now=NOW)
    assert await store.renew_leases(samples.OWNER, expires_at=later(90)) == {(job.id, 4)}


async def test_open_deliveries_are_counted_by_destination_and_state(store: Store) -> None:
    steps: Sequence[tuple[str, DeliveryStep]] = [("a", again(5)), ("a", DONE), ("b", again(5)), ("b", again(5))]
    for token, (name, step) in enumerate(steps):
        claimed = await sending(store, token=token, destination=name)
        await store.record_attempt(claimed.delivery, token, step, attempt(), now=NOW)
    await sending(store, token=9, destination="b")
    await ended(store, delivery_draft(destination="a"), delivery_draft(destination="c"))
    assert await store.open_deliveries() == {
        ("a", "retrying"): 1,
        ("b", "retrying"): 2,
        ("b", "sending"): 1,
        ("a", "pending"): 1,
        ("c", "pending"): 1,
    }
    assert await store.open_deliveries(["a", "nobody"]) == {("a", "retrying"): 1, ("a", "pending"): 1}
    assert await store.open_deliveries([]) == {}
    assert await store.deliveries.count_pending() == {"a": 1, "c": 1}
    assert await store.deliveries.count_pending(["b", "c"]) == {"c": 1}


# Destinations


async def test_what_is_claimed_before_a_delivery_is_counted(store: Store) -> None:
    for _ in range(4):
        await ended(store, delivery_draft(destination="busy"), delivery_draft(destination="idle"))
    listed = await store.list_deliveries(before=None, most=100, destination="busy")
    oldest_first = [each.id for each in listed[::-1]]
    count = store.deliveries.count_ahead
    assert await count("busy", oldest_first) == dict(zip(oldest_first, range(4), strict=True))
    await store.claim_deliveries("busy", 1, now=NOW, lease=lease(1))
    assert await count("busy", [oldest_first[3], oldest_first[1]]) == {oldest_first[1]: 0, oldest_first[3]: 2}


async def test_a_pause_is_noted_once_and_taken_back(store: Store) -> None:
    await store.destinations.pause("archive", "webhook", now=NOW)
    await store.destinations.pause("archive", "webhook", now=later(5))
    (status,) = await store.destinations.list()
    assert status == DestinationStatus(name="archive", kind="webhook", last_success_at=None, paused_at=NOW)
    await store.destinations.resume("archive")
    assert [each.paused_at for each in await store.destinations.list()] == [None]
    await store.destinations.resume("nobody")


async def test_what_a_clock_got_wrong_is_corrected_and_all_else_of_a_destination_stays(store: Store) -> None:
    await store.destinations.pause("archive", "webhook", now=NOW)
    claimed = await sending(store, token=1)
    health = Health(failures=2, failing_since=later(9), opened_at=later(9), probe_at=later(90))
    noted = DestinationNote(succeeded_at=later(1), not_before=later(500), health=health)
    await store.record_attempt(claimed.delivery, 1, DONE, attempt(), now=later(1), noted=noted)
    (stored,) = await store.destinations.list()
    corrected = replace(stored, not_before=later(100), health=replace(health, opened_at=NOW, probe_at=later(30)))
    await store.destinations.correct(corrected)
    assert await store.destinations.list() == [corrected]


async def test_a_success_leaves_a_pause_as_it_is(store: Store) -> None:
    await store.destinations.pause("archive", "webhook", now=NOW)
    claimed = await sending(store, token=1)
    await store.record_attempt(
        claimed.delivery, 1, DONE, attempt(), now=later(1), noted=DestinationNote(succeeded_at=later(1))
    )
    (status,) = await store.destinations.list()
    assert (status.last_success_at, status.paused_at) == (later(1), NOW)


async def test_of_two_moments_before_which_a_destination_wants_nothing_the_later_holds(store: Store) -> None:
    for token, seconds in ((1, 60), (2, 30)):
        claimed = await sending(store, token=token)
        await store.record_attempt(
            claimed.delivery, token, DONE, attempt(), now=NOW, noted=DestinationNote(not_before=later(seconds))
        )
    (status,) = await store.destinations.list()
    assert status.not_before == later(60)


async def test_the_last_failure_is_kept_and_the_dead_are_counted(store: Store) -> None:
    first = LastFailure(at=NOW, delivery_id="a", error=LAST_ERROR)
    error = LastError(reason=DeliveryReason.HTTP_ERROR, message="413 Too Large", status=413)
    last = LastFailure(at=later(1), delivery_id="b", error=error)
    notes = (DestinationNote(failure=first), DestinationNote(failure=last), DestinationNote(succeeded_at=later(2)))
    for token, (noted, step) in enumerate(zip(notes, (again(5), delivery_step(DeliveryState.DEAD), DONE), strict=True)):
        claimed = await sending(store, token=token)
        await store.record_attempt(claimed.delivery, token, step, attempt(), now=NOW, noted=noted)
    await store.destinations.resume("archive")
    (status,) = await store.destinations.list()
    assert (status.last_failure, status.last_success_at) == (last, later(2))
    assert await store.destinations.count_dead() == await store.destinations.count_dead(["archive"]) == {"archive": 1}
    assert await store.destinations.count_dead(["index"]) == {}
