"""What operators do to deliveries: cancel, send again. Each verb is the body of one transaction on the writer."""

import sqlite3
from datetime import datetime

from pipeline.store import rows
from pipeline.store.rows import micros

_CANCEL = """
UPDATE delivery SET state = 'cancelled', reason = NULL WHERE id = ? AND state IN ('pending', 'retrying') RETURNING id
"""

# With its history: attempts go on counting, and so many of them are spent.
_REPLAY = """
UPDATE delivery SET state = 'pending', reason = NULL, spent = attempt, max_attempts = attempt + ?, lost = 0,
                    due_at = ?, replayed_at = ?, delivered_at = NULL
WHERE id = ? AND state IN ('delivered', 'dead', 'cancelled')
RETURNING id
"""


def cancel(db: sqlite3.Connection, delivery_id: str) -> bool:
    """Cancel a delivery that waits; False for any other."""
    return rows.only(db, _CANCEL, (delivery_id,)) is not None


def replay(db: sqlite3.Connection, delivery_id: str, max_attempts: int, *, now: datetime) -> bool:
    """Open a delivery that has ended, with so many further attempts; False for one that is open, or was filtered."""
    at = micros(now)
    return rows.only(db, _REPLAY, (max_attempts, at, at, delivery_id)) is not None
