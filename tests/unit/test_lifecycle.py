"""The tables of moves, and the steps of jobs and batches: every outcome of a run in every state of the counters."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.settings import RetrySpec
from pipeline.lifecycle import (
    BATCH_MOVES,
    DELIVERY_MOVES,
    JOB_MOVES,
    LOST_CAP,
    after_expiry,
    after_loss,
    after_run,
    end_of_batch,
    lost_wait_s,
)
from pipeline.model import BatchState, DeliveryState, JobReason, JobState, MessageType, RunOutcome, RunState
from pipeline.retry import Policy, policy
from tests.support import samples
from tests.support.samples import NOW, RESULT, later
from tests.support.strategies import policies

JOB_ALLOWED = """
    scheduled -> queued cancelled expired
    queued    -> running cancelled expired
    running   -> succeeded failed cancelled retrying queued
    retrying  -> queued cancelled
    succeeded ->
    failed    -> queued
    cancelled -> queued
    expired   -> queued
"""
DELIVERY_ALLOWED = """
    pending   -> sending cancelled dead
    sending   -> delivered dead retrying pending cancelled
    retrying  -> pending cancelled
    delivered -> pending
    dead      -> pending
    skipped   ->
    cancelled -> pending
    held      ->
"""


def table(text: str) -> dict[str, set[str]]:
    rows = (line.partition("->") for line in text.strip().splitlines())
    return {state.strip(): set(moves.split()) for state, _, moves in rows}


MINUTES = policy(RetrySpec(waits=(60.0, 120.0)))
RUN_OUTCOMES = {
    "succeeded": samples.succeeded(),
    "failed": samples.failed(),
    "timed out": samples.failed(JobReason.TIMEOUT),
    "bad status": samples.failed(JobReason.BAD_STATUS, result=RESULT),
    "rejected": samples.failed(JobReason.REJECTED, is_final=True),
    "returned": RunOutcome(state=RunState.RETURNED),
    "lost": RunOutcome(state=RunState.LOST),
    "cancelled": RunOutcome(state=RunState.CANCELLED),
}
outcomes = st.sampled_from(sorted(RUN_OUTCOMES)).map(RUN_OUTCOMES.__getitem__)


# The tables


TABLES = [
    pytest.param((JOB_MOVES, JOB_ALLOWED, JobState), id="job"),
    pytest.param((DELIVERY_MOVES, DELIVERY_ALLOWED, DeliveryState), id="delivery"),
]


@pytest.mark.parametrize("moves", TABLES)
def test_every_pair_of_states_is_a_move_or_not_as_the_table_says(moves: Any) -> None:
    allowed, text, states = moves
    expected = table(text)
    for one, other in product(states, states):
        assert (other in allowed[one]) == (other in expected[one]), (one, other)
    assert set(allowed) == set(states) == set(expected)


def test_an_ended_job_moves_only_into_a_new_round() -> None:
    for state in JobState:
        if state.is_final:
            assert JOB_MOVES[state] <= {JobState.QUEUED}


def test_every_state_can_be_reached_and_every_open_one_can_be_left() -> None:
    reached = {state for moves in JOB_MOVES.values() for state in moves}
    assert set(JobState) - reached == {JobState.SCHEDULED}  # where some jobs begin
    assert all(JOB_MOVES[state] for state in JobState if not state.is_final)
    sent = {state for moves in DELIVERY_MOVES.values() for state in moves}
    # Skipped ones begin there; held is only shown.
    assert set(DeliveryState) - sent == {DeliveryState.SKIPPED, DeliveryState.HELD}


# Runs

FULL = [
    # outcome, attempt -> state, run, attempt, message, due in
    ("succeeded", 1, "succeeded", "succeeded", 1, "job.succeeded", None),
    ("succeeded", 3, "succeeded", "succeeded", 3, "job.succeeded", None),
    ("failed", 1, "retrying", "failed", 1, None, 60),
    ("failed", 2, "retrying", "failed", 2, None, 120),
    ("failed", 3, "failed", "failed", 3, "job.failed", None),
    ("timed out", 1, "retrying", "failed", 1, None, 60),
    ("timed out", 3, "failed", "failed", 3, "job.failed", None),
    ("bad status", 2, "retrying", "failed", 2, None, 120),
    ("bad status", 3, "failed", "failed", 3, "job.failed", None),
    ("rejected", 1, "failed", "failed", 1, "job.failed", None),
    ("rejected", 3, "failed", "failed", 3, "job.failed", None),
    ("returned", 1, "queued", "returned", 0, None, 0),
    ("returned", 3, "queued", "returned", 2, None, 0),
    ("lost", 1, "queued", "lost", 0, None, 0),
    ("lost", 3, "queued", "lost", 2, None, 0),
    ("cancelled", 1, "cancelled", "cancelled", 1, None, None),
    ("cancelled", 3, "cancelled", "cancelled", 3, None, None),
]


@pytest.mark.parametrize(("outcome", "attempt", "state", "run", "after", "message", "due_s"), FULL)
def test_what_follows_a_run(
    outcome: str, attempt: int, state: str, run: str, after: int, message: str | None, due_s: float | None
) -> None:
    job = samples.job(attempt=attempt, run=attempt, due_at=later(-9))
    step = after_run(job, RUN_OUTCOMES[outcome], MINUTES, NOW)
    assert (step.state, step.run_state, step.attempt, step.message) == (state, run, after, message)
    assert step.due_at == (job.due_at if due_s is None else later(due_s))
    failure = RUN_OUTCOMES[outcome]
    expected = (failure.reason, failure.error) if failure.state is RunState.FAILED else (None, None)
    assert (step.reason, step.error) == expected


def test_retries_of_runs_are_exact() -> None:
    due = [after_run(samples.job(attempt=number), samples.failed(), MINUTES, NOW).due_at for number in (1, 2)]
    assert due == [NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)]


def test_a_failure_past_max_age_is_the_last() -> None:
    rule = policy(RetrySpec(waits=(60.0, 60.0), max_age=100.0))
    job = samples.job()
    assert after_run(job, samples.failed(), rule, later(40)).state is JobState.RETRYING
    assert after_run(job, samples.failed(), rule, later(41)).state is JobState.FAILED


def test_a_run_that_still_runs_decides_nothing() -> None:
    with pytest.raises(ValueError, match="still runs"):
        after_run(samples.job(), RunOutcome(state=RunState.RUNNING), MINUTES, NOW)


@pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.QUEUED])
def test_a_job_that_was_not_started_in_time_ends_without_a_run(state: JobState) -> None:
    job = samples.job(state=state, attempt=0, run=0, started_at=None)
    step = after_expiry(job)
    assert step.state in JOB_MOVES[state]
    assert (step.state, step.run_state, step.message) == (JobState.EXPIRED, None, "job.failed")
    assert (step.reason, step.error, step.attempt, step.lost) == (None, None, 0, 0)


@given(st.integers(1, 20), st.integers(0, LOST_CAP - 1), policies, outcomes, st.floats(0, 10**6))
def test_every_step_of_a_run_is_an_allowed_move_with_true_counters(
    attempt: int, lost: int, rule: Policy, outcome: RunOutcome, age_s: float
) -> None:
    job = samples.job(attempt=attempt, lost=lost)
    now = later(age_s)
    step = after_run(job, outcome, rule, now)
    assert step.state in JOB_MOVES[JobState.RUNNING]
    unspent = outcome.state in (RunState.RETURNED, RunState.LOST)
    assert step.attempt == attempt - unspent
    assert step.lost == lost + (outcome.state is RunState.LOST)
    assert step.run_state == outcome.state
    assert (step.message is not None) == (step.state in (JobState.SUCCEEDED, JobState.FAILED))
    if step.state is JobState.RETRYING:
        assert step.due_at > now
        assert unspent or attempt < rule.max_attempts
    if outcome.is_final:
        assert step.state is JobState.FAILED
    assert (step.reason is None) == (step.error is None)


def test_a_policy_that_was_shortened_is_not_said_to_allow_less_than_was_made() -> None:
    step = after_run(samples.job(attempt=3), samples.failed(), policy(RetrySpec(waits=())), NOW)
    assert (step.state, step.max_attempts, step.why) == (JobState.FAILED, 3, "attempt 3 of 3 was the last")


@given(policies, st.lists(outcomes, max_size=60))
def test_no_history_spends_more_attempts_than_there_are(rule: Policy, history: list[RunOutcome]) -> None:
    job = samples.job(state=JobState.QUEUED, attempt=0, run=0)
    counted = dict.fromkeys((RunState.LOST, RunState.RETURNED), 0)
    now = NOW
    for outcome in history:
        job = replace(job, state=JobState.RUNNING, attempt=job.attempt + 1, run=job.run + 1)
        assert 1 <= job.attempt <= rule.max_attempts
        step = after_run(job, outcome, rule, now)
        if outcome.state in counted:
            counted[outcome.state] += 1
        now = max(now, step.due_at)
        job = replace(job, state=step.state, attempt=step.attempt, lost=step.lost)
        assert job.run == job.attempt + sum(counted.values())
        assert job.lost == counted[RunState.LOST] <= LOST_CAP
        if job.state.is_final:
            return


# Losses


def test_lost_rows_wait_longer_and_longer() -> None:
    assert [lost_wait_s(lost) for lost in range(1, 10)] == [0, 0, 0, 1, 10, 60, 60, 60, 60]


@pytest.mark.parametrize("lost", range(LOST_CAP))
def test_the_tenth_loss_is_the_last(lost: int) -> None:
    job = samples.job(attempt=2, run=lost + 2, lost=lost)
    step = after_loss(job, NOW)
    assert (step.attempt, step.lost, step.run_state) == (1, lost + 1, RunState.LOST)
    if lost + 1 == 10:
        assert (step.state, step.reason, step.message) == (JobState.FAILED, JobReason.LOST, MessageType.JOB_FAILED)
        assert step.error is not None
        assert "10 runs of this job were lost" in step.error.message
    else:
        waits = lost_wait_s(lost + 1)
        assert step.state == (JobState.RETRYING if waits else JobState.QUEUED)
        assert (step.due_at, step.reason, step.message) == (later(waits), None, None)


# Batches


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"total": 3, "succeeded": 3}, BatchState.COMPLETED),
        ({"total": 0}, BatchState.COMPLETED),
        ({"total": 3, "succeeded": 2}, None),
        ({"total": 3, "succeeded": 2, "failed": 1}, BatchState.COMPLETED_WITH_FAILURES),
        ({"total": 3, "succeeded": 2, "expired": 1}, BatchState.COMPLETED_WITH_FAILURES),
        ({"total": 3, "succeeded": 2, "cancelled": 1}, BatchState.COMPLETED_WITH_FAILURES),
        ({"total": 3, "succeeded": 2, "cancelled": 1, "is_cancelled": True}, BatchState.CANCELLED),
        ({"total": 3, "succeeded": 3, "is_cancelled": True}, BatchState.COMPLETED),  # the results came first
        ({"total": 3, "succeeded": 3, "state": BatchState.RECEIVING}, None),
        ({"total": 3, "succeeded": 3, "state": BatchState.COMPLETED}, None),
    ],
)
def test_how_a_batch_ends(changes: dict[str, Any], state: BatchState | None) -> None:
    batch = samples.batch(**changes)
    assert end_of_batch(batch) is state
    assert state is None or state in BATCH_MOVES[batch.state]
