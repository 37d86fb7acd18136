"""What must be true of batches: their counters say at any moment how their jobs have ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pipeline.lifecycle import end_of_batch
from pipeline.model import Batch, BatchDraft, BatchState, JobDraft, JobState
from pipeline.store.transactions.batches import Added

OPEN = frozenset({BatchState.RECEIVING, BatchState.RUNNING})


@dataclass
class ModelOfBatches:
    """Batches and the items that each has."""

    batches: dict[str, Batch] = field(default_factory=dict)
    first_turns: dict[str, int] = field(default_factory=dict)

    def begin(self, draft: BatchDraft, turn: int) -> None:
        """It has no jobs yet."""
        none = dict.fromkeys(("total", "succeeded", "failed", "cancelled", "expired"), 0)
        self.batches[draft.id] = Batch(
            id=draft.id,
            function=draft.function,
            state=BatchState.RECEIVING,
            round=1,
            owner=draft.owner,
            is_cancelled=False,
            created_at=draft.created_at,
            ended_at=None,
            **none,
        )
        self.first_turns[draft.id] = turn

    def add(
        self,
        batch_id: str,
        drafts: Sequence[JobDraft],
        known: dict[int | None, str | None],
        insert: Callable[[JobDraft, int], object],
    ) -> list[Added]:
        """Each index is taken once; what was sent again is told from what is different."""
        batch = self.batches[batch_id]
        takes_more = batch.state in OPEN and not batch.is_cancelled
        added = []
        for draft in drafts:
            if draft.batch_index in known:
                is_same = known[draft.batch_index] == draft.origin.digest
                added.append(Added.SAME if is_same else Added.DIFFERENT)
            elif takes_more:
                insert(draft, self.first_turns[batch_id] + (draft.batch_index or 0))
                added.append(Added.NEW)
            else:
                added.append(Added.CLOSED)
        self.batches[batch_id] = replace(batch, total=batch.total + added.count(Added.NEW))
        return added

    def close(self, batch_id: str) -> None:
        """All has come."""
        if self.batches[batch_id].state is BatchState.RECEIVING:
            self.batches[batch_id] = replace(self.batches[batch_id], state=BatchState.RUNNING)

    def count(self, batch_id: str | None, state: JobState, by: int) -> None:
        """A job has ended; or, by -1, is opened again, and its batch with it."""
        if batch_id is None:
            return
        batch = self.batches[batch_id]
        batch = replace(batch, **{str(state): getattr(batch, str(state)) + by})
        if by < 0 and batch.state not in OPEN:
            batch = replace(batch, state=BatchState.RUNNING, round=batch.round + 1, is_cancelled=False, ended_at=None)
        self.batches[batch_id] = batch

    def done(self) -> set[Batch]:
        """Return those that have not ended although all their jobs have."""
        return {each for each in self.batches.values() if end_of_batch(each)}

    def end(self, seen: Batch, state: BatchState, now: datetime) -> list[bool] | None:
        """It ends with its last job, by whoever saw it as it is."""
        batch = self.batches[seen.id]
        if batch.round != seen.round or end_of_batch(batch) is None:
            return None
        self.batches[seen.id] = replace(batch, state=state, ended_at=now)
        return []

    def ask_to_cancel(self, batch_id: str) -> bool:
        """It takes nothing any more."""
        if self.batches[batch_id].state not in OPEN:
            return False
        self.batches[batch_id] = replace(self.batches[batch_id], is_cancelled=True, state=BatchState.RUNNING)
        return True
