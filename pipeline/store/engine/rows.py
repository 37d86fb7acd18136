"""Rows to values and back: moments as microseconds, errors and tags as JSON."""

import sqlite3
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson

from pipeline.model import (
    ALERTS,
    AlertMessage,
    AnyMessage,
    Batch,
    BatchLine,
    BatchMessage,
    BatchState,
    Delivery,
    DeliveryReason,
    DeliveryState,
    Job,
    JobReason,
    JobState,
    LastError,
    Lease,
    Message,
    MessageType,
    Origin,
    Progress,
    Result,
    RunError,
)

Row = tuple[Any, ...]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")


def micros(at: datetime) -> int:
    """Return `at` as whole microseconds since 1970."""
    span = at - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def micros_or_none(at: datetime | None) -> int | None:
    """Return `at` as whole microseconds since 1970, or None."""
    return None if at is None else micros(at)


def moment(value: int) -> datetime:
    """Return the aware moment of whole microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=value)


def moment_or_none(value: int | None) -> datetime | None:
    """Return the aware moment of whole microseconds since 1970, or None."""
    return None if value is None else moment(value)


def json_or_none(value: object) -> str | None:
    """Return a dataclass or a container as JSON text; None for None and for what is empty."""
    return orjson.dumps(value).decode() if value else None


_NO_ORIGIN = Origin()


def origin_or_none(value: Origin) -> str | None:
    """Return what there is to say of a job's origin as JSON, None where that is nothing."""
    if value == _NO_ORIGIN:
        return None
    return orjson.dumps({each.name: said for each in fields(value) if (said := getattr(value, each.name))}).decode()


JOB_COLUMNS = (
    "id, function, state, reason, priority, attempt, max_attempts, run, lost, round, created_at, due_at, started_at,"
    " ended_at, timeout_s, tags, parent_id, depth, error, progress, batch_id, batch_index, origin"
)

ERROR = 18
"""Where a row of JOB_COLUMNS has the error."""


def job(row: Row) -> Job:
    """Return the job of a row of JOB_COLUMNS; further columns are ignored."""
    return Job(
        id=row[0],
        function=row[1],
        state=JobState(row[2]),
        reason=row[3] and JobReason(row[3]),
        priority=row[4],
        attempt=row[5],
        max_attempts=row[6],
        run=row[7],
        lost=row[8],
        round=row[9],
        created_at=moment(row[10]),
        due_at=moment(row[11]),
        started_at=moment_or_none(row[12]),
        ended_at=moment_or_none(row[13]),
        timeout_s=row[14],
        tags=tuple(orjson.loads(row[15])) if row[15] else (),
        batch_id=row[20],
        batch_index=row[21],
        parent_id=row[16],
        depth=row[17],
        error=run_error(row[18]),
        origin=_NO_ORIGIN if row[22] is None else Origin(**orjson.loads(row[22])),
        progress=progress(row[19]),
    )


DELIVERY_COLUMNS = (
    "id, message_id, type, job_id, destination, kind, recipient, state, reason, attempt, max_attempts, lost,"
    " created_at, due_at, delivered_at, last_error, spent, replayed_at, new_message_id, is_by_hand"
)


def delivery(row: Row) -> Delivery:
    """Return the delivery of a row of DELIVERY_COLUMNS; further columns are ignored."""
    return Delivery(
        id=row[0],
        message_id=row[1],
        type=MessageType(row[2]),
        subject_id=row[3],
        destination=row[4],
        kind=row[5],
        recipient=row[6],
        state=DeliveryState(row[7]),
        reason=row[8] and DeliveryReason(row[8]),
        attempt=row[9],
        max_attempts=row[10],
        lost=row[11],
        created_at=moment(row[12]),
        due_at=moment(row[13]),
        delivered_at=moment_or_none(row[14]),
        last_error=last_error(row[15]),
        spent=row[16],
        replayed_at=moment_or_none(row[17]),
        new_message_id=row[18],
        is_by_hand=bool(row[19]),
    )


def run_error(text: str | None) -> RunError | None:
    """Return a run's error from its JSON."""
    if text is None:
        return None
    facts = orjson.loads(text)
    return RunError(type=facts["type"], message=facts["message"], stack=tuple(facts["stack"]))


def progress(text: str | None) -> Progress | None:
    """Return a job's progress from its JSON."""
    return None if text is None else Progress(**orjson.loads(text))


def last_error(text: str | None) -> LastError | None:
    """Return a delivery's last error from its JSON."""
    if text is None:
        return None
    facts = orjson.loads(text)
    return LastError(reason=DeliveryReason(facts["reason"]), message=facts["message"], status=facts["status"])


def result(status: int, headers: str, content: bytes) -> Result:
    """Return the result of a payload's row."""
    return Result(status=status, headers=tuple((name, value) for name, value in orjson.loads(headers)), body=content)


