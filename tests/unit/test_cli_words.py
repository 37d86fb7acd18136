"""Spans, moments and what happens next, in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.cli.failures import CommandError
from pipeline.cli.refusals import Answer
from pipeline.cli.screen import words
from pipeline.cli.screen.body import write_body
from pipeline.cli.screen.next_steps import commands, next_steps
from pipeline.model import DeliveryState, JobState

NOW = datetime(2026, 5, 4, 3, 14, 5, tzinfo=UTC)
ID = "01a20f4a-288c-7539-85f4-598bc9cb52e9"


def later(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def job(state: str, **changes: Any) -> dict[str, Any]:
    found = {
        "id": ID, "function": "work", "state": state, "reason": None, "attempt": 1, "max_attempts": 3,
        "run_at": None, "started_at": later(-12), "next_attempt_at": None,
        "deliveries": {str(each): 0 for each in DeliveryState},
    }  # fmt: skip
    return found | changes


def delivery(state: str, **changes: Any) -> dict[str, Any]:
    found = {
        "destination": "hook", "recipient": "", "state": state, "reason": None, "attempt": 2, "max_attempts": 12,
        "next_attempt_at": None,
    }  # fmt: skip
    return found | changes


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"), (0.0004, "0 ms"), (0.34, "340 ms"), (0.9996, "1.0 s"), (4.24, "4.2 s"), (9.96, "10 s"),
        (59.6, "1 m"), (102, "1 m 42 s"), (3600, "1 h"), (3 * 3600 + 301, "3 h 5 m"), (2 * 86400 + 4 * 3600, "2 d 4 h"),
    ],
)  # fmt: skip
def test_a_span_has_the_units_that_matter(seconds: float, text: str) -> None:
    assert words.span(seconds) == text


def test_a_moment_that_has_passed_is_now() -> None:
    assert words.when(NOW - timedelta(seconds=3), NOW) == "now"
    assert words.when(NOW + timedelta(seconds=90), NOW).startswith("in 1 m 30 s, at ")


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (job("scheduled", run_at=later(60)), "It starts in 1 m, at "),
        (job("queued", attempt=0), "Its first attempt begins as soon as a worker of work is free."),
        (job("queued"), "Attempt 2 of 3 begins as soon as a worker of work is free."),
        (job("running"), "Attempt 1 of 3 has run for 12 s; if it fails, attempt 2 follows."),
        (job("running", attempt=3), "Attempt 3 of 3 has run for 12 s; it is the last one."),
        (job("retrying", next_attempt_at=later(30)), "Attempt 2 of 3 begins in 30 s, at "),
        (job("retrying", attempt=2, next_attempt_at=later(30)), "Attempt 3 of 3, the last one, begins in 30 s, at "),
    ],
)
def test_what_happens_next_to_a_job_that_goes_on(shown: dict[str, Any], sentence: str) -> None:
    (step,) = next_steps(shown, [], NOW)
    assert step.startswith(sentence)


@pytest.mark.parametrize(
    ("size", "told"), [(1, "1 byte of image/png is nothing"), (1000, "1,000 bytes of image/png are nothing")]
)
def test_what_is_no_text_is_told_by_its_size(size: int, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    answer = Answer(status=200, headers={"content-type": "image/png"}, body=b"\xff" * size)
    with pytest.raises(CommandError, match=f"^{told} for a terminal$"):
        write_body(answer, None)


def test_a_job_whose_function_is_gone_waits_for_it() -> None:
    (step,) = next_steps(job("queued"), [], NOW, is_missing=True)
    assert "no function work any more" in step


@pytest.mark.parametrize(
    ("owed", "sentence"),
    [
        (delivery("retrying", next_attempt_at=later(240)), "Attempt 3 of 12 to hook is made in 4 m, at "),
        (delivery("pending", attempt=0), "Attempt 1 of 12 to hook is due now."),
        (
            delivery("pending", attempt=0, recipient="a@example.com", next_attempt_at=later(30)),
            "Attempt 1 of 12 to hook a@example.com is made in 30 s, at ",
        ),
        (delivery("pending", attempt=0, next_attempt_at=later(0)), "Attempt 1 of 12 to hook is due now."),
        (delivery("sending", recipient="ops@example.com"), "Attempt 2 of 12 to hook ops@example.com is under way."),
        (
            delivery("held", reason="unconfigured", id="ID"),
            (
                "The delivery to hook is held: the destination is not configured any more: put it back to have it "
                "sent, or give it up: `sendoff cancel ID`."
            ),
        ),
        (
            delivery("held", reason="paused"),
            "The delivery to hook is held: the destination is paused: `sendoff destinations resume hook` sends it.",
        ),
    ],
)
def test_what_happens_next_to_an_ended_job_is_its_deliveries(owed: dict[str, Any], sentence: str) -> None:
    steps = next_steps(job("succeeded"), [delivery("delivered"), owed], NOW)
    assert steps[0] == "The job is done; its result is kept."
    assert steps[1].startswith(sentence)


def test_what_is_due_to_a_destination_that_is_left_alone_is_not_due_now() -> None:
    (_, step) = next_steps(job("succeeded"), [delivery("pending", attempt=0, next_attempt_at=later(30))], NOW)
    assert step.endswith(", or after that: hook is left alone until then, or takes only so many at a time.")


def test_what_is_dead_is_told_although_something_still_waits() -> None:
    dead = delivery("dead") | {"id": "d1"}
    steps = next_steps(job("succeeded"), [dead, delivery("retrying", next_attempt_at=later(5))], NOW)
    assert steps[2:] == ["1 delivery is dead.", "`sendoff replay d1` sends it again."]


DIED, SINCE = "2026-05-04T03:00:00.250Z", "2026-05-04T02:59:59Z"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["ops"] * 7,
            f"replay ops --since {SINCE}` sends all that is dead of ops since then, of other jobs, too.",
        ),
        (
            ["ops", "hook", "ops"],
            " sends all that is dead of a destination since then, of other jobs, too (hook, ops).",
        ),
        (["a", "b", "c", "d", "e", "f"], " (a, b, c, d, e and others)."),
    ],
)  # fmt: skip
def test_of_several_dead_ones_the_command_for_all_of_a_destination_is_told(names: list[str], said: str) -> None:
    dead = [
        delivery("dead", destination=name, id=f"d{number}", created_at=DIED if number == 1 else later(0))
        for number, name in enumerate(names)
    ]
    shown = job("succeeded")
    shown["deliveries"]["dead"] = len(dead)
    *_, count, again = next_steps(shown, dead, NOW)
    assert count == f"{len(dead)} deliveries are dead: nothing more is sent by itself."
    assert again.startswith("`sendoff replay d0` sends one of them again; `sendoff destinations replay ")
    assert again.endswith(said)


def test_all_that_is_dead_is_counted_although_only_some_is_known_and_something_waits() -> None:
    shown = job("succeeded")
    shown["deliveries"]["dead"] = 1200
    dead = delivery("dead", id="d1", created_at=DIED)
    steps = next_steps(shown, [dead, delivery("retrying", next_attempt_at=later(5))], NOW)
    assert steps[2] == "1,200 deliveries are dead."
    assert "one of them" in steps[3]


def test_what_comes_first_is_told_first_and_not_everything() -> None:
    owed = [delivery("retrying", destination=f"d{number}", next_attempt_at=later(900 - number)) for number in range(7)]
    steps = next_steps(job("failed"), [delivery("held", reason="paused"), *owed], NOW)
    assert [step.split()[5] for step in steps[1:6]] == ["d6", "d5", "d4", "d3", "d2"]
    assert steps[6] == "... and 3 more deliveries."


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({}, "Nothing is owed to any destination: nothing more happens."),
        ({"delivered": 2, "skipped": 1}, "Every delivery has arrived: nothing more happens."),
        ({"delivered": 2, "dead": 1}, "1 delivery is dead: nothing more is sent by itself."),
    ],
)
def test_an_end_is_told_as_one(counts: dict[str, int], sentence: str) -> None:
    shown = job("succeeded")
    shown["deliveries"] |= counts
    assert next_steps(shown, [], NOW)[-1] == sentence


@pytest.mark.parametrize("state", list(JobState))
def test_every_state_has_its_step_and_its_commands(state: JobState) -> None:
    shown = job(str(state), run_at=later(1), next_attempt_at=later(1))
    assert next_steps(shown, [], NOW)
    offered = [command for command, _ in commands(shown)]
    assert len(offered) == 2
    assert (f"sendoff cancel {ID}" in offered) is not state.is_final


def test_deliveries_are_counted_with_the_worst_first() -> None:
    assert words.deliveries({"delivered": 2, "dead": 1, "pending": 0}) == "1 dead, 2 delivered"
