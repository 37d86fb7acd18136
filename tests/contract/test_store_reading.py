"""The contract of the store, reading: pages of lists, log lines, and what stands in each."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.model import DeliveryState, Holding, JobState, LogLine, Output, RunOutcome, RunState
from pipeline.store import Store
from tests.support import samples
from tests.support.samples import (
    FAILED,
    NOW,
    RETURNED,
    SUCCEEDED,
    attempt,
    delivery_draft,
    delivery_step,
    failed,
    later,
    lease,
    output,
    retrying,
    succeeded,
)
from tests.support.stores import ended, running, stored

MEGABYTE = 1024 * 1024


# Lists


async def test_jobs_are_paged_newest_first_and_may_be_filtered(store: Store) -> None:
    made = []
    for number in range(6):
        made.append(samples.draft(function="odd-background" if number % 2 else "even-background"))
        await store.insert_job(made[-1], now=NOW, lease=lease(number) if number >= 4 else None)
    newest = [draft.id for draft in reversed(made)]
    first = [view.job.id for view in await store.list_jobs(before=None, most=4)]
    second = [view.job.id for view in await store.list_jobs(before=first[-1], most=4)]
    assert first + second == newest
    assert await store.list_jobs(before=newest[-1], most=4) == []
    odd = await store.list_jobs(before=None, most=2, function="odd-background")
    assert [view.job.id for view in odd] == [newest[0], newest[2]]
    odd = await store.list_jobs(before=odd[-1].job.id, most=2, function="odd-background", state=JobState.QUEUED)
    assert [view.job.id for view in odd] == [newest[4]]
    assert await store.list_jobs(before=None, most=2, function="nothing") == []


async def test_a_new_job_does_not_move_a_page(store: Store) -> None:
    old = [await ended(store) for _ in range(3)]
    first = await store.list_jobs(before=None, most=2)
    await ended(store)
    second = await store.list_jobs(before=first[-1].job.id, most=2)
    assert [view.job.id for view in second] == [old[0].id]


async def test_every_state_of_a_job_can_be_asked_for(store: Store) -> None:
    (await store.insert_job(samples.draft(function="q"), now=NOW, lease=None))
    await running(store, token=1)
    for token, (step, outcome) in enumerate(
        [(SUCCEEDED, succeeded()), (FAILED, failed()), (retrying(60), failed()),
         (samples.job_step(JobState.CANCELLED, RunState.CANCELLED), RunOutcome(state=RunState.CANCELLED)),
         (samples.job_step(JobState.EXPIRED, RunState.FAILED), failed()),
         (samples.job_step(JobState.SCHEDULED, RunState.FAILED), failed())],
        start=2,
    ):  # fmt: skip
        job = await running(store, token=token)
        await store.finish_run(job, token, step, outcome, now=NOW)
    for state in JobState:
        assert [view.job.state for view in await store.list_jobs(before=None, most=9, state=state)] == [state]


async def test_a_job_comes_with_the_count_of_its_deliveries(store: Store) -> None:
    job = await ended(store, *(delivery_draft(recipient=to) for to in "abc"), delivery_draft(destination="index"))
    claimed = await store.claim_deliveries("archive", 2, now=NOW, lease=lease(1))
    step = delivery_step(DeliveryState.DELIVERED, delivered_at=NOW)
    assert await store.record_attempt(claimed[0].delivery, 1, step, attempt(), now=NOW)
    counts = {("archive", state): 1 for state in ("pending", "sending", "delivered")} | {("index", "pending"): 1}
    view = await store.get_job(job.id)
    assert view is not None
    assert view.deliveries == counts
    assert [view.deliveries for view in await store.list_jobs(before=None, most=9)] == [counts]
    assert await store.get_job(samples.new_id()) is None


async def test_deliveries_are_paged_newest_first_and_may_be_filtered(store: Store) -> None:
    drafts = [delivery_draft(destination=name) for name in ("a", "b", "a", "b")]
    jobs = [await ended(store, each) for each in drafts]
    newest = [each.id for each in reversed(drafts)]
    first = await store.list_deliveries(before=None, most=3)
    second = await store.list_deliveries(before=first[-1].id, most=3)
    assert [each.id for each in [*first, *second]] == newest
    assert [each.id for each in await store.list_deliveries(before=None, most=9, destination="a")] == newest[1::2]
    assert [each.id for each in await store.list_deliveries(before=None, most=9, job_id=jobs[2].id)] == [newest[1]]
    (claimed,) = await store.claim_deliveries("a", 1, now=NOW, lease=lease(1))
    for state, expected in ((DeliveryState.SENDING, [claimed.delivery.id]), (DeliveryState.PENDING, newest[:3])):
        assert [each.id for each in await store.list_deliveries(before=None, most=9, state=state)] == expected
    assert await store.list_deliveries(before=None, most=9, state=DeliveryState.SENDING, destination="b") == []


async def test_every_stored_state_of_a_delivery_can_be_asked_for(store: Store) -> None:
    states = [state for state in DeliveryState if state not in (DeliveryState.HELD, DeliveryState.PENDING)]
    for token, state in enumerate(states):
        await ended(store, delivery_draft(destination=state))
        (claimed,) = await store.claim_deliveries(state, 1, now=NOW, lease=lease(token))
        if state is not DeliveryState.SENDING:
            await store.record_attempt(claimed.delivery, token, delivery_step(state), attempt(), now=NOW)
    await ended(store, delivery_draft(destination="pending"))
    for state in [*states, DeliveryState.PENDING]:
        assert [each.destination for each in await store.list_deliveries(before=None, most=9, state=state)] == [state]


async def test_deliveries_are_listed_by_the_state_that_is_shown(store: Store) -> None:
    """What is owed to who takes none is held, in whatever open state it is stored, and is in no other list."""
    drafts = {}
    for token, name in enumerate(("well", "paused", "gone")):
        made = [delivery_draft(destination=name) for _ in range(3)]
        drafts[name] = [each.id for each in made]
        for draft in made:
            await ended(store, draft)
        first, _ = await store.claim_deliveries(name, 2, now=NOW, lease=lease(token))
        step = delivery_step(DeliveryState.RETRYING, due_at=later(60))
        assert await store.record_attempt(first.delivery, token, step, attempt(), now=NOW)
    await ended(store, dead := delivery_draft(destination="dead"))
    (claimed,) = await store.claim_deliveries("dead", 1, now=NOW, lease=lease(9))
    await store.record_attempt(claimed.delivery, 9, delivery_step(DeliveryState.DEAD), attempt(), now=NOW)
    holding = Holding(configured=frozenset({"well", "paused"}), stopped=frozenset({"paused"}))

    async def listed(state: DeliveryState, **options: Any) -> list[str]:
        found = await store.list_deliveries(before=None, most=9, state=state, holding=holding, **options)
        return [each.id for each in found]

    retrying, sending, pending = drafts["well"]
    assert await listed(DeliveryState.RETRYING) == [retrying]
    assert await listed(DeliveryState.SENDING) == [drafts["paused"][1], sending]  # that ends as it began
    assert await listed(DeliveryState.PENDING) == [pending]
    assert await listed(DeliveryState.DEAD) == [dead.id]
    held = [*reversed(drafts["gone"]), drafts["paused"][2], drafts["paused"][0]]
    assert await listed(DeliveryState.HELD) == held
    assert await listed(DeliveryState.HELD, destination="paused") == held[3:]
    assert await listed(DeliveryState.HELD, destination="well") == []
    pages = [await store.list_deliveries(before=None, most=2, state=DeliveryState.HELD, holding=holding)]
    while pages[-1]:
        before = pages[-1][-1].id
        pages.append(await store.list_deliveries(before=before, most=2, state=DeliveryState.HELD, holding=holding))
    assert [each.id for page in pages for each in page] == held
    everything = await store.list_deliveries(before=None, most=99, holding=holding)
    assert len(everything) == 10
    # What is claimed and has not begun is pending, unless it is held.
    holding = replace(holding, unbegun=frozenset({sending, drafts["gone"][1]}))
    assert await listed(DeliveryState.SENDING) == [drafts["paused"][1]]
    assert await listed(DeliveryState.PENDING) == [pending, sending]
    assert await listed(DeliveryState.PENDING, destination="paused") == []
    assert await listed(DeliveryState.HELD) == held
    page = await store.list_deliveries(before=pending, most=2, state=DeliveryState.PENDING, holding=holding)
    assert [each.id for each in page] == [sending]
    # Also where its destination has been stopped since it was claimed: it is about to go back.
    holding = replace(holding, unbegun=frozenset({drafts["paused"][1]}))
    assert await listed(DeliveryState.HELD) == [*reversed(drafts["gone"]), *reversed(drafts["paused"])]
    assert await listed(DeliveryState.SENDING) == [sending]


async def test_runs_are_paged_oldest_first(store: Store) -> None:
    job = await running(store, token=1)
    for token in range(1, 6):
        step = RETURNED if token < 5 else SUCCEEDED
        await store.finish_run(job, token, step, RunOutcome(state=step.run_state), now=later(token))
        for claimed in await store.claim_jobs(job.function, 1, now=NOW, lease=lease(token + 1)):
            job = claimed.job
    assert [run.run for run in await store.list_runs(job.id, after=0, most=3)] == [1, 2, 3]
    assert [(run.run, run.state) for run in await store.list_runs(job.id, after=3, most=3)] == [
        (4, RunState.RETURNED),
        (5, RunState.SUCCEEDED),
    ]
    assert await store.list_runs(samples.new_id(), after=0, most=3) == []


# Log lines


async def write(store: Store, *outputs: Output) -> str:
    """Store a job with a run for each of `outputs`; return its id."""
    job = await running(store, token=1)
    for token, each in enumerate(outputs, start=1):
        outcome = RunOutcome(state=RunState.RETURNED, output=each)
        assert await store.finish_run(job, token, RETURNED, outcome, now=NOW) == []
        (claimed,) = await store.claim_jobs(job.function, 1, now=NOW, lease=lease(token + 1))
        job = claimed.job
    return job.id


async def test_lines_are_numbered_on_over_the_runs_and_dropped_ones_are_counted(store: Store) -> None:
    job_id = await write(store, output("a", "b"), output(), output("c", dropped=10), output("d"))
    lines = await store.list_log(job_id, after=0, most=9)
    found = [(line.number, line.run, line.text) for line in lines]
    assert found == [(1, 1, "a"), (2, 1, "b"), (13, 3, "c"), (14, 4, "d")]
    assert lines[0] == LogLine(number=1, run=1, at=NOW, stream="stdout", level=None, text="a")


async def test_lines_are_paged_by_number_also_within_what_was_written_at_once(store: Store) -> None:
    job_id = await write(store, output(*(f"line {number}" for number in range(1, 8))), output("line 8"))
    found: list[LogLine] = []
    while page := await store.list_log(job_id, after=found[-1].number if found else 0, most=3):
        assert len(page) <= 3
        found += page
    assert [line.text for line in found] == [f"line {number}" for number in range(1, 9)]
    assert await store.list_log(job_id, after=99, most=3) == []
    assert await store.list_log(samples.new_id(), after=0, most=3) == []


@pytest.mark.parametrize("letter", ["x", "ä", "\u20ac"])
async def test_the_newest_8_mb_of_a_job_s_lines_are_kept(store: Store, letter: str) -> None:
    line = letter * (50_000 // len(letter.encode()))  # 50 kB, 21 to a megabyte
    runs = [output(*(f"{run}.{number} {line}" for number in range(60))) for run in range(1, 4)]
    job_id = await write(store, *runs, output("the last"))
    kept = await store.list_log(job_id, after=0, most=1000)
    size = sum(len(each.text.encode()) for each in kept)
    assert 7.5 * MEGABYTE < size <= 8 * MEGABYTE
    assert kept[-1] == LogLine(number=181, run=4, at=NOW, stream="stdout", level=None, text="the last")
    assert [each.number for each in kept] == list(range(182 - len(kept), 182))
    assert kept[0].text.startswith(f"1.{kept[0].number - 1} ")


async def test_a_job_s_lines_do_not_drop_another_s(store: Store) -> None:
    first = await write(store, output("kept"))
    second = await running(store, token=50, function="other-background")
    lines = tuple((NOW, "stderr", None, "x" * 60_000) for _ in range(150))
    await store.finish_run(second, 50, SUCCEEDED, replace(succeeded(), output=Output(lines=lines)), now=NOW)
    assert [line.text for line in await store.list_log(first, after=0, most=9)] == ["kept"]
    assert (await stored(store, second.id)).state is JobState.SUCCEEDED
