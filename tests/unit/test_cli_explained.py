"""Batches, replays and destinations explained, state by state."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.cli.screen.explained import of_batch, of_destination, of_replay
from pipeline.model import BatchState, ReplayState

COUNTS: dict[str, Any] = {"id": "ID", "total": 10, "running": 0, "eta_s": None, "ended_at": None}
COUNTS |= dict.fromkeys(("succeeded", "failed", "cancelled", "expired"), 0)
ENDED = {"ended_at": "2026-01-05T12:00:00.000Z"}
BATCHES = [
    ("receiving", {"total": 3}, "Its items are still being received, 3 so far; they run already."),
    (
        "running", {"running": 4, "succeeded": 2, "failed": 1, "eta_s": 90},
        ("3 of 10 jobs have ended (1 failed), 4 run now. It ends when the other 7 have, in about 1 m 30 s: "
        "`sendoff wait ID` follows it."),
    ),
    (
        "running", {},
        "0 of 10 jobs have ended, 0 run now. It ends when the other 10 have: `sendoff wait ID` follows it.",
    ),
    (
        "running", {"running": 1, "succeeded": 1, "total": 2},
        "1 of 2 jobs has ended, 1 runs now. It ends when the other one has: `sendoff wait ID` follows it.",
    ),
    ("completed", {"succeeded": 1, "total": 1} | ENDED, "Its only job succeeded. It owes no destination a message."),
    ("completed", {"succeeded": 10} | ENDED, "All of its 10 jobs succeeded. It owes no destination a message."),
    ("completed", {"total": 0} | ENDED, "It is over: it has no jobs. It owes no destination a message."),
    (
        "completed_with_failures", {"succeeded": 7, "failed": 2, "expired": 1} | ENDED,
        ("It is over: of 10 jobs 7 succeeded, 2 failed, 1 expired. `sendoff retry ID` has what failed run again. "
        "It owes no destination a message."),
    ),
    (
        "cancelled", {"succeeded": 7, "cancelled": 3} | ENDED,
        "It was cancelled: of 10 jobs 7 succeeded, 3 cancelled. It owes no destination a message.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("state", "changes", "said"), BATCHES)
def test_a_batch_has_its_sentences(state: str, changes: dict[str, Any], said: str) -> None:
    batch = COUNTS | {"state": state} | changes
    assert " ".join(of_batch(batch, [])) == said
    assert "owes no" not in " ".join(of_batch(batch, [{"id": "1"}]))


REPLAYS = [
    (
        "running", {"total": None, "done": 2},
        "2 have been opened again. It goes on at 50/s; `sendoff cancel ID` ends it.",
    ),
    (
        "completed", {"total": 3, "done": 2, "skipped": 1},
        ("2 of 3 deliveries have been opened again, 1 had moved on by itself. It opens nothing more; "
        "`sendoff deliveries --destination hook` lists what became of them."),
    ),
    (
        "cancelled", {"total": 9, "done": 5, "skipped": 2},
        ("5 of 9 deliveries have been opened again, 2 had moved on by themselves. "
        "It was cancelled: the rest stays as it was."),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("state", "changes", "said"), REPLAYS)
def test_a_replay_has_its_sentences(state: str, changes: dict[str, Any], said: str) -> None:
    replay = {"id": "ID", "destination": "hook", "rate": "50/s", "state": state, "skipped": 0} | changes
    assert " ".join(of_replay(replay)) == said


NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
DESTINATION: dict[str, Any] = {"name": "hook", "state": "active", "breaker": "closed", "concurrency": 3, "rate": None}
DESTINATION |= dict.fromkeys(("reason", "since", "not_before", "last_success_at", "last_error", "spreading"))
DESTINATION |= dict.fromkeys(("in_flight", "due", "retrying", "held", "dead"), 0)
SPREAD = "What has waited for it is spread, at "
REST = "At most 3 are sent to it at a time. It has never taken one."
DESTINATIONS = [
    ({"in_flight": 1, "due": 2}, f"It takes deliveries: 1 is being sent, 2 are due. {REST}"),
    (
        {"in_flight": 3, "due": 1200, "spreading": "50/s"},
        f"It takes deliveries: 3 are being sent, 1,200 are due. {SPREAD}50/s: 1,200 are left, for about 24 s. {REST}",
    ),
    (
        {"due": 1, "spreading": "62.5/s"},
        f"It takes deliveries: 0 are being sent, 1 is due. {SPREAD}62.5/s: 1 is left, for about 16 ms. {REST}",
    ),
]


@pytest.mark.parametrize(("changes", "said"), DESTINATIONS)
def test_a_destination_that_takes_deliveries_has_its_sentences(changes: dict[str, Any], said: str) -> None:
    assert " ".join(of_destination(DESTINATION | changes, NOW)) == said


def test_every_state_has_some() -> None:
    assert {case[0] for case in BATCHES} == set(BatchState)
    assert {case[0] for case in REPLAYS} == set(ReplayState)
