"""The contract of the store: whose a job, a batch and a delivery is."""

from pipeline.model import BatchDraft, BatchMessage, BatchState, Origin
from pipeline.store import Store
from pipeline.store.transactions.deliveries import Ending
from pipeline.store.transactions.ownership import Ownership, Subject
from tests.support import samples
from tests.support.samples import NOW, RESULT, SUCCEEDED, delivery_draft, later, lease, succeeded

FUNCTION = "extract-background"


async def test_a_job_and_its_deliveries_belong_to_who_made_it(store: Store) -> None:
    for owner in ("ci", None):
        draft = samples.draft(origin=Origin(owner=owner, key="k"))
        await store.insert_job(draft, now=NOW, lease=lease(1))
        view = await store.get_job(draft.id)
        assert view is not None
        owed = delivery_draft()
        ending = samples.ending(view.job, owed)
        await store.finish_run(view.job, 1, SUCCEEDED, succeeded(RESULT), now=NOW, ending=ending)
        assert await store.find_owner(Subject.JOB, draft.id) == Ownership(owner=owner, function=FUNCTION)
        assert await store.find_owner(Subject.DELIVERY, owed.id) == Ownership(owner=owner, function=FUNCTION)


async def test_a_batch_and_its_deliveries_belong_to_who_made_it(store: Store) -> None:
    draft = BatchDraft(
        id=samples.new_id(), function=FUNCTION, owner="ci", priority=5, created_at=NOW, closes_at=later(3600)
    )
    await store.batches.insert(draft)
    await store.batches.close(draft.id)
    found = await store.batches.get(draft.id)
    assert found is not None
    owed = delivery_draft()
    message = BatchMessage(id=f"msg_{samples.new_id()}", batch=found[0], ended_at=NOW, failures=())
    ending = Ending(message=message, deliveries=(owed,), leases=(None,))
    assert await store.batches.end(found[0], BatchState.COMPLETED, ending, now=NOW) is not None
    assert await store.find_owner(Subject.BATCH, draft.id) == Ownership(owner="ci", function=FUNCTION)
    assert await store.find_owner(Subject.DELIVERY, owed.id) == Ownership(owner="ci", function=FUNCTION)


async def test_what_is_not_there_is_nobody_s(store: Store) -> None:
    draft = samples.draft(origin=Origin(owner="ci"))
    await store.insert_job(draft, now=NOW, lease=None)
    for subject in Subject:
        assert await store.find_owner(subject, samples.new_id()) is None
        assert await store.find_owner(subject, "'; --") is None
    assert await store.find_owner(Subject.BATCH, draft.id) is None
    assert await store.find_owner(Subject.DELIVERY, draft.id) is None
