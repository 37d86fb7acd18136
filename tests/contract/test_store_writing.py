"""The contract of the store, writing: many at once, one that raises, callers that go away, and what a restart finds."""

import asyncio
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.model import JobState
from pipeline.store import Store
from tests.support import samples
from tests.support.samples import NOW, SUCCEEDED, delivery_draft, draft, ending, later, lease, succeeded
from tests.support.stores import Rig, all_of, ended, opened, running, stored


async def test_many_writers_at_once_all_have_their_change(store: Store) -> None:
    drafts = [draft() for _ in range(1000)]
    claimed = await all_of(*(store.insert_job(each, now=NOW, lease=lease(1)) for each in drafts))
    assert sum(claimed) == 1000  # nothing ever waited
    found = await store.leased_jobs(samples.OWNER)
    assert {job.id for job, _ in found} == {each.id for each in drafts}


async def test_no_row_is_claimed_twice_by_claims_at_once(store: Store) -> None:
    for _ in range(40):
        await store.insert_job(draft(), now=NOW, lease=None)
    claims = await all_of(
        *(store.claim_jobs("extract-background", 3, now=NOW, lease=lease(token)) for token in range(30))
    )
    claimed = [each.job.id for claim in claims for each in claim]
    assert len(claimed) == len(set(claimed)) == 40


async def test_a_verb_that_raises_takes_no_neighbour_with_it(rig: Rig, store: Store) -> None:
    twice = draft()
    good = [draft() for _ in range(20)]
    verbs = [store.insert_job(each, now=NOW, lease=None) for each in (*good[:10], twice, twice, *good[10:])]
    answers = await all_of(*verbs)
    assert [answer for answer in answers if answer is not False] == [answers[11]]
    assert isinstance(answers[11], StoreError)
    assert "UNIQUE" in str(answers[11])
    assert {view.job.id for view in await store.list_jobs(before=None, most=99)} == {each.id for each in (*good, twice)}
    assert rig.fatal == []


async def test_what_ran_before_a_neighbour_raised_is_not_done_twice(store: Store) -> None:
    """A group that failed runs again verb by verb: a claim in it must come out as one claim."""
    waiting = draft()
    await store.insert_job(waiting, now=NOW, lease=None)
    job = await running(store, token=9, function="other-background")
    claim = store.claim_jobs(waiting.function, 1, now=NOW, lease=lease(1))
    owed = ending(job, delivery_draft(), delivery_draft())
    broken = store.finish_run(job, 9, SUCCEEDED, succeeded(), now=NOW, ending=owed)
    claimed, error = await all_of(claim, broken)
    assert isinstance(error, StoreError)
    assert (claimed[0].job.run, claimed[0].job.attempt) == (1, 1)
    assert await stored(store, waiting.id) == claimed[0].job


async def test_the_write_of_a_caller_that_went_away_is_committed(rig: Rig, store: Store) -> None:
    gone = draft()
    writing = asyncio.ensure_future(store.insert_job(gone, now=NOW, lease=None))
    await asyncio.sleep(0)  # the verb is in the queue
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await store.insert_job(draft(), now=NOW, lease=None)  # after it in the queue
    assert (await stored(store, gone.id)).state is JobState.QUEUED
    await rig.reopen()
    assert (await stored(rig.store, gone.id)).state is JobState.QUEUED


async def test_everything_is_there_after_closing_and_opening_again(rig: Rig) -> None:
    await ended(rig.store, delivery_draft(), outcome=succeeded(samples.RESULT, "hello"))
    held = await running(rig.store, token=4)
    before = rig.dump()
    await rig.reopen()
    assert rig.dump() == before
    assert await rig.store.leased_jobs(samples.OWNER) == [(held, 4)]


async def test_closing_commits_what_is_queued(rig: Rig) -> None:
    drafts = [draft() for _ in range(300)]
    writing = [asyncio.ensure_future(rig.store.insert_job(each, now=NOW, lease=None)) for each in drafts]
    await asyncio.sleep(0)
    await rig.store.close()
    assert await all_of(*writing) == [False] * 300
    rig.store = Store(rig.path, rig.fatal.append)
    assert await rig.store.queued_jobs() == {"extract-background": 300}


async def test_a_write_after_closing_is_refused_and_hangs_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path / "closed.db") as rig:
        closed = rig.store
        await rig.reopen()
        async with asyncio.timeout(2):
            with pytest.raises(StoreError, match="closed"):
                await closed.insert_job(draft(), now=NOW, lease=None)


async def test_moments_keep_their_microseconds(store: Store) -> None:
    at = later(0.000001)
    given = draft()
    await store.insert_job(given, now=at, lease=None)
    assert (await stored(store, given.id)).created_at == at
