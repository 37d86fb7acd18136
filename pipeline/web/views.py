"""Values as the JSON that the status API answers with: the shapes of `schemas/`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.explain import Turn
from pipeline.mask import MASK
from pipeline.model import (
    Attempt,
    Delivery,
    DeliveryState,
    Job,
    JobState,
    LastError,
    LogLine,
    Outcome,
    Run,
)
from pipeline.services.deliveries.standing import Takers
from pipeline.services.deliveries.testing import Tested, Tried
from pipeline.services.routes import Route
from pipeline.shapes import error, job_links, rfc3339
from pipeline.store.reading.jobs import JobView

View = dict[str, Any]


def moment(at: datetime | None) -> str | None:
    """Return a moment in RFC 3339; None for None."""
    return None if at is None else rfc3339(at)


def accepted(
    base: str, job_id: str, function: str, max_attempts: int, created_at: datetime, *, is_scheduled: bool = False
) -> View:
    """Return the body of a 202; it always says queued and attempt 0, whatever has happened since."""
    return {
        "id": job_id,
        "function": function,
        "state": JobState.SCHEDULED if is_scheduled else JobState.QUEUED,
        "attempt": 0,
        "max_attempts": max_attempts,
        "created_at": moment(created_at),
        "links": job_links(base, job_id),
    }


def job(view: JobView, base: str, takers: Takers) -> View:
    """Return a job; deliveries to destinations that take none now count as held."""
    value = view.job
    is_waiting = value.state in (JobState.SCHEDULED, JobState.RETRYING)
    return {
        "id": value.id,
        "function": value.function,
        "state": value.state,
        "reason": value.reason,
        "attempt": value.attempt,
        "max_attempts": value.max_attempts,
        "run": value.run,
        "round": value.round,
        "progress": value.progress and {key: getattr(value.progress, key) for key in ("done", "total", "note")},
        "created_at": moment(value.created_at),
        "run_at": moment(value.due_at) if value.state is JobState.SCHEDULED else None,
        "started_at": moment(value.started_at),
        "ended_at": moment(value.ended_at),
        "next_attempt_at": moment(value.due_at) if is_waiting else None,
        "batch_id": value.batch_id,
        "parent_id": value.parent_id,
        "replay_of": value.origin.replay_of,
        "callback": callback(value.origin.callback),
        "tags": list(value.tags),
        "error": error(value.error),
        "deliveries": delivery_counts(view.deliveries, takers),
        "links": job_links(base, value.id),
    }


def delivery_counts(counts: Mapping[tuple[str, DeliveryState], int], takers: Takers) -> View:
    """Return how many deliveries stand where, every state named."""
    shown: View = {state.value: 0 for state in DeliveryState}
    for (destination, state), count in counts.items():
        shown[_shown_state(state, destination, takers).value] += count
    return shown


def _shown_state(state: DeliveryState, destination: str, takers: Takers) -> DeliveryState:
    return DeliveryState.HELD if takers.why_held(destination, state) else state


def run(value: Run) -> View:
    """Return a run."""
    span = None if value.ended_at is None else value.ended_at - value.started_at
    return {
        "run": value.run,
        "attempt": value.attempt,
        "round": value.round,
        "state": value.state,
        "reason": value.reason,
        "started_at": moment(value.started_at),
        "ended_at": moment(value.ended_at),
        "duration_ms": None if span is None else round(span.total_seconds() * 1000),
        "error": error(value.error),
    }


def current_run(value: Job) -> View | None:
    """Return the run that a running job is in, or None."""
    if value.state is not JobState.RUNNING or value.started_at is None:
        return None
    return {
        "run": value.run,
        "attempt": value.attempt,
        "round": value.round,
        "state": "running",
        "reason": None,
        "started_at": moment(value.started_at),
        "ended_at": None,
        "duration_ms": None,
        "error": None,
    }


def log_line(value: LogLine) -> View:
    """Return a log line."""
    return {
        "number": value.number,
        "run": value.run,
        "at": moment(value.at),
        "stream": value.stream,
        "level": value.level,
        "text": value.text,
    }


def delivery(value: Delivery, base: str, takers: Takers, turn: Turn | None = None) -> View:
    """Return a delivery without its attempts; with its turn where it waits for one."""
    held = takers.why_held(value.destination, value.state)
    is_waiting = held is None and value.state in (DeliveryState.PENDING, DeliveryState.RETRYING)
    turn_at = value.due_at if turn is None else turn.at
    due = max(value.due_at, takers.not_before(value.destination) or value.due_at, turn_at)
    last = value.last_error
    self = f"{base}/v1/deliveries/{value.id}"
    return {
        "id": value.id,
        "message_id": value.sent_message_id,
        "type": value.type,
        "job_id": value.job_id,
        "batch_id": value.batch_id,
        "destination": value.destination,
        "kind": value.kind,
        "recipient": recipient_shown(value.kind, value.recipient),
        "state": DeliveryState.HELD if held else value.state,
        "reason": held or value.reason,
        "attempt": value.attempt,
        "max_attempts": value.max_attempts,
        "created_at": moment(value.created_at),
        "next_attempt_at": moment(due) if is_waiting else None,
        "delivered_at": moment(value.delivered_at),
        "last_error": last and last_error(last),
        "links": {"self": self} | _subject_link(value, base),
    }


def last_error(last: LastError) -> View:
    """Return how the last attempt failed, in short."""
    return {"class": last.reason, "message": last.message, "status": last.status}


def recipient_shown(kind: str, recipient: str) -> str:
    """Return a recipient as it is shown: of a caller's URL the query stays its own, as it may be a secret."""
    return callback(recipient) or "" if kind == "callback" else recipient


def callback(url: str | None) -> str | None:
    """Return a caller's URL without its query; None for None."""
    if url is None:
        return None
    plain, mark, _ = url.partition("?")
    return f"{plain}?{MASK}" if mark else plain


def _subject_link(value: Delivery, base: str) -> View:
    if value.batch_id is not None:
        return {"batch": f"{base}/v1/batches/{value.batch_id}"}
    return {} if value.job_id is None else {"job": f"{base}/v1/jobs/{value.job_id}"}


def attempt(value: Attempt) -> View:
    """Return an attempt; the answer's body as text, what is no UTF-8 replaced."""
    outcome = value.outcome
    return {
        "number": value.number,
        "trigger": value.trigger,
        "started_at": moment(value.started_at),
        "duration_ms": round(value.duration_s * 1000, 1),
        "status": outcome.status,
        "class": outcome.reason,
        "message": outcome.message,
        "headers": _joined(outcome.headers),
        "body": _text(outcome),
        "remote_address": outcome.remote_address,
        "next_attempt_at": moment(value.next_attempt_at),
        "why": value.why,
    }


def destination_test(route: Route, tested: Tested) -> View:
    """Return what became of a test."""
    return {
        "destination": route.name,
        "kind": route.kind,
        "message_id": tested.message_id,
        "delivered": tested.is_delivered,
        "tries": [_tried(each) for each in tested.tries],
    }


def _tried(value: Tried) -> View:
    outcome = value.outcome
    return {
        "recipient": value.recipient,
        "delivered": value.is_delivered,
        "duration_ms": round(value.duration_s * 1000, 1),
        "status": outcome.status,
        "class": outcome.reason,
        "message": outcome.message,
        "headers": _joined(outcome.headers),
        "body": _text(outcome),
        "remote_address": outcome.remote_address,
    }


def _text(outcome: Outcome) -> str | None:
    return None if outcome.status is None else outcome.body.decode(errors="replace")


def _joined(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined
