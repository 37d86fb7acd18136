"""Whatever is done to jobs and batches, and in whatever order: the store is as the model has it.

Here is what callers and operators do, what holds after each step, and what holds in the end.
"""

from collections.abc import Container, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from pipeline.lifecycle import BATCH_MOVES, JOB_MOVES, end_of_batch
from pipeline.model import BatchDraft, BatchState, DeliveryState, Job, JobState, Origin
from pipeline.store.transactions.pruning import Cutoffs
from tests.property.machine import MOST, OWNERS, SETTINGS, of_each_state, of_the
from tests.property.running import FUNCTIONS, RunningMachine, functions, has
from tests.property.shown_jobs import OPEN, check
from tests.support import samples
from tests.support.samples import DELIVERED, REFUSED, attempt, delivery_step

pytestmark = pytest.mark.timeout(400)  # Hypothesis makes what failed shorter, and gives up after 300 s

T = TypeVar("T")
DAY = timedelta(days=1)
items = st.dictionaries(st.integers(0, 3), st.sampled_from(["one", "another"]), min_size=1, max_size=2)
"""Of each index its digest."""
wishes = st.sampled_from(["cancel", "cancel", "delete", "expire", "prune", "prune"])


def jobs(machine: "JobsMachine") -> list[Job]:
    return list(machine.model.jobs.values())


def batches(machine: "JobsMachine") -> list[str]:
    return sorted(machine.model.batches.batches)


def done(machine: "JobsMachine") -> list[str]:
    """Return the batches that may end; where there are none, all."""
    return sorted(each.id for each in machine.model.batches.done()) or batches(machine)


