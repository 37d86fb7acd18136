"""Whatever is done to deliveries and destinations, and in whatever order: the store is as the model has it.

Here is what operators and the time do, what holds after each step, and what holds in the end.
"""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from pipeline.lifecycle import DELIVERY_MOVES, LOST_CAP
from pipeline.model import Addition, Delivery, DeliveryReason, DeliveryState, Reopening, Replay, ReplayOf, ReplayState
from pipeline.store.transactions.pruning import Cutoffs
from pipeline.store.transactions.replays import Portion
from tests.property.machine import MOST, OWNERS, SETTINGS, of_each_state, of_the
from tests.property.model_of_replays import ModelOfReplays
from tests.property.sending import DAY, KINDS, RECIPIENTS, RULE, SendingMachine, destinations, has
from tests.property.shown_deliveries import OPEN, check

pytestmark = pytest.mark.timeout(400)  # Hypothesis makes what failed shorter, and gives up after 300 s

some_of = st.frozensets(st.sampled_from(ReplayOf), min_size=1)
ends = st.sampled_from([ReplayState.COMPLETED, ReplayState.CANCELLED])


def deliveries(machine: "DeliveriesMachine") -> list[Delivery]:
    return list(machine.model.deliveries.values())


def put_off(machine: "DeliveriesMachine") -> list[str]:
    """Return the destinations that have something pending, more often those of what was tried or replayed before."""
    pending = [each for each in deliveries(machine) if each.state is DeliveryState.PENDING]
    return [each.destination for each in pending for _ in range(1 + 4 * bool(each.reason) + bool(each.replayed_at))]


def replays(machine: "DeliveriesMachine") -> list[str]:
    return sorted(machine.replays.replays)


