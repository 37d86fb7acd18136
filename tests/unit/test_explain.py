"""Why a delivery is where it is: a sentence for every state and reason, with the true next moment."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.explain import Situation, Turn, explain, next_attempt_at
from pipeline.model import DeliveryReason, DeliveryState, Health
from tests.support.samples import NOW, REFUSED, UNAVAILABLE, attempt, delivery, later

FAILED = replace(
    attempt(1, UNAVAILABLE, later(5)), why="attempt 1 of 12 failed; the policy waits 5 s", next_attempt_at=later(5)
)
ACTIVE = Situation(in_flight=10, due=200, concurrency=10)
SAID = "Attempt 1 of 12 failed with http_error: 503 Service Unavailable."
CASES = [
    (
        {"state": "pending", "attempt": 0}, None, ACTIVE,
        ("Attempt 1 of 12 is due now, and waits for a free slot of 10: 10 are being sent to archive, 200 are due, the "
        "oldest first."),
    ),
    (
        {"state": "retrying", "due_at": later(5)}, FAILED, ACTIVE,
        f"{SAID} Attempt 2 of 12 is made at 2026-01-05T12:00:05.000Z: the policy waits 5 s.",
    ),
    (
        {"state": "retrying", "due_at": later(60)},
        replace(
            FAILED,
            why="attempt 1 of 12 failed; the policy waits 5 s, and after such a failure it is 60 s at the least",
        ),
        ACTIVE,
        (
            f"{SAID} Attempt 2 of 12 is made at 2026-01-05T12:01:00.000Z: the policy waits 5 s, and after such a "
            "failure it is 60 s at the least."
        ),
    ),
    (
        {"state": "retrying", "due_at": later(5)}, FAILED, Situation(deferred_until=later(60)),
        (f"{SAID} Attempt 2 of 12 is made at 2026-01-05T12:01:00.000Z: archive asked to be left alone until then, "
        "which costs no attempt."),
    ),
    (
        {"state": "retrying", "due_at": later(90)}, FAILED, Situation(deferred_until=later(60)),
        f"{SAID} Attempt 2 of 12 is made at 2026-01-05T12:01:30.000Z: the policy waits 5 s.",
    ),
    (
        {"state": "retrying", "due_at": later(5)}, FAILED, Situation(held=DeliveryReason.PAUSED, paused_at=NOW),
        (f"{SAID} It is held: archive is paused by an operator since 2026-01-05T12:00:00.000Z. `sendoff destinations "
        "resume archive` has it sent, not before 2026-01-05T12:00:05.000Z."),
    ),
    (
        {"state": "pending", "attempt": 0}, None, Situation(held=DeliveryReason.DISABLED),
        "It is held: archive is disabled. `sendoff destinations resume archive` has it sent.",
    ),
    (
        {"state": "pending", "attempt": 0}, None, Situation(held=DeliveryReason.UNCONFIGURED),
        ("It is held: archive is not in the configuration any more. It goes on when archive is back; `sendoff cancel "
        "ID` gives it up."),
    ),
    (
        {"state": "pending", "attempt": 0}, None,
        Situation(held=DeliveryReason.DISABLED, health=Health(disabled_at=NOW, disabled_because="it answered 410")),
        (
            "It is held: archive is disabled since 2026-01-05T12:00:00.000Z: it answered 410. `sendoff "
            "destinations resume archive` has it sent."
        ),
    ),
    (
        {"state": "retrying", "due_at": later(5)}, FAILED,
        Situation(
            probe_at=later(30), deferred_until=later(9),
            health=Health(failures=10, last=DeliveryReason.TIMEOUT, opened_at=NOW),
        ),
        (
            f"{SAID} Attempt 2 of 12 is made at 2026-01-05T12:00:30.000Z, or after that: the breaker of "
            "archive is open since 2026-01-05T12:00:00.000Z, as 10 attempts at it in a row failed, the last "
            "one with timeout; one attempt is made then, and when it succeeds all go on."
        ),
    ),
    (
        {"state": "pending", "attempt": 0}, None, Situation(is_probing=True),
        (
            "Attempt 1 of 12 is due now, and waits for its turn: archive failed, and is tried with one "
            "attempt at a time; when one succeeds all go on."
        ),
    ),
    (
        {"state": "pending", "attempt": 0}, None,
        Situation(in_flight=3, due=200, concurrency=10, turn=Turn(at=later(600), ahead=59, rate=0.1)),
        "Attempt 1 of 12 is made at about 2026-01-05T12:10:00.000Z: 59 go before it, at 6 a minute.",
    ),
    (
        {"state": "pending", "attempt": 0}, None, replace(ACTIVE, turn=Turn(at=later(2), ahead=1, rate=0.5)),
        (
            "Attempt 1 of 12 is made at about 2026-01-05T12:00:02.000Z: 1 goes before it, at 30 a minute, and later "
            "where none of the 10 slots is free then."
        ),
    ),
    (
        {"state": "pending", "attempt": 0}, None, Situation(turn=Turn(at=later(3600), ahead=0, rate=1 / 3600)),
        "Attempt 1 of 12 is made at about 2026-01-05T13:00:00.000Z: its turn is the next, at 1 an hour.",
    ),
    (
        {"state": "pending", "attempt": 0}, None, replace(ACTIVE, turn=Turn(at=NOW, ahead=0, rate=50.0)),
        ("Attempt 1 of 12 is due now, and waits for a free slot of 10: 10 are being sent to archive, 200 are due, the "
        "oldest first."),
    ),
    (
        {"state": "retrying", "due_at": later(5)}, FAILED,
        Situation(deferred_until=later(60), turn=Turn(at=later(66), ahead=305, rate=50.0)),
        (f"{SAID} Attempt 2 of 12 is made at about 2026-01-05T12:01:06.000Z: archive asked to be left alone until "
        "2026-01-05T12:01:00.000Z, which costs no attempt; then 305 go before it, at 50 a second."),
    ),
    (
        {"state": "pending", "attempt": 0}, None,
        Situation(deferred_until=later(60), turn=Turn(at=later(60), ahead=2, rate=50.0)),
        ("Attempt 1 of 12 is made at 2026-01-05T12:01:00.000Z: archive asked to be left alone until then, "
        "which costs no attempt."),
    ),
    (
        {"state": "pending", "attempt": 0}, None, Situation(in_flight=190, due=70, concurrency=1000, shared=200),
        ("Attempt 1 of 12 is due now, and waits for a free slot of the 200 that all destinations share: 190 are being "
        "sent to archive, 70 are due, the oldest first."),
    ),
    (
        {"state": "pending", "attempt": 0}, None, Situation(in_flight=1, due=1, concurrency=1),
        ("Attempt 1 of 12 is due now, and waits for a free slot of 1: 1 is being sent to archive, 1 is due, the oldest "
        "first."),
    ),
    (
        {"state": "pending", "attempt": 0}, None,
        Situation(
            probe_at=later(30),
            health=Health(failures=1, last=DeliveryReason.HTTP_ERROR, last_status=503, opened_at=NOW),
        ),
        (
            "Attempt 1 of 12 is made at 2026-01-05T12:00:30.000Z, or after that: the breaker of archive is open since "
            "2026-01-05T12:00:00.000Z, as an attempt at it failed with http_error (answered 503); one attempt is made "
            "then, and when it succeeds all go on."
        ),
    ),
    ({"state": "sending"}, None, ACTIVE, "Attempt 1 of 12 is under way."),
    (
        {"state": "sending", "lost": 1}, None, ACTIVE,
        ("Attempt 1 of 12 is under way. One sending was lost with its service, and spent no attempt: it may have "
        "arrived all the same."),
    ),
    (
        {"state": "delivered", "delivered_at": NOW, "lost": 4}, attempt(), Situation(),
        ("Delivered at 2026-01-05T12:00:00.000Z, by attempt 1 of 12. 4 sendings were lost with their service, and "
        "spent no attempt: they may have arrived."),
    ),
    (
        {"state": "delivered", "delivered_at": NOW}, attempt(), Situation(),
        "Delivered at 2026-01-05T12:00:00.000Z, by attempt 1 of 12.",
    ),
    (
        {"state": "dead", "max_attempts": 1}, replace(attempt(1, REFUSED), why="the answer is final"), Situation(),
        ("Attempt 1 of 1 failed with rejected: 413 Request Entity Too Large. It is dead: the answer is final. "
        "`sendoff replay ID` sends it again."),
    ),
    (
        {"state": "dead", "attempt": 0, "reason": DeliveryReason.LOST}, None, Situation(),
        "It is dead: its sendings were lost with the service, again and again. `sendoff replay ID` sends it again.",
    ),
    (
        {"state": "dead", "attempt": 0, "reason": DeliveryReason.LOST}, None, Situation(held=DeliveryReason.DISABLED),
        ("It is dead: its sendings were lost with the service, again and again. `sendoff replay ID` sends it again "
        "once archive, which is disabled, takes deliveries again (`sendoff destinations resume archive`)."),
    ),
    (
        {"state": "dead", "attempt": 0, "reason": DeliveryReason.HTTP_ERROR}, None, Situation(),
        ("It is dead: the breaker of archive was open, and it waited for longer than `max_age` allows. "
        "`sendoff replay ID` sends it again."),
    ),
    (
        {"state": "dead", "reason": DeliveryReason.HTTP_ERROR}, FAILED, Situation(),
        (f"{SAID} It is dead: the breaker of archive was open, and it waited for longer than `max_age` allows. "
        "`sendoff replay ID` sends it again."),
    ),
    (
        {"state": "dead", "attempt": 1, "spent": 1, "reason": DeliveryReason.HTTP_ERROR}, attempt(1, REFUSED),
        Situation(),
        ("It is dead: the breaker of archive was open, and it waited for longer than `max_age` allows. "
        "`sendoff replay ID` sends it again."),
    ),
    (
        {"state": "cancelled"}, None, Situation(held=DeliveryReason.UNCONFIGURED),
        ("It was cancelled by an operator, and is not sent. `sendoff replay ID` sends it again once archive is in the "
        "configuration again."),
    ),
    (
        {"state": "skipped"}, None, Situation(),
        "It was never sent: the filter (`when`) for archive did not match the result.",
    ),
    (
        {"state": "cancelled"}, None, Situation(),
        "It was cancelled by an operator, and is not sent. `sendoff replay ID` sends it again.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "last", "there", "said"), CASES)
def test_every_state_has_its_sentence(changes: dict[str, Any], last: Any, there: Situation, said: str) -> None:
    value = delivery(**(changes | {"state": DeliveryState(changes["state"])}))
    assert explain(value, last, there, NOW).replace(value.id, "ID") == said


def test_every_state_that_is_stored_is_explained() -> None:
    assert {case[0]["state"] for case in CASES} == set(DeliveryState) - {DeliveryState.HELD}


def test_what_failed_before_a_replay_is_not_told_of_it() -> None:
    value = delivery(state=DeliveryState.PENDING, attempt=1, spent=1, max_attempts=13, replayed_at=NOW)
    assert explain(value, FAILED, ACTIVE, NOW).startswith("Attempt 2 of 13 is due now")


def test_the_next_attempt_is_the_later_of_its_own_moment_and_the_destination_s() -> None:
    waiting = delivery(state=DeliveryState.RETRYING, due_at=later(5))
    assert next_attempt_at(waiting, Situation()) == later(5)
    assert next_attempt_at(waiting, Situation(deferred_until=later(9))) == later(9)
    assert next_attempt_at(waiting, Situation(turn=Turn(at=later(7), ahead=1, rate=1.0))) == later(7)
    assert next_attempt_at(waiting, Situation(held=DeliveryReason.PAUSED)) is None
    assert next_attempt_at(delivery(), Situation()) is None
