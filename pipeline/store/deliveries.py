"""Messages, deliveries and attempts: each verb is the body of one transaction on the writer."""

import sqlite3
from collections import Counter
from datetime import datetime

from pipeline.lifecycle import DeliveryStep
from pipeline.model import Attempt, ClaimedDelivery, Delivery, DeliveryDraft, Lease, Message, Result
from pipeline.store import rows
from pipeline.store.rows import micros, micros_or_none

_INSERT_MESSAGE = "INSERT INTO message (id, job_id, facts, result_id) VALUES (?, ?, ?, ?)"

# INDEXED BY here and below: left to itself the planner takes an index over all deliveries, ended ones too.
_HAS_PENDING = "SELECT 1 FROM delivery INDEXED BY delivery_pending WHERE state = 'pending' AND destination = ? LIMIT 1"

_INSERT = """
INSERT INTO delivery (id, message_id, type, job_id, destination, kind, recipient, state, attempt, max_attempts, lost,
                      created_at, due_at, lease_owner, lease_token, lease_expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)
"""

_CLAIM = f"""
UPDATE delivery SET state = 'sending', attempt = attempt + 1,
                    lease_owner = :owner, lease_token = :token, lease_expires_at = :expires
WHERE id IN (SELECT id FROM delivery INDEXED BY delivery_pending
             WHERE state = 'pending' AND destination = :destination ORDER BY id LIMIT :most)
RETURNING {rows.DELIVERY_COLUMNS}
"""

_MESSAGE = """
SELECT message.facts, payload.status, payload.headers, payload.content
FROM message LEFT JOIN payload ON payload.id = message.result_id WHERE message.job_id = ? AND message.id = ?
"""

_STEP = """
UPDATE delivery SET state = ?, reason = ?, attempt = ?, lost = ?, due_at = ?,
                    delivered_at = ?, last_error = coalesce(?, last_error),
                    lease_owner = NULL, lease_token = NULL, lease_expires_at = NULL
WHERE id = ? AND state = 'sending' AND lease_token = ?
"""

_INSERT_ATTEMPT = """
INSERT INTO attempt (delivery_id, number, trigger, started_at, duration_s, verdict, class, message, status, headers,
                     body, remote_address, retry_after_s, next_attempt_at, why)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_SUCCESS = """
INSERT INTO destination (name, kind, last_success_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, last_success_at = excluded.last_success_at
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


def insert_message(
    db: sqlite3.Connection,
    message: Message,
    result_id: int | None,
    drafts: tuple[DeliveryDraft, ...],
    leases: tuple[Lease | None, ...],
    now: datetime,
) -> list[bool]:
    """Store a message and the deliveries that bring it out; return which of them were claimed under their lease."""
    db.execute(_INSERT_MESSAGE, (message.id, message.job_id, rows.message_facts(message), result_id))
    return [_insert(db, message, draft, lease, now) for draft, lease in zip(drafts, leases, strict=True)]


def _insert(db: sqlite3.Connection, message: Message, draft: DeliveryDraft, lease: Lease | None, now: datetime) -> bool:
    if lease is not None and rows.only(db, _HAS_PENDING, (draft.destination,)) is not None:
        lease = None
    at = micros(now)
    db.execute(
        _INSERT,
        (
            draft.id,
            message.id,
            message.type,
            message.job_id,
            draft.destination,
            draft.kind,
            draft.recipient,
            "pending" if lease is None else "sending",
            0 if lease is None else 1,
            draft.max_attempts,
            at,
            at,
            *((None, None, None) if lease is None else (lease.owner, lease.token, micros(lease.expires_at))),
        ),
    )
    return lease is not None


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
    return [_claimed(db, rows.delivery(row), lease.token) for row in found]


def _claimed(db: sqlite3.Connection, delivery: Delivery, token: int) -> ClaimedDelivery:
    row = rows.only(db, _MESSAGE, (delivery.job_id, delivery.message_id))
    assert row is not None, "a delivery is never without its message"
    facts, status, headers, content = row
    result: Result | None = None if status is None else rows.result(status, headers, content)
    return ClaimedDelivery(
        delivery=delivery,
        token=token,
        message=rows.message(delivery.message_id, delivery.job_id, facts, result),
    )


def record_attempt(
    db: sqlite3.Connection,
    delivery: Delivery,
    token: int,
    step: DeliveryStep,
    attempt: Attempt | None,
    *,
    now: datetime,
    is_success_noted: bool = False,
) -> bool:
    """Write what became of a sending: the delivery's next state and, unless it was given back or lost, the attempt.

    `is_success_noted` also notes on the destination that it answered well; the caller asks for it once in a while.
    Returns False where the lease is no longer held: then nothing changed.
    """
    change = (
        step.state,
        step.reason,
        step.attempt,
        step.lost,
        micros(step.due_at),
        micros_or_none(step.delivered_at),
        rows.json_or_none(step.last_error),
        delivery.id,
        token,
    )
    if db.execute(_STEP, change).rowcount == 0:
        return False
    if attempt is not None:
        _insert_attempt(db, delivery.id, attempt)
    if is_success_noted:
        db.execute(_SUCCESS, (delivery.destination, delivery.kind, micros(now)))
    return True


def _insert_attempt(db: sqlite3.Connection, delivery_id: str, attempt: Attempt) -> None:
    outcome = attempt.outcome
    db.execute(
        _INSERT_ATTEMPT,
        (
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
        ),
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
