"""Messages, deliveries and attempts: each verb is the body of one transaction on the writer."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import orjson

from pipeline.lifecycle import DeliveryStep
from pipeline.model import (
    AnyMessage,
    Attempt,
    ClaimedDelivery,
    Delivery,
    DeliveryDraft,
    DeliveryReason,
    DestinationNote,
    JobDraft,
    Lease,
)
from pipeline.records import record
from pipeline.store.engine import bulk, rows
from pipeline.store.engine.rows import micros, micros_or_none
from pipeline.store.transactions.destinations import note
from pipeline.store.transactions.insertions import Insertion, insert_jobs

_INSERT_MESSAGES = "INSERT INTO message (id, job_id, facts, result_id) {values}"

# INDEXED BY here and below: left to itself the planner takes an index over all deliveries, ended ones too.
_HAS_PENDING = "SELECT 1 FROM delivery INDEXED BY delivery_pending WHERE state = 'pending' AND destination = ? LIMIT 1"

_INSERT = """
INSERT INTO delivery (id, message_id, type, job_id, destination, kind, recipient, state, reason, attempt, max_attempts,
                      lost, created_at, due_at, lease_owner, lease_token, lease_expires_at)
{values}
"""

_CLAIM = f"""
UPDATE delivery SET state = 'sending', attempt = attempt + 1,
                    lease_owner = :owner, lease_token = :token, lease_expires_at = :expires
WHERE id IN (SELECT id FROM delivery INDEXED BY delivery_pending
             WHERE state = 'pending' AND destination = :destination ORDER BY id LIMIT :most)
RETURNING {rows.DELIVERY_COLUMNS}
"""

_MESSAGES = """
SELECT delivery.id, message.facts, payload.status, payload.headers, payload.content
FROM delivery JOIN message ON message.job_id = delivery.job_id AND message.id = delivery.message_id
     LEFT JOIN payload ON payload.id = message.result_id
WHERE delivery.id IN (SELECT value FROM json_each(?))
"""

# Under a lease that is no longer held nothing matches, and nothing changes.
_STEP = """
UPDATE delivery SET state = tried.column3, reason = tried.column4, attempt = tried.column5, lost = tried.column6,
                    due_at = tried.column7, delivered_at = tried.column8,
                    last_error = coalesce(tried.column9, last_error),
                    max_attempts = coalesce(tried.column10, max_attempts),
                    lease_owner = NULL, lease_token = NULL, lease_expires_at = NULL
FROM ({values}) AS tried
WHERE delivery.id = tried.column1 AND delivery.state = 'sending' AND delivery.lease_token = tried.column2
RETURNING id
"""

_INSERT_ATTEMPTS = """
INSERT INTO attempt (delivery_id, number, trigger, started_at, duration_s, verdict, class, message, status, headers,
                     body, remote_address, retry_after_s, next_attempt_at, why)
{values}
"""

_RENEW = """
UPDATE delivery SET lease_expires_at = ? WHERE state = 'sending' AND lease_owner = ? RETURNING id, lease_token
"""

_PROMOTE = """
UPDATE delivery SET state = 'pending'
WHERE id IN (SELECT id FROM delivery WHERE state = 'retrying' AND due_at <= ? ORDER BY due_at LIMIT ?)
RETURNING destination
"""

_NEXT_DUE = "SELECT min(due_at) FROM delivery WHERE state = 'retrying'"

_SENDING = f"SELECT {rows.DELIVERY_COLUMNS}, lease_token FROM delivery INDEXED BY delivery_sending"
_LEASED = f"{_SENDING} WHERE state = 'sending' AND lease_owner = ?"
_EXPIRED = f"{_SENDING} WHERE state = 'sending' AND lease_expires_at < ?"


@record(frozen=True, slots=True, kw_only=True)
class Ending:
    """What the end of a job or a batch owes to the outside: a message and its deliveries, some claimed at once."""

    message: AnyMessage
    deliveries: tuple[DeliveryDraft, ...]
    leases: tuple[Lease | None, ...]
    """One for each delivery: under this lease the service would send it at once."""


@record(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of a sending: the delivery's next step and, unless it was given back or lost, the attempt."""

    delivery: Delivery
    token: int
    step: DeliveryStep
    attempt: Attempt | None
    now: datetime
    noted: DestinationNote | None = None
    """What it tells of the destination."""
    child: JobDraft | None = None
    """The job that takes the message over."""


def insert_messages(db: sqlite3.Connection, endings: Sequence[tuple[Ending, int | None]]) -> list[list[bool]]:
    """Store messages, each with the id of its result, and the deliveries that bring them out.

    Returns for each which of its deliveries were claimed under their lease: those that nothing waits before.
    """
    messages = [(ending.message, result_id) for ending, result_id in endings]
    bulk.execute(
        db,
        _INSERT_MESSAGES,
        [(message.id, message.subject_id, rows.message_facts(message), result_id) for message, result_id in messages],
    )
    has_waiting: dict[str, bool] = {}
    claims: list[list[bool]] = []
    new: list[rows.Row] = []
    for ending, _ in endings:
        claims.append([])
        for draft, lease in zip(ending.deliveries, ending.leases, strict=True):
            is_claimed = not draft.is_filtered and _may_claim(db, draft.destination, lease, has_waiting)
            claims[-1].append(is_claimed)
            new.append(_row(ending.message, draft, lease if is_claimed else None))
    bulk.execute(db, _INSERT, new)
    return claims