def message_facts(value: AnyMessage) -> str:
    """Return all of a message but its ids and its result, as JSON."""
    if isinstance(value, BatchMessage):
        return orjson.dumps(
            {"type": value.type, "ended_at": micros(value.ended_at), "batch": value.batch, "failures": value.failures}
        ).decode()
    if isinstance(value, AlertMessage):
        return orjson.dumps(_alert_facts(value)).decode()
    return orjson.dumps(
        {
            "type": value.type,
            "function": value.function,
            "state": value.state,
            "reason": value.reason,
            "attempt": value.attempt,
            "created_at": micros(value.created_at),
            "started_at": micros_or_none(value.started_at),
            "ended_at": micros(value.ended_at),
            "tags": value.tags,
            "batch_id": value.batch_id,
            "parent_id": value.parent_id,
            "depth": value.depth,
            "error": value.error,
            "traceparent": value.traceparent,
        }
    ).decode()


def message(message_id: str, subject_id: str, facts: str, value: Result | None) -> AnyMessage:
    """Return a message from its row and its result."""
    held = orjson.loads(facts)
    if held["type"] == MessageType.BATCH_COMPLETED:
        return _batch_message(message_id, held)
    if held["type"] in ALERTS:
        return _alert_message(message_id, subject_id, held)
    error = held["error"]
    return Message(
        id=message_id,
        type=MessageType(held["type"]),
        job_id=subject_id,
        function=held["function"],
        state=JobState(held["state"]),
        reason=held["reason"] and JobReason(held["reason"]),
        attempt=held["attempt"],
        created_at=moment(held["created_at"]),
        started_at=moment_or_none(held["started_at"]),
        ended_at=moment(held["ended_at"]),
        tags=tuple(held["tags"]),
        batch_id=held["batch_id"],
        parent_id=held["parent_id"],
        depth=held["depth"],
        error=error and RunError(type=error["type"], message=error["message"], stack=tuple(error["stack"])),
        result=value,
        traceparent=held.get("traceparent"),
    )


def _alert_facts(value: AlertMessage) -> dict[str, Any]:
    return {
        "type": value.type,
        "destination": value.destination,
        "kind": value.kind,
        "because": value.because,
        "delivery_id": value.delivery_id,
        "at": micros(value.at),
        "ended_at": micros(value.ended_at),
    }


def _alert_message(message_id: str, subject_id: str, held: dict[str, Any]) -> AlertMessage:
    typed = {"type": MessageType(held["type"]), "at": moment(held["at"]), "ended_at": moment(held["ended_at"])}
    return AlertMessage(**{**held, **typed}, id=message_id, subject_id=subject_id)


def _batch_message(message_id: str, held: dict[str, Any]) -> BatchMessage:
    facts = held["batch"]
    of_batch = {
        **facts,
        "state": BatchState(facts["state"]),
        "created_at": datetime.fromisoformat(facts["created_at"]),
        "ended_at": datetime.fromisoformat(facts["ended_at"]),
    }
    failures = [
        BatchLine(
            **{
                **line,
                "state": JobState(line["state"]),
                "reason": line["reason"] and JobReason(line["reason"]),
                "error": line["error"] and RunError(**{**line["error"], "stack": tuple(line["error"]["stack"])}),
            }
        )
        for line in held["failures"]
    ]
    return BatchMessage(
        id=message_id, batch=Batch(**of_batch), ended_at=moment(held["ended_at"]), failures=tuple(failures)
    )


BATCH_COLUMNS = (
    "id, function, state, round, owner, is_cancelled, total, succeeded, failed, cancelled, expired, created_at,"
    " ended_at, traceparent, callback, callback_to, rejected_total"
)


def batch(row: Row) -> Batch:
    """Return the batch of a row of BATCH_COLUMNS; further columns are ignored."""
    return Batch(
        id=row[0],
        function=row[1],
        state=BatchState(row[2]),
        round=row[3],
        owner=row[4],
        is_cancelled=bool(row[5]),
        total=row[6],
        succeeded=row[7],
        failed=row[8],
        cancelled=row[9],
        expired=row[10],
        created_at=moment(row[11]),
        ended_at=moment_or_none(row[12]),
        traceparent=row[13],
        callback=row[14],
        callback_to=row[15],
        rejected_total=row[16],
    )


def lease_columns(lease: Lease | None) -> Row:
    """Return the columns lease_owner, lease_token and lease_expires_at."""
    return (None, None, None) if lease is None else (lease.owner, lease.token, micros(lease.expires_at))


def next_payload_id(db: sqlite3.Connection) -> int:
    """Return the id of the next payload; only the one writer inserts any."""
    row = only(db, "SELECT coalesce(max(id), 0) + 1 FROM payload")
    return int(row[0]) if row else 1


def only(db: sqlite3.Connection, sql: str, parameters: Row | dict[str, Any] = ()) -> Row | None:
    """Return the first row of a query, or None."""
    row: Row | None = db.execute(sql, parameters).fetchone()
    return row
