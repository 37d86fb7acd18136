"""The one view of a job: where it stands, what happens next, its runs, its last words, its deliveries."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.cli.screen import words
from pipeline.cli.screen.clean import clean_line, clean_text
from pipeline.cli.screen.console import columns, indented, print_lines, styled_state
from pipeline.cli.screen.log_lines import log_line
from pipeline.cli.screen.next_steps import commands, next_steps
from pipeline.spans import span

RUNS, ATTEMPTS, FRAMES = 8, 4, 12
"""So many of the newest are shown; the API has them all."""
_BODY = 160
_KIN = (("batch", "batch_id"), ("made by", "parent_id"), ("replay of", "replay_of"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the page shows, as the API has it; `deliveries` with their attempts, `log` the last lines."""

    job: Any
    runs: Sequence[Any]
    log: Sequence[Any]
    deliveries: Sequence[Any]
    others: Sequence[Any] = ()
    """Deliveries that are not shown, as the list has them."""
    left_out: str = ""
    """What there is to say of those."""
    is_missing: bool
    """Whether the service does not have the job's function any more."""


def print_page(console: Console, facts: Facts, now: datetime) -> None:
    """Print the page."""
    print_lines(console, _head(facts.job, now))
    for title, lines in _sections(facts, now):
        print_lines(console, (Text(), Text(title, "bold"), *indented(lines)))


def _sections(facts: Facts, now: datetime) -> Iterator[tuple[str, Iterable[Text]]]:
    job = facts.job
    yield "Next", map(Text, next_steps(job, [*facts.deliveries, *facts.others], now, is_missing=facts.is_missing))
    if facts.runs:
        is_cut = len(facts.runs) > RUNS
        yield f"Runs (the last {RUNS} of {len(facts.runs)})" if is_cut else "Runs", _runs(facts, now)
    if job["error"] is not None:
        yield f"Error of run {job['run']}" if job["run"] else "Error", _error(job["error"])
    if facts.log:
        yield f"Last log lines (all of them: sendoff logs {job['id']})", map(log_line, facts.log)
    if facts.deliveries:
        yield f"Deliveries ({words.deliveries(job['deliveries'])})", _deliveries(facts, now)
    yield "Commands", columns((command, Text(what, "dim")) for command, what in commands(job))


def _head(job: Any, now: datetime) -> Iterator[Text]:
    head = Text.assemble((f"{job['function']}  ", "bold"), styled_state(words.state(job)))
    if job["run"]:
        head.append(f"  attempt {job['attempt']} of {job['max_attempts']}")
    if job["round"] > 1:
        head.append(f"  round {job['round']}")
    yield head
    if job["progress"] and job["state"] == "running":
        yield from indented([Text(words.progress(job["progress"]), "cyan")])
    yield from indented(columns((Text(name, "dim"), value) for name, value in _origin(job, now)))


def _origin(job: Any, now: datetime) -> Iterator[tuple[str, str]]:
    created = datetime.fromisoformat(job["created_at"])
    yield "job", job["id"]
    yield "accepted", f"{words.full_time(created)}, {words.age(created, now)} ago"
    if ended := words.moment(job["ended_at"]):
        yield "ended", f"{words.full_time(ended)}, {span((ended - created).total_seconds())} later"
    yield from ((name, job[key]) for name, key in _KIN if job[key])
    if job.get("callback"):  # an older service does not say
        yield "callback", clean_line(job["callback"])
    if job["tags"]:
        yield "tags", clean_line(", ".join(job["tags"]))


def _runs(facts: Facts, now: datetime) -> list[Text]:
    rows: list[Sequence[str | Text]] = []
    for run in facts.runs[-RUNS:]:
        begun = words.clock_time(datetime.fromisoformat(run["started_at"]), now)
        of = f"round {run['round']}, " if facts.job["round"] > 1 else ""
        number = "no attempt spent" if run["state"] in ("returned", "lost") else f"{of}attempt {run['attempt']}"
        took = words.took(run["started_at"], run["ended_at"], now)
        rows.append((begun, f"run {run['run']}", number, styled_state(words.state(run)), took, _message(run["error"])))
    if (at := words.moment(facts.job["next_attempt_at"])) is not None:
        number = f"attempt {facts.job['attempt'] + 1}"
        rows.append((words.clock_time(at, now), "", number, Text(words.until(at, now), "yellow"), "", ""))
    return columns(rows)


def _message(error: Any) -> str:
    return clean_line(f"{error['errorType']}: {error['errorMessage']}") if error else ""


def _error(error: Any) -> Iterator[Text]:
    yield Text(_message(error), "red")
    frames = [line for frame in error["stackTrace"] for line in clean_text(frame).splitlines() if line.strip()]
    if len(frames) > FRAMES:
        yield Text("...", "dim")
    yield from (Text(frame.expandtabs(), "dim") for frame in frames[-FRAMES:])


def _deliveries(facts: Facts, now: datetime) -> Iterator[Text]:
    lines = columns(_delivery(delivery, now) for delivery in facts.deliveries)
    for delivery, line in zip(facts.deliveries, lines, strict=True):
        yield line
        if delivery["state"] != "delivered" and delivery["attempts"]:
            yield from indented(columns(_attempt(attempt, now) for attempt in delivery["attempts"][-ATTEMPTS:]))
            if body := clean_line((delivery["attempts"][-1]["body"] or "")[: 4 * _BODY]):
                yield Text.assemble(("  it said: ", "dim"), body[:_BODY])
    if facts.left_out:
        yield Text(facts.left_out)


def _delivery(delivery: Any, now: datetime) -> Sequence[str | Text]:
    name = clean_line(f"{delivery['destination']} {delivery['recipient']}")
    count = f"attempt {delivery['attempt']} of {delivery['max_attempts']}" if delivery["attempt"] else ""
    at = ""
    if delivered := words.moment(delivery["delivered_at"]):
        at = f"at {words.clock_time(delivered, now)}"
    elif due := words.moment(delivery["next_attempt_at"]):
        at = f"next {words.when(due, now)}"
    return Text(name, "bold"), delivery["kind"], styled_state(words.state(delivery)), count, at


def _attempt(attempt: Any, now: datetime) -> Sequence[str | Text]:
    return (
        words.clock_time(datetime.fromisoformat(attempt["started_at"]), now),
        f"attempt {attempt['number']}",
        Text(attempt["class"] or "delivered", "red" if attempt["class"] else "green"),
        span(attempt["duration_ms"] / 1000),
        clean_line(attempt["message"]),
    )
