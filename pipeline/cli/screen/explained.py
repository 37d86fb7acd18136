"""Batches and replays explained: where they stand and what happens next, in sentences. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.cli.screen import words
from pipeline.cli.screen.batch_live import ended
from pipeline.spans import span

_ENDS = ("failed", "expired", "cancelled")
_FAILED = ("failed", "expired")


def of_batch(batch: Any, owed: Sequence[Any]) -> Iterator[str]:
    """Yield what there is to say of a batch that owes these deliveries."""
    jobs, has_ended = words.count(batch["total"], "job"), batch["ended_at"] is not None
    counts = ", ".join(f"{batch[state]:,} {state}" for state in _ENDS if batch[state])
    match batch["state"]:
        case "receiving":
            yield f"Its items are still being received, {batch['total']:,} so far; they run already."
        case "running":
            left = batch["total"] - ended(batch)
            have = "has" if ended(batch) == 1 else "have"
            run = words.count(batch["running"], "runs now", "run now")
            yield f"{ended(batch):,} of {jobs} {have} ended{counts and f' ({counts})'}, {run}."
            eta = "" if batch["eta_s"] is None else f", in about {span(batch['eta_s'])}"
            others = "one has" if left == 1 else f"{left:,} have"
            yield f"It ends when the other {others}{eta}: `sendoff wait {batch['id']}` follows it."
        case "completed":
            succeeded = "Its only job succeeded." if batch["total"] == 1 else f"All of its {jobs} succeeded."
            yield succeeded if batch["total"] else "It is over: it has no jobs."
        case state:
            was = "was cancelled" if state == "cancelled" else "is over"
            yield f"It {was}: of {jobs} {batch['succeeded']:,} succeeded, {counts}."
    if has_ended and any(batch[state] for state in _FAILED):
        yield f"`sendoff retry {batch['id']}` has what failed run again."
    if has_ended and not owed:
        yield "It owes no destination a message."


def of_replay(replay: Any) -> Iterator[str]:
    """Yield what there is to say of a replay."""
    found = "" if replay["total"] is None else f" of {words.count(replay['total'], 'delivery', 'deliveries')}"
    itself = "itself" if replay["skipped"] == 1 else "themselves"
    skipped = f", {replay['skipped']:,} had moved on by {itself}" if replay["skipped"] else ""
    have = "has" if replay["done"] == 1 else "have"
    yield f"{replay['done']:,}{found} {have} been opened again{skipped}."
    match replay["state"]:
        case "running":
            yield f"It goes on at {replay['rate']}; `sendoff cancel {replay['id']}` ends it."
        case "cancelled":
            yield "It was cancelled: the rest stays as it was."
        case _:
            at = f"`sendoff deliveries --destination {replay['destination']}`"
            yield f"It opens nothing more; {at} lists what became of them."