class DeliveriesMachine(SendingMachine):
    """What is owed is put off, given up, held, cancelled, sent again, and in the end deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.replays = ModelOfReplays(self.model)
        self.before: dict[str, DeliveryState] = {}
        self.seen: list[Replay] = []
        """Replays as they were once."""

    # Operators

    @rule(name=destinations, becomes=st.sampled_from(["paused", "resumed", "unconfigured or back"]))
    def a_destination_is_changed(self, name: str, becomes: str) -> None:
        if becomes == "paused":
            for now in (self.now, self.later(1)):  # the second time changes nothing
                self.do(self.store.destinations.pause(name, KINDS[name], now=now))
                self.model.destinations.pause(name, now)
        elif becomes == "resumed":
            self.do(self.store.destinations.resume(name))
            self.model.destinations.resume(name)
        else:
            self.model.destinations.configured ^= {name}

    @precondition(deliveries)
    @rule(delivery_id=of_each_state(deliveries), wish=st.sampled_from(["cancel", "replay", "replay as another"]))
    def one_is_cancelled_or_replayed(self, delivery_id: str, wish: str) -> None:
        """Whether it stands where that can be done, or not."""
        if wish == "cancel":
            assert self.do(self.store.deliveries.cancel(delivery_id)) == self.model.cancel(delivery_id)
            return
        new = self.new("msg_") if wish == "replay as another" else None
        verb = self.store.deliveries.replay(delivery_id, 2, new_message_id=new, now=self.now)
        assert self.do(verb) == self.model.replay(delivery_id, 2, new, self.now)

    # Replays of destinations

    @rule(
        name=destinations,
        of=some_of,
        total=st.none() | st.integers(0, MOST),
        is_renewing=st.booleans(),
        tries=st.integers(1, 3),
        is_twice=st.booleans(),
    )
    def a_destination_is_replayed(
        self, name: str, of: frozenset[ReplayOf], total: int | None, is_renewing: bool, tries: int, is_twice: bool
    ) -> None:
        """By a new replay, or by the one that runs: that takes a step, a second time where it was not sure of it."""
        replay = Replay(
            id=self.new("replay"),
            destination=name,
            since=self.now - DAY,
            until=self.now,
            of=of,
            rate="50/s",
            is_renewing=is_renewing,
            state=ReplayState.RUNNING,
            created_at=self.now,
            total=total,
        )
        running = self.do(self.store.replays.insert(replay))
        assert running == self.replays.begin(replay)
        replay = running or replay
        portion = self.portion(replay)
        for _ in range(1 + is_twice):
            self.advance(replay, portion, tries)
        self.seen.append(replay)

    @precondition(lambda self: self.seen)
    @rule(at=st.integers(0, MOST))
    def one_that_went_on_or_has_ended_opens_nothing(self, at: int) -> None:
        replay = self.seen[at % len(self.seen)]
        before = self.rig.dump()
        self.advance(replay, self.portion(replay), 1)
        assert self.rig.dump() == before

    def portion(self, replay: Replay) -> Portion:
        """Return all that there is to a destination, of interest or not, and all that there is not."""
        name = replay.destination
        reopenings = [
            Reopening(delivery_id=each.id, new_message_id=self.new("msg_") if replay.is_renewing else None)
            for each in self.model.to(name)
        ]
        missing = self.model.messages.values() if ReplayOf.MISSING in replay.of else ()
        additions = [
            Addition(id=self.new("delivery"), message_id=each.id, subject_id=each.job_id, recipient=recipient)
            for each in missing
            for recipient in RECIPIENTS[name]
        ]
        return Portion(cursor=self.new("cursor"), reopenings=reopenings, additions=additions)

    def advance(self, replay: Replay, portion: Portion, tries: int) -> None:
        verb = self.store.replays.advance(
            replay, portion, kind=KINDS[replay.destination], max_attempts=tries, now=self.now
        )
        opened = self.do(verb)
        expected = self.replays.advance(replay, portion, tries, self.now)
        assert (None if opened is None else set(opened)) == expected

    @precondition(replays)
    @rule(replay_id=of_the(replays), state=ends)
    def a_replay_ends(self, replay_id: str, state: ReplayState) -> None:
        self.seen.append(self.replays.replays[replay_id])
        verb = self.store.replays.end(replay_id, state, now=self.now)
        assert self.do(verb) == self.replays.end(replay_id, state, self.now)

    # Time, and retention

    @precondition(put_off)
    @rule(name=of_the(put_off), days=st.sampled_from([0.0, 0.5, 3.0]))
    def what_has_waited_too_long_is_ended(self, name: str, days: float) -> None:
        before, reason = self.now - days * DAY, DeliveryReason.ABORTED
        ended = self.do(self.store.deliveries.end_overdue(name, MOST, before=before, reason=reason))
        assert sorted(ended, key=lambda each: each.id) == self.model.end_overdue(name, before, reason)

    @precondition(lambda self: deliveries(self) and len(self.model.jobs) > 1)
    @rule(delivery_id=st.none() | of_each_state(deliveries))
    def a_job_is_deleted_or_what_has_outlived_its_retention(self, delivery_id: str | None) -> None:
        if delivery_id is None:
            self.prune()
            return
        job_id = self.model.deliveries[delivery_id].subject_id
        assert self.do(self.store.delete_job(job_id)) == self.model.delete(job_id)

    def prune(self) -> None:
        """What has outlived its retention goes."""
        cutoffs = Cutoffs(succeeded=self.now - DAY, failed=self.now - 5 * DAY, dead=self.now - 20 * DAY)
        assert self.do(self.store.prune("", MOST, cutoffs)) == (None, self.model.prune(cutoffs))

    # What holds after each step

    @invariant()
    def compare(self) -> None:
        """All that the store shows is as the model has it, and moved only as the lifecycle allows."""
        assert not self.rig.fatal
        self.do(check(self.store, self.replays))
        self.model.touched.clear()
        after = {each.id: each.state for each in self.model.deliveries.values()}
        for delivery_id, state in after.items():
            before = self.before.get(delivery_id, state)
            assert state is before or state in DELIVERY_MOVES[before], (delivery_id, before, state)
        self.before = after

    # What holds in the end

    def see_that_nothing_is_stuck(self) -> None:
        """All that is owed to a destination that takes it is claimed as time goes on, and in the end all goes."""
        self.model.touched |= set(self.model.deliveries) | self.model.gone
        self.compare()
        for name in KINDS:
            self.a_destination_is_changed(name, "resumed")
        for _ in range(LOST_CAP + RULE.max_attempts):
            if not has(*OPEN)(self):
                break
            self.now += DAY
            self.look_after_what_is_open()
            for name in KINDS:
                self.some_are_claimed(name, MOST, OWNERS)
            self.compare()
            self.attempts_are_recorded(sorted(self.model.leases), "delivered", True)
        assert self.do(self.store.open_deliveries()) == {}
        for days in (2, 30):
            self.now += days * DAY
            self.prune()
            self.compare()
        assert not self.rig.rows().keys() & {"message", "delivery", "attempt", "run", "log"}


def test_deliveries_are_as_the_model_has_them_whatever_is_done() -> None:
    run_state_machine_as_test(DeliveriesMachine, settings=SETTINGS)