def _may_claim(db: sqlite3.Connection, destination: str, lease: Lease | None, has_waiting: dict[str, bool]) -> bool:
    if lease is None:
        has_waiting[destination] = True
    elif destination not in has_waiting:
        has_waiting[destination] = rows.only(db, _HAS_PENDING, (destination,)) is not None
    return not has_waiting[destination]


def _row(message: AnyMessage, draft: DeliveryDraft, lease: Lease | None) -> rows.Row:
    at = micros(message.ended_at)
    return (
        draft.id,
        message.id,
        message.type,
        message.subject_id,
        draft.destination,
        draft.kind,
        draft.recipient,
        "skipped" if draft.is_filtered else "pending" if lease is None else "sending",
        DeliveryReason.FILTERED if draft.is_filtered else None,
        0 if lease is None else 1,
        draft.max_attempts,
        0,
        at,
        at,
        *rows.lease_columns(lease),
    )


def claim_deliveries(
    db: sqlite3.Connection, destination: str, most: int, *, now: datetime, lease: Lease
) -> list[ClaimedDelivery]:
    """Claim up to `most` pending deliveries to `destination`, the oldest first, with their messages."""
    claim = {
        "owner": lease.owner,
        "token": lease.token,
        "expires": micros(lease.expires_at),
        "destination": destination,
        "most": most,
    }
    found = sorted(db.execute(_CLAIM, claim).fetchall())  # by id: RETURNING comes back unordered
    ids = orjson.dumps([row[0] for row in found]).decode()
    messages = {row[0]: row[1:] for row in db.execute(_MESSAGES, (ids,))}
    return [_claimed(rows.delivery(row), lease.token, messages[row[0]]) for row in found]


def _claimed(delivery: Delivery, token: int, stored: rows.Row) -> ClaimedDelivery:
    facts, status, headers, content = stored
    result = None if status is None else rows.result(status, headers, content)
    message = rows.message(delivery.sent_message_id, delivery.subject_id, facts, result)
    return ClaimedDelivery(delivery=delivery, token=token, message=message)


def record_attempts(db: sqlite3.Connection, items: Sequence[Tried]) -> list[bool]:
    """Write what became of sendings; False for one whose lease is no longer held: then nothing changed."""
    if len({item.delivery.id for item in items}) < len(items):  # two tries of one delivery: one after the other
        return [outcome for item in items for outcome in record_attempts(db, [item])]
    written = {row[0] for row in bulk.execute(db, _STEP, [_step_row(item) for item in items])}
    valid = [item for item in items if item.delivery.id in written]
    attempts = [(item.delivery.id, item.attempt) for item in valid if item.attempt is not None]
    bulk.execute(db, _INSERT_ATTEMPTS, [_attempt_row(delivery_id, attempt) for delivery_id, attempt in attempts])
    children = [Insertion(draft=item.child, now=item.now, lease=None) for item in valid if item.child is not None]
    if children:
        insert_jobs(db, children)
    for item in valid:
        if item.noted is not None:
            note(db, item.delivery.destination, item.delivery.kind, item.noted, now=item.now)
    return [item.delivery.id in written for item in items]


def _step_row(item: Tried) -> rows.Row:
    step = item.step
    return (
        item.delivery.id,
        item.token,
        step.state,
        step.reason,
        step.attempt,
        step.lost,
        micros(step.due_at),
        micros_or_none(step.delivered_at),
        rows.json_or_none(step.last_error),
        step.max_attempts,
    )


def _attempt_row(delivery_id: str, attempt: Attempt) -> rows.Row:
    outcome = attempt.outcome
    return (
        delivery_id,
        attempt.number,
        attempt.trigger,
        micros(attempt.started_at),
        attempt.duration_s,
        outcome.verdict,
        outcome.reason,
        outcome.message,
        outcome.status,
        rows.json_or_none(outcome.headers) or "[]",
        outcome.body,
        outcome.remote_address,
        outcome.retry_after_s,
        micros_or_none(attempt.next_attempt_at),
        attempt.why,
    )


def renew_leases(db: sqlite3.Connection, owner: str, *, expires_at: datetime) -> set[tuple[str, int]]:
    """Renew all of `owner`'s leases on deliveries; return (id, token) of those that it still holds."""
    return {(row[0], row[1]) for row in db.execute(_RENEW, (micros(expires_at), owner)).fetchall()}


def promote_due(db: sqlite3.Connection, most: int, *, now: datetime) -> tuple[Counter[str], datetime | None]:
    """Make up to `most` deliveries pending whose moment has come; return how many to which destination, and when the
    next is due.
    """
    destinations = Counter(row[0] for row in db.execute(_PROMOTE, (micros(now), most)).fetchall())
    row = rows.only(db, _NEXT_DUE)
    return destinations, rows.moment_or_none(row[0]) if row else None


def leased_by(db: sqlite3.Connection, owner: str) -> list[tuple[Delivery, int]]:
    """Return the deliveries that `owner` is sending, with their tokens."""
    return [(rows.delivery(row), row[-1]) for row in db.execute(_LEASED, (owner,)).fetchall()]


def with_expired_lease(db: sqlite3.Connection, *, now: datetime) -> list[tuple[Delivery, int]]:
    """Return the deliveries in sending whose lease has run out, with their tokens."""
    return [(rows.delivery(row), row[-1]) for row in db.execute(_EXPIRED, (micros(now),)).fetchall()]
