"""What a job or a batch owes, for commands that show some of it: what needs somebody comes first, and what is left out
is told.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline.cli import listing
from pipeline.cli.client import Client
from pipeline.cli.screen import words
from pipeline.cli.subjects import Subject

SHOWN = 20
_MOST = 1_000
"""So many are looked through; a job has as many deliveries as its destinations have recipients."""
_AT_A_TIME = 20


class Owed(NamedTuple):
    """Deliveries as the lists have them: those to be shown, and the others, with the sentence that tells of these."""

    shown: Sequence[Any]
    others: Sequence[Any]
    left_out: str


async def owed_by(client: Client, subject: Subject, *, is_whole: bool) -> Owed:
    """Return what a job or a batch owes; where `is_whole`, all of it is to be shown, newest first."""
    found, cursor = await client.items(f"{subject.path}/deliveries", listing.MOST if is_whole else _MOST)
    return Owed(found, [], "") if is_whole else first_ones(subject, found, has_more=cursor is not None)


def first_ones(subject: Subject, found: Sequence[Any], *, has_more: bool) -> Owed:
    """Return the deliveries that matter most first; `has_more` says that there are older ones than those found."""
    ranked = sorted(found, key=lambda each: words.DELIVERY_STATES.index(each["state"]))  # else still newest first
    shown, others = ranked[:SHOWN], ranked[SHOWN:]
    return Owed(shown, others, _left_out(subject, others, len(found), has_more=has_more) if others else "")


def _left_out(subject: Subject, others: Sequence[Any], total: int, *, has_more: bool) -> str:
    subject_id = subject.shown["id"]
    is_listed = subject.kind == "job" and not has_more
    command = f"deliveries --job {subject_id} --limit {total}" if is_listed else f"explain {subject_id} --json"
    counts = Counter(each["state"] for each in others)
    states = f", all {others[0]['state']}" if len(counts) == 1 else f": {words.deliveries(counts)}"
    older = ", and older ones, which were not looked at" if has_more else ""
    return f"... and {len(others):,} more{states}{older}; `sendoff {command}` lists them"


async def in_full(client: Client, deliveries: Sequence[Any]) -> list[Any]:
    """Return the deliveries with their attempts, and why each is where it is."""
    found: list[Any] = []
    for start in range(0, len(deliveries), _AT_A_TIME):
        some = deliveries[start : start + _AT_A_TIME]
        found += await asyncio.gather(*(client.get(f"/v1/deliveries/{each['id']}") for each in some))
    return found
