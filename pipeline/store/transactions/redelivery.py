"""What becomes of deliveries without an attempt: they are cancelled, sent again, or end because they have waited too
long. Each verb is the body of one transaction on the writer.
"""

import sqlite3
from collections import Counter
from datetime import datetime

from pipeline.alerts import of_dead
from pipeline.model import Delivery, DeliveryReason
from pipeline.store.engine import rows
from pipeline.store.engine.rows import micros
from pipeline.store.transactions import alerts

_CANCEL = """
UPDATE delivery SET state = 'cancelled', reason = NULL WHERE id = ? AND state IN ('pending', 'retrying') RETURNING id
"""

# With its history: attempts go on counting, and so many of them are spent.
_REPLAY = """
UPDATE delivery SET state = 'pending', reason = NULL, spent = attempt, max_attempts = attempt + ?, lost = 0,
                    due_at = ?, replayed_at = ?, is_by_hand = 1, delivered_at = NULL,
                    new_message_id = coalesce(?, new_message_id)
WHERE id = ? AND state IN ('delivered', 'dead', 'cancelled', 'retrying')
RETURNING id
"""


# Of those that wait for an attempt; what is held waits for as long as it takes. The reason that an attempt gave stays.
_END_OVERDUE = f"""
UPDATE delivery SET state = 'dead', reason = coalesce(reason, :reason)
WHERE id IN (SELECT id FROM delivery INDEXED BY delivery_pending
             WHERE state = 'pending' AND destination = :destination
                   AND coalesce(replayed_at, created_at) < :before ORDER BY id LIMIT :most)
RETURNING {rows.DELIVERY_COLUMNS}
"""

_OVERDUE = """
SELECT destination, count(*) FROM delivery INDEXED BY delivery_pending
WHERE state = 'pending' AND due_at < :before GROUP BY destination
UNION ALL
SELECT destination, count(*) FROM delivery INDEXED BY delivery_due
WHERE state = 'retrying' AND due_at < :before GROUP BY destination
"""


def cancel(db: sqlite3.Connection, delivery_id: str) -> bool:
    """Cancel a delivery that waits; False for any other."""
    return rows.only(db, _CANCEL, (delivery_id,)) is not None


def replay(
    db: sqlite3.Connection, delivery_id: str, max_attempts: int, *, new_message_id: str | None, now: datetime
) -> bool:
    """Have a delivery that has ended, or waits for its next attempt, sent now, with so many further attempts; False for
    one that is due, is being sent, or was filtered.
    """
    at = micros(now)
    return rows.only(db, _REPLAY, (max_attempts, at, at, new_message_id, delivery_id)) is not None


def end_overdue(
    db: sqlite3.Connection,
    destination: str,
    most: int,
    *,
    before: datetime,
    reason: DeliveryReason,
    told_at: datetime | None = None,
) -> list[Delivery]:
    """End up to `most` pending deliveries that were owed, or replayed, before a moment; return them, dead. One that was
    never tried has `reason`. Where operators are to be told, at `told_at`, one stands for all.
    """
    terms = {"destination": destination, "most": most, "before": micros(before), "reason": reason}
    ended = [rows.delivery(row) for row in db.execute(_END_OVERDUE, terms).fetchall()]
    if ended and told_at is not None:
        first = min(ended, key=lambda each: each.id)
        alerts.want(db, destination, first.kind, [of_dead(first, first.attempt, first.last_error)], now=told_at)
    return ended


def overdue(db: sqlite3.Connection, *, before: datetime) -> Counter[str]:
    """Count the deliveries that were due before a moment, by destination."""
    counts: Counter[str] = Counter()
    for destination, count in db.execute(_OVERDUE, {"before": micros(before)}):
        counts[destination] += count
    return counts
