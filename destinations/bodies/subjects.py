"""What messages are about: each kind of message in the pieces that every form is made of. Pure.

This is the one place of the bodies that knows which kinds there are: another kind needs a case in `subject_of`, and
one in `result_of` and `has_event` if it tells of a job.
"""

from collections.abc import Callable
from typing import Any, assert_never

from destinations.base import Sending
from pipeline.model import AlertMessage, AnyMessage, BatchMessage, Message, Result
from pipeline.records import record
from pipeline.shapes import alert_links, batch_links, error, job_links, rfc3339


@record(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a message is about, ready to be written as JSON."""

    key: str
    """Where its facts stand in the `data` of the form `message`."""
    facts: dict[str, Any]
    """With `id` and `links` at the least."""
    more: dict[str, Any]
    """What stands beside them."""
    ended_at: str
    """When it came about: a job's or a batch's end, or what an alert tells of."""
    path: str
    """Of the service: what it happened to, a function or a destination."""


def subject_of(sending: Sending) -> Subject:
    """Return what a message is about."""
    message, base_url = sending.message, sending.base_url
    match message:
        case Message():
            return _job(message, base_url)
        case BatchMessage():
            return _batch(message, base_url, sending.link)
        case AlertMessage():
            return _alert(message, base_url)
    assert_never(message)


def result_of(message: AnyMessage) -> Result | None:
    """Return the result that a message brings, if it brings one."""
    return message.result if isinstance(message, Message) else None


def has_event(message: AnyMessage) -> bool:
    """Tell whether a message is about a job, whose function was called with an event."""
    return isinstance(message, Message)


def _job(message: Message, base_url: str) -> Subject:
    ended_at = rfc3339(message.ended_at)
    facts = {
        "id": message.job_id,
        "function": message.function,
        "state": message.state,
        "reason": message.reason,
        "attempt": message.attempt,
        "created_at": rfc3339(message.created_at),
        "ended_at": ended_at,
        "tags": message.tags,
        "batch_id": message.batch_id,
        "parent_id": message.parent_id,
        "links": job_links(base_url, message.job_id),
    }
    return Subject(key="job", facts=facts, more={"error": error(message.error)}, ended_at=ended_at, path=_path(message))


def _batch(message: BatchMessage, base_url: str, link: Callable[[str], str]) -> Subject:
    batch, ended_at = message.batch, rfc3339(message.ended_at)
    links = batch_links(base_url, batch.id)
    facts = {
        "id": batch.id,
        "function": batch.function,
        "state": batch.state,
        "total": batch.total,
        "succeeded": batch.succeeded,
        "failed": batch.failed,
        "cancelled": batch.cancelled,
        "expired": batch.expired,
        "created_at": rfc3339(batch.created_at),
        "ended_at": ended_at,
        "links": links,
    }
    failures = [
        {
            "index": line.index,
            "key": line.key,
            "job_id": line.job_id,
            "reason": line.reason,
            "error": error(line.error),
        }
        for line in message.failures
    ]
    more = {"failures": failures, "results_url": link(links["results"])}
    return Subject(key="batch", facts=facts, more=more, ended_at=ended_at, path=_path(message))


def _alert(message: AlertMessage, base_url: str) -> Subject:
    facts = {
        "id": message.subject_id,
        "destination": message.destination,
        "kind": message.kind,
        "because": message.because,
        "delivery_id": message.delivery_id,
        "links": alert_links(base_url, message.destination, message.delivery_id),
    }
    path = f"/v1/destinations/{message.destination}"
    return Subject(key="alert", facts=facts, more={}, ended_at=rfc3339(message.at), path=path)


def _path(message: Message | BatchMessage) -> str:
    return f"/functions/{message.function}"
