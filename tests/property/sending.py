"""The half of the machine of deliveries in which services act: jobs end, and what they owe is claimed and sent."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from pipeline.config.settings import RetrySpec
from pipeline.lifecycle import (
    after_attempt,
    after_sending_cancelled,
    after_sending_lost,
    after_sending_returned,
)
from pipeline.model import (
    HEALTHY,
    Attempt,
    ClaimedDelivery,
    Delivery,
    DeliveryDraft,
    DeliveryReason,
    DeliveryState,
    DestinationNote,
    Health,
    JobState,
    LastFailure,
    MessageType,
    Outcome,
    Verdict,
)
from pipeline.retry import policy
from pipeline.store.transactions.deliveries import Ending
from tests.property.machine import MOST, OWNERS, StoreMachine, of_the, some_of_the
from tests.property.model_of_deliveries import ModelOfDeliveries
from tests.property.model_of_destinations import ModelOfDestinations
from tests.support import samples
from tests.support.samples import DELIVERED, FAILED, REFUSED, RESULT, SUCCEEDED, UNAVAILABLE, failed, succeeded

KINDS = {"archive": "webhook", "index": "function", "oncall": "email"}
RECIPIENTS = {"archive": [""], "index": [""], "oncall": ["a@example.com", "b@example.com"]}
TARGETS = [(name, recipient) for name, recipients in RECIPIENTS.items() for recipient in recipients]
RULE = policy(RetrySpec(waits=(5.0, 120.0)))
DAY = timedelta(days=1)
Owed = list[tuple[tuple[str, str], str]]
"""What a job owes: ((destination, recipient), how it begins) of each delivery."""

destinations = st.sampled_from(sorted(KINDS))
owners = st.sampled_from(OWNERS)
targets = st.lists(
    st.tuples(st.sampled_from(TARGETS), st.sampled_from(["wait", "wait", "at once", "at once", "filtered"])),
    min_size=1,
    max_size=4,
    unique_by=lambda each: each[0],
)
some_targets = st.lists(targets, min_size=1, max_size=4)
"""Of one job after another: each its deliveries, and how they begin."""
OUTCOMES = {
    "delivered": DELIVERED,
    "unavailable": UNAVAILABLE,
    "asks to wait": replace(UNAVAILABLE, retry_after_s=600.0, pause_s=600.0),
    "wants nothing for a minute": replace(UNAVAILABLE, pause_s=60.0),
    "wants nothing for a day": replace(UNAVAILABLE, pause_s=86_400.0),
    "refused": REFUSED,
    "gone": replace(REFUSED, reason=DeliveryReason.GONE, disables="it answered 410"),
}
usual = ["delivered", "delivered", "unavailable", "unavailable"]
outcomes = st.sampled_from([*usual, *OUTCOMES])
GOES_BACK, KEEPS_IT = "gives it back", "has it in hand"
ways = outcomes | st.sampled_from([GOES_BACK, KEEPS_IT])


def sending(machine: "SendingMachine") -> list[str]:
    return sorted(machine.model.leases)


def outrun(machine: "SendingMachine") -> list[ClaimedDelivery]:
    """Return what somebody sent once under a lease that is held no more: where it is sent anew, by somebody else."""
    return [each for each in machine.stale if each.delivery.id in machine.model.leases] or machine.stale


def waited_for(machine: "SendingMachine") -> list[str]:
    """Return the destinations that take deliveries and have some pending."""
    return [name for name in machine.model.destinations.taking if machine.model.pending(name)]


def has(*states: DeliveryState) -> Callable[["SendingMachine"], bool]:
    """Return the precondition that a delivery stands in one of these states."""
    return lambda machine: any(each.state in states for each in machine.model.deliveries.values())


class SendingMachine(StoreMachine):
    """Jobs end, and what they owe is sent, put off, given up, held, cancelled, and sent again."""

    def __init__(self) -> None:
        super().__init__()
        self.model = ModelOfDeliveries(ModelOfDestinations(KINDS, configured=frozenset(KINDS)))
        self.stale: list[ClaimedDelivery] = []
        """What somebody was sending, and is not any more."""

    def compare(self) -> None:
        """Compare all that the store shows with the model."""

    # What is owed

    @initialize(owed=some_targets, owner=owners)
    def something_is_owed_already(self, owed: list[Owed], owner: str) -> None:
        self.jobs_end(owed, True, owner)

    @rule(owed=some_targets, is_well=st.booleans(), owner=owners)
    def jobs_end(self, owed: list[Owed], is_well: bool, owner: str) -> None:
        runs = []
        for targets_of_one in owed:
            job = samples.job(id=self.new("job"), function=self.new("function"), created_at=self.now)
            draft = samples.draft(id=job.id, function=job.function)
            lease = self.lease(owner)
            assert self.do(self.store.insert_job(draft, now=self.now, lease=lease))
            runs.append((job, lease.token, self.ending(job, targets_of_one, is_well, owner)))
        step, outcome = (SUCCEEDED, succeeded()) if is_well else (FAILED, failed())
        ends = [
            lambda job=job, token=token, ending=ending: self.store.finish_run(
                job, token, step, outcome, now=self.now, ending=ending
            )
            for job, token, ending in runs
        ]
        assert self.do_at_once(ends) == [self.model.end_job(ending) for *_, ending in runs]

    def ending(self, job: Any, owed: Owed, is_well: bool, owner: str) -> Ending:
        """Return what a job's end owes: so many deliveries, some to be sent at once if nothing waits before them."""
        drafts = [
            DeliveryDraft(
                id=self.new("delivery"),
                destination=name,
                kind=KINDS[name],
                max_attempts=RULE.max_attempts,
                recipient=recipient,
                is_filtered=how == "filtered",
            )
            for (name, recipient), how in owed
        ]
        may_go = self.model.destinations.taking
        leases = [self.lease(owner) if how == "at once" and name in may_go else None for (name, _), how in owed]
        facts = {"type": MessageType.JOB_SUCCEEDED, "state": JobState.SUCCEEDED, "result": RESULT}
        if not is_well:
            facts = {"type": MessageType.JOB_FAILED, "state": JobState.FAILED, "result": None}
        return samples.ending(
            job, *drafts, leases=tuple(leases), id=self.new("msg_"), ended_at=self.now, started_at=None, **facts
        )

    # Sending

    @precondition(waited_for)
    @rule(name=of_the(waited_for), most=st.integers(1, 4), by=st.sampled_from([OWNERS[:1], OWNERS]))
    def some_are_claimed(self, name: str, most: int, by: tuple[str, ...]) -> None:
        """By one owner, or by two at once."""
        leases = [self.lease(owner) for owner in by]
        claims = [
            lambda lease=lease: self.store.claim_deliveries(name, most, now=self.now, lease=lease) for lease in leases
        ]
        assert self.do_at_once(claims) == [self.model.claim(name, most, lease) for lease in leases]

    @precondition(sending)
    @rule(ids=some_of_the(sending), said=outcomes, is_taken_over=st.booleans())
    def attempts_are_recorded(self, ids: list[str], said: str, is_taken_over: bool) -> None:
        tried = []
        for claimed in map(self.model.sending, ids):
            delivery, outcome = claimed.delivery, OUTCOMES[said]
            child = None
            if is_taken_over and said == "delivered" and delivery.destination == "index":
                child = samples.draft(id=self.new("job"), function="child", parent_id=delivery.subject_id)
            step = after_attempt(delivery, outcome, RULE, self.now, 0.1)
            attempt = Attempt(
                number=delivery.attempt,
                trigger=delivery.trigger,
                started_at=self.now,
                duration_s=0.5,
                # What it says of its destination is noted there, and no part of the record.
                outcome=replace(outcome, pause_s=None, disables=""),
                next_attempt_at=step.due_at if step.state is DeliveryState.RETRYING else None,
                why=step.why,
            )
            tried.append((claimed, step, attempt, self.noted(delivery, outcome, step), child))
        self.record(tried)

    def noted(self, delivery: Delivery, outcome: Outcome, step: Any) -> DestinationNote:
        """Return what an attempt tells of its destination."""
        if outcome.verdict is Verdict.DELIVERED:
            return DestinationNote(succeeded_at=self.now, health=HEALTHY)
        disabled_at = self.now if outcome.disables else None
        return DestinationNote(
            not_before=None if outcome.pause_s is None else self.later(outcome.pause_s),
            failure=LastFailure(at=self.now, delivery_id=delivery.id, error=step.last_error),
            health=Health(failures=1, last=outcome.reason, disabled_at=disabled_at, disabled_because=outcome.disables),
        )

    @rule(turns=st.lists(st.tuples(destinations, st.integers(1, 3), ways), min_size=1, max_size=5))
    def a_service_takes_turns(self, turns: list[tuple[str, int, str]]) -> None:
        """Each claims what a destination is owed, and goes on with that in one way."""
        for name, most, way in turns:
            if name in waited_for(self):
                before = set(self.model.leases)
                self.some_are_claimed(name, most, OWNERS[:1])
                self.compare()
                mine = sorted(set(self.model.leases) - before)
                if way == GOES_BACK:
                    self.some_go_back_before_they_are_tried(mine, True)
                elif way != KEEPS_IT:
                    self.attempts_are_recorded(mine, way, True)

    @precondition(sending)
    @rule(ids=some_of_the(sending), is_wanted=st.booleans())
    def some_go_back_before_they_are_tried(self, ids: list[str], is_wanted: bool) -> None:
        found = [self.model.sending(each) for each in ids]
        step = (lambda each: after_sending_returned(each, self.now)) if is_wanted else after_sending_cancelled
        self.record([(each, step(each.delivery), None, None, None) for each in found])

    def record(self, tried: list[tuple[Any, ...]]) -> None:
        """Write what became of sendings, all at once."""
        writes = [
            lambda claimed=claimed, step=step, attempt=attempt, noted=noted, child=child: self.store.record_attempt(
                claimed.delivery, claimed.token, step, attempt, now=self.now, noted=noted, child=child
            )
            for claimed, step, attempt, noted, child in tried
        ]
        assert self.do_at_once(writes) == [self.model.record(*each) for each in tried]
        self.stale += [each[0] for each in tried]

    @precondition(lambda self: self.stale)
    @rule(claimed=of_the(outrun), said=outcomes)
    def a_stale_lease_changes_nothing(self, claimed: ClaimedDelivery, said: str) -> None:
        outcome = OUTCOMES[said]
        step = after_attempt(claimed.delivery, outcome, RULE, self.now, 0.0)
        child = samples.draft(id=self.new("job"), function="child", parent_id=claimed.delivery.subject_id)
        before = self.rig.dump()
        assert not self.do(
            self.store.record_attempt(
                claimed.delivery,
                claimed.token,
                step,
                samples.attempt(MOST, outcome),
                now=self.now,
                noted=DestinationNote(succeeded_at=self.now),
                child=child,
            )
        )
        assert self.rig.dump() == before

    @precondition(sending)
    @rule(owner=owners)
    def leases_are_renewed(self, owner: str) -> None:
        expires_at = self.later(30)
        held = self.do(self.store.renew_leases(owner, expires_at=expires_at))
        assert held == self.model.renew(owner, expires_at)

    def look_after_what_is_open(self) -> None:
        """Promote what is due, and rescue what was lost."""
        assert self.do(self.store.promote_due_deliveries(MOST, now=self.now)) == self.model.promote(self.now)
        self.compare()
        expired = self.do(self.store.expired_deliveries(now=self.now))
        assert set(expired) == self.model.expired(self.now)
        found = [self.model.sending(delivery.id) for delivery, _ in expired]
        self.record([(each, after_sending_lost(each.delivery, self.now), None, None, None) for each in found])