class JobsMachine(RunningMachine):
    """Jobs, alone and in batches, are cancelled, tried again, told of, and deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs_before: dict[str, JobState] = {}
        self.batches_before: dict[str, BatchState] = {}

    # Callers and operators

    @precondition(jobs)
    @rule(job_id=of_each_state(jobs), wish=wishes)
    def a_job_is_to_go(self, job_id: str, wish: str) -> None:
        """Whether it stands where that can be done, or not."""
        if wish == "cancel":
            assert self.do(self.store.cancel_job(job_id, now=self.now)) == self.model.cancel(job_id, self.now)
        elif wish == "delete":
            assert self.do(self.store.delete_job(job_id)) == self.model.delete(job_id)
        elif wish == "expire":
            self.expire(self.model.jobs[job_id])
        else:
            self.prune()

    @precondition(jobs)
    @rule(job_id=of_each_state(jobs), tries=st.integers(1, 3))
    def one_is_tried_again(self, job_id: str, tries: int) -> None:
        assert self.do(self.store.reopen_job(job_id, tries, now=self.now)) == self.model.reopen(job_id, tries, self.now)

    @precondition(lambda self: any(owed[DeliveryState.PENDING] for owed in self.model.owed.values()))
    @rule(is_well=st.booleans())
    def what_they_owe_is_sent(self, is_well: bool) -> None:
        claimed = self.do(self.store.claim_deliveries("archive", MOST, now=self.now, lease=self.lease(OWNERS[0])))
        state, outcome = (DeliveryState.DELIVERED, DELIVERED) if is_well else (DeliveryState.DEAD, REFUSED)
        step = delivery_step(state)
        writes = [
            lambda each=each: self.store.record_attempt(
                each.delivery, each.token, step, attempt(1, outcome), now=self.now
            )
            for each in claimed
        ]
        assert all(self.do_at_once(writes))
        for owed in self.model.owed.values():
            owed[state] += owed.pop(DeliveryState.PENDING, 0)

    def prune(self) -> None:
        """What has outlived its retention goes."""
        cutoffs = Cutoffs(succeeded=self.now - DAY, failed=self.now - 5 * DAY, dead=self.now - 20 * DAY)
        assert self.do(self.store.prune("", MOST, cutoffs)) == (None, self.model.prune(cutoffs))
        assert self.do(self.store.prune_idempotency(MOST, now=self.now)) == self.model.prune_keys(self.now)

    # Batches

    @rule(function=functions, given=items, is_all=st.booleans())
    def a_batch_is_submitted(self, function: str, given: dict[int, str], is_all: bool) -> None:
        draft = BatchDraft(
            id=self.new("batch"),
            function=function,
            owner=None,
            priority=5,
            created_at=self.now,
            closes_at=self.later(60),
        )
        turn = self.model.next_turn(function, draft.priority)
        assert self.do(self.store.batches.insert(draft)) is None
        self.model.batches.begin(draft, turn)
        self.compare()
        for _ in range(2):  # the second time as by a caller who had no answer
            self.items_are_added(draft.id, given)
        if is_all:
            self.close(draft.id)
            self.end(draft.id)

    @precondition(batches)
    @rule(batch_id=of_the(batches), given=items)
    def items_are_added(self, batch_id: str, given: dict[int, str]) -> None:
        """Some of them for the second time."""
        function = self.model.batches.batches[batch_id].function
        drafts = []
        for index, digest in sorted(given.items()):
            job_id = self.new("job")
            facts = {"id": job_id, "event": job_id.encode(), "function": function, "origin": Origin(digest=digest)}
            # Every other one may wait for ten minutes only.
            max_age_s = 600.0 if index % 2 else None
            drafts.append(samples.draft(batch_id=batch_id, batch_index=index, max_age_s=max_age_s, **facts))
        there = self.of_batch(batch_id)
        expected = self.model.batches.add(
            batch_id,
            drafts,
            {each.batch_index: each.origin.digest for each in there},
            lambda draft, turn: self.model.insert(draft, self.now, None, turn),
        )
        assert self.do(self.store.batches.add_items(batch_id, drafts, now=self.now)) == expected

    @precondition(batches)
    @rule(batch_id=of_the(done) | of_the(batches), wish=st.sampled_from(["close", "cancel", "end", "try again"]))
    def a_batch_is_to_get_on(self, batch_id: str, wish: str) -> None:
        """Whether it stands where that can be done, or not."""
        if wish == "close":
            self.close(batch_id)
        elif wish == "cancel":
            self.cancel(batch_id)
        elif wish == "end":
            self.end(batch_id)
        else:
            self.try_again(batch_id)

    def close(self, batch_id: str) -> None:
        """All of it has come."""
        self.do(self.store.batches.close(batch_id))
        self.model.batches.close(batch_id)

    def cancel(self, batch_id: str) -> None:
        """It takes nothing more, and its jobs that wait are cancelled."""
        asked = self.model.batches.ask_to_cancel(batch_id)
        assert self.do(self.store.batches.ask_to_cancel(batch_id)) == asked
        if asked:
            there = self.of_batch(batch_id)
            waiting = [each.id for each in there if self.model.cancel(each.id, self.now)[1]]
            still = [each.id for each in there if each.state is JobState.RUNNING]
            found = self.do(self.store.batches.cancel_jobs(batch_id, MOST, now=self.now))
            assert tuple(map(sorted, found)) == (sorted(waiting), sorted(still))

    def end(self, batch_id: str) -> None:
        """It ends if all its jobs have."""
        batch = self.model.batches.batches[batch_id]
        state = end_of_batch(batch) or BatchState.COMPLETED
        expected = self.model.batches.end(batch, state, self.now)
        assert self.do(self.store.batches.end(batch, state, None, now=self.now)) == expected

    def try_again(self, batch_id: str) -> None:
        """Those of its jobs that failed or expired."""
        there = sorted(self.of_batch(batch_id), key=lambda each: each.batch_index)
        failed = [each.id for each in there if each.state in {JobState.FAILED, JobState.EXPIRED}]
        verb = self.store.batches.reopen_failed(batch_id, -1, MOST, 2, now=self.now)
        assert self.do(verb) == (None, sum(self.model.reopen(job_id, 2, self.now) for job_id in failed))

    @rule(function=functions, given=items, said=st.sampled_from(["succeeded", "rejected"]))
    def a_batch_is_worked_off(self, function: str, given: dict[int, str], said: str) -> None:
        """From its upload to its end, with all that waits for its function beside it."""
        self.a_batch_is_submitted(function, given, True)
        self.some_are_claimed(function, MOST, OWNERS)
        self.compare()
        self.runs_end(sorted(self.model.leases), said)
        self.compare()
        self.end(batches(self)[-1])

    def of_batch(self, batch_id: str) -> list[Job]:
        """Return the jobs of a batch."""
        return [each for each in jobs(self) if each.batch_id == batch_id]

    # What holds after each step

    @invariant()
    def compare(self) -> None:
        """All that the store shows is as the model has it, and moved only as the lifecycle allows."""
        assert not self.rig.fatal
        self.do(check(self.store, self.model))
        self.model.touched.clear()
        self.moved(self.jobs_before, self.model.jobs, JOB_MOVES)
        self.moved(self.batches_before, self.model.batches.batches, BATCH_MOVES)

    @staticmethod
    def moved(before: dict[str, T], rows: Mapping[str, Any], moves: Mapping[T, Container[T]]) -> None:
        """Compare the states of rows with those that they had."""
        for row_id, row in rows.items():
            was = before.get(row_id, row.state)
            assert row.state is was or row.state in moves[was], (row_id, was, row.state)
            before[row_id] = row.state

    # What holds in the end

    def see_that_nothing_is_stuck(self) -> None:
        """All that waits is claimed by somebody as time goes on, or has expired, batches end, and all goes."""
        self.model.touched |= set(self.model.jobs) | self.model.gone
        self.compare()
        for _ in range(MOST):
            if not has(*OPEN)(self):
                break
            self.now += DAY
            self.look_after_what_is_open()
            for function in FUNCTIONS:
                self.some_are_claimed(function, MOST, OWNERS)
            self.compare()
            self.runs_end(sorted(self.model.leases), "succeeded")
        for batch_id in batches(self):
            self.close(batch_id)
            self.compare()
            self.end(batch_id)
        survey = self.do(self.store.survey())
        assert (survey.jobs, survey.batches) == ({}, {})
        self.what_they_owe_is_sent(False)
        for days in (2, 4, 30):
            self.now += days * DAY
            self.prune()
            self.compare()
        assert self.rig.rows().keys() <= {"batch", "usage"}


def test_jobs_are_as_the_model_has_them_whatever_is_done() -> None:
    run_state_machine_as_test(JobsMachine, settings=settings(SETTINGS, max_examples=35))
