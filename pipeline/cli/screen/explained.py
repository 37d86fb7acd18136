"""Batches, replays and destinations explained: where they stand and what happens next, in sentences. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pipeline.cli.screen import words
from pipeline.cli.screen.batch_live import ended
from pipeline.cli.screen.clean import clean_line
from pipeline.config.units import rate_per_s
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


def of_destination(destination: Any, now: datetime) -> Iterator[str]:
    """Yield what there is to say of a destination."""
    yield from _standing(destination, now)
    yield from _failing(destination, now)


def _standing(shown: Any, now: datetime) -> Iterator[str]:
    why, name, held = _why(shown, now), shown["name"], words.count(shown["held"], "delivery is", "deliveries are")
    success, pause = words.moment(shown["last_success_at"]), words.moment(shown["not_before"])
    match shown["state"]:
        case "unconfigured":
            yield f"It is not in the configuration any more: {held} held until it is back."
            if shown["held"]:
                listed = f"`sendoff deliveries --destination {name} --state held`"
                yield f"`sendoff cancel ID` gives a delivery up; {listed} lists them."
        case "active" if shown["breaker"] == "open":
            yield f"It only fails, and its breaker is open{why}"
            yield f"One attempt is made {words.when(pause or now, now)}."
            waiting = words.count(shown["due"], "waits", "wait")
            yield f"Until one succeeds {waiting}; `sendoff destinations resume {name}` lets all go."
        case "active" if shown["breaker"] == "half_open":
            yield f"It failed, and is tried with one attempt at a time{why}"
            yield f"{words.count(shown['due'], 'delivery is', 'deliveries are')} due."
        case "active" if pause:
            waiting = shown["due"] + shown["retrying"]
            yield f"It is left alone: deliveries go on {words.when(pause, now)}, and spend no attempt meanwhile."
            yield f"{words.count(waiting, 'delivery waits', 'deliveries wait')} for it."
        case "active":
            sent = words.count(shown["in_flight"], "is being sent", "are being sent")
            yield f"It takes deliveries: {sent}, {words.count(shown['due'], 'is due', 'are due')}."
            if shown["spreading"] is not None:
                left = words.count(shown["due"], "is left", "are left")
                takes = span(shown["due"] / rate_per_s(shown["spreading"]))
                yield f"What has waited for it is spread, at {shown['spreading']}: {left}, for about {takes}."
        case state:
            yield f"It is {state}{why}"
            what = "has it sent" if shown["held"] == 1 else "has them sent"
            what = what if shown["held"] else "has it take deliveries again"
            yield f"{held} held: `sendoff destinations resume {name}` {what}."
    if shown["concurrency"] is not None:
        rate = "" if shown["rate"] is None else f", and {shown['rate']}"
        yield f"At most {words.count(shown['concurrency'], 'is sent', 'are sent')} to it at a time{rate}."
    yield f"It last took one {words.age(success, now)} ago." if success else "It has never taken one."


def _failing(shown: Any, now: datetime) -> Iterator[str]:
    name, dead, last = shown["name"], shown["dead"], shown["last_error"]
    if shown["retrying"]:
        yield f"{words.count(shown['retrying'], 'delivery waits for its', 'deliveries wait for their')} next attempt."
    if dead:
        back = ", once it is back," if shown["state"] == "unconfigured" else ""
        yield (
            f"{words.count(dead, 'delivery is', 'deliveries are')} dead: `sendoff deliveries --destination {name} "
            f"--state dead` lists them, and{back} `sendoff destinations replay {name} --since 7d` sends those of a "
            "week again."
        )
    if last is not None:
        said = ": ".join(filter(None, (last["class"], clean_line(last["message"]))))
        at = words.age(datetime.fromisoformat(last["at"]), now)
        yield f"Its last error, {at} ago, was {said} (delivery {last['delivery_id']})."


def _why(shown: Any, now: datetime) -> str:
    """Return since when a destination stands as it stands, and why, as the end of a sentence."""
    since = words.moment(shown["since"])
    at = f" since {words.clock_time(since, now)}, for {words.age(since, now)}" if since else ""
    return f"{at}: {clean_line(shown['reason'])}." if shown["reason"] else f"{at}."
