"""The store's verbs for batches; what `Store` says of verbs holds here."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from pipeline.model import Batch, BatchDraft, BatchLine, BatchState, JobDraft, Reject
from pipeline.store.engine.reader import Reader
from pipeline.store.engine.writer import Write
from pipeline.store.reading import batches as reading_batches
from pipeline.store.transactions import batches, idempotency, interventions, pruning
from pipeline.store.transactions.batches import Added
from pipeline.store.transactions.deliveries import Ending
from pipeline.store.transactions.idempotency import Earlier, IdempotencyKey

T = TypeVar("T")


class BatchVerbs:
    """All that can be asked about batches."""

    def __init__(self, write: Write, reader: Reader) -> None:
        self._write = write
        self._reader = reader

    # Making

    async def insert(self, draft: BatchDraft, *, key: IdempotencyKey | None = None) -> Earlier | None:
        """Store a batch that has no jobs yet; with a key that has made one already, return that instead."""
        now = draft.created_at

        def verb(db: sqlite3.Connection) -> Earlier | None:
            make = partial(batches.insert_batch, db, draft)
            if key is not None:
                return idempotency.once(db, key, draft.id, make, now=now)
            make()
            return None

        found: Earlier | None = await self._write(verb)
        return found

    async def add_items(self, batch_id: str, drafts: Sequence[JobDraft], *, now: datetime) -> list[Added]:
        """Store jobs of a batch in their function's queue, but those whose index is there; say what became of each."""
        added: list[Added] = await self._write(partial(batches.add_items, batch_id=batch_id, drafts=drafts, now=now))
        return added

    async def close(self, batch_id: str, rejected: Sequence[Reject] = ()) -> None:
        """Note that all of a batch has come, and what of its upload is not in it. Idempotent."""
        await self._write(partial(batches.close_batch, batch_id=batch_id, rejected=rejected))

    async def note_rejected(self, batch_id: str, rejected: Sequence[Reject]) -> None:
        """Note the same of an upload that was cut off."""
        await self._write(partial(batches.note_rejected, batch_id=batch_id, rejected=rejected))

    async def close_cut_off(self, *, now: datetime) -> list[str]:
        """Close the batches whose upload was cut off too long ago; return their ids."""
        closed: list[str] = await self._write(partial(batches.close_cut_off, now=now))
        return closed

    # Ending

    async def end(self, batch: Batch, state: BatchState, ending: Ending | None, *, now: datetime) -> list[bool] | None:
        """End a batch whose jobs have all ended, with its message and deliveries, in one transaction.

        Returns which of the ending's deliveries were claimed, or None where the batch has open jobs, or has ended or
        was opened again: then nothing changed.
        """
        verb = partial(batches.end_batch, batch=batch, state=state, ending=ending, now=now)
        claimed: list[bool] | None = await self._write(verb)
        return claimed

    async def ask_to_cancel(self, batch_id: str) -> bool:
        """Note that a batch is to be cancelled, so that it takes nothing any more; False where it has ended."""
        was_asked: bool = await self._write(partial(batches.ask_to_cancel, batch_id=batch_id))
        return was_asked

    async def cancel_jobs(self, batch_id: str, most: int, *, now: datetime) -> tuple[list[str], list[str]]:
        """Cancel up to `most` of a batch's waiting jobs; return their ids, and those of its jobs that run."""
        verb = partial(interventions.cancel_batch, batch_id=batch_id, most=most, now=now)
        cancelled: tuple[list[str], list[str]] = await self._write(verb)
        return cancelled

    async def reopen_failed(
        self, batch_id: str, after: int, most: int, max_attempts: int, *, now: datetime
    ) -> tuple[int | None, int]:
        """Queue up to `most` of a batch's jobs again that failed or expired before `now`, with indexes above `after`.

        Returns the index to go on from, None at the end, and how many were queued.
        """
        verb = partial(
            interventions.reopen_failed,
            batch_id=batch_id,
            after=after,
            most=most,
            max_attempts=max_attempts,
            now=now,
        )
        reopened: tuple[int | None, int] = await self._write(verb)
        return reopened

    async def prune(self, before: str, most: int, *, ended_before: datetime) -> int:
        """Delete up to `most` batches with ids below `before` whose jobs are gone, and which owe nothing."""
        verb = partial(pruning.prune_batches, before=before, most=most, ended_before=ended_before)
        deleted: int = await self._write(verb)
        return deleted

    # Reading

    async def get(self, batch_id: str) -> tuple[Batch, int] | None:
        """Return a batch and how many of its jobs run, or None."""
        return await self._reader.read(partial(reading_batches.get_batch, batch_id=batch_id))

    async def list_rejected(self, batch_id: str) -> list[Reject]:
        """Return the first items of a batch's last upload that are not in it, by index."""
        return await self._reader.read(partial(reading_batches.list_rejected, batch_id=batch_id))

    async def list_all(
        self, *, before: str | None, most: int, function: str | None = None, state: BatchState | None = None
    ) -> list[tuple[Batch, int]]:
        """Return up to `most` batches older than the id `before`, newest first, each with how many of its jobs run."""
        query = partial(reading_batches.list_batches, before=before, most=most, function=function, state=state)
        return await self._reader.read(query)

    async def done(self) -> list[Batch]:
        """Return the batches that have not ended although all their jobs have."""
        return await self._reader.read(reading_batches.done_batches)

    async def next_cut_off(self) -> datetime | None:
        """Return when the next batch that is still received will be closed, or None."""
        return await self._reader.read(reading_batches.next_cut_off)

    async def list_lines(self, batch_id: str, *, after: int, most: int) -> list[BatchLine]:
        """Return up to `most` of a batch's jobs with indexes above `after`, in order, with their results."""
        return await self._reader.read(partial(reading_batches.list_lines, batch_id=batch_id, after=after, most=most))

    async def list_failures(self, batch_id: str, most: int) -> list[BatchLine]:
        """Return the first `most` of a batch's jobs that failed or expired, without results."""
        return await self._reader.read(partial(reading_batches.list_failures, batch_id=batch_id, most=most))
