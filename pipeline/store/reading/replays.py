"""What a replay of a destination looks for: plain queries on a connection that can only read, each over so many rows at
the most, however many of them are of interest.
"""

import sqlite3

from pipeline.model import AnyMessage, DeliveryState, Result
from pipeline.store.engine import rows

# By the index over all deliveries of a destination, in order of their ids, which is that of time.
_DELIVERIES = """
SELECT id, state FROM delivery INDEXED BY delivery_by_destination
WHERE destination = ? AND id > ? AND id < ? ORDER BY id LIMIT ?
"""

# In order of the jobs that they are of: none of those ended before it was made.
_KEYS = """
SELECT job_id, id, id >= :since AND id < :until FROM message
WHERE (job_id, id) > (:job_id, :id) AND job_id < :below ORDER BY job_id, id LIMIT :most
"""
_UNSENT = """
SELECT id, job_id, facts FROM message
WHERE job_id = :job_id AND id = :id
      AND NOT EXISTS (SELECT 1 FROM delivery WHERE job_id = :job_id AND message_id = :id AND destination = :destination)
"""
_RESULT = """
SELECT payload.status, payload.headers, payload.content
FROM message JOIN payload ON payload.id = message.result_id WHERE message.job_id = ? AND message.id = ?
"""
MessageKey = tuple[str, str]
"""The id of what a message is about, and the message's own."""


def deliveries(
    db: sqlite3.Connection, destination: str, *, after: str, below: str, most: int
) -> list[tuple[str, DeliveryState]]:
    """Return the next `most` deliveries to a destination with ids between two, in order."""
    return [(row[0], DeliveryState(row[1])) for row in db.execute(_DELIVERIES, (destination, after, below, most))]


def unsent(
    db: sqlite3.Connection, destination: str, *, after: MessageKey, since: str, until: str, most: int
) -> tuple[list[AnyMessage], MessageKey | None]:
    """Return those of the next `most` messages that ended between two ids and have no delivery to a destination,
    without their results, and the last that was looked at, None at the end.
    """
    bounds = {"job_id": after[0], "id": after[1], "below": until, "most": most}
    keys = db.execute(_KEYS, bounds | {"since": f"msg_{since}", "until": f"msg_{until}"}).fetchall()
    found = []
    for job_id, message_id, is_within in keys:
        if is_within:
            row = rows.only(db, _UNSENT, {"job_id": job_id, "id": message_id, "destination": destination})
            found += [] if row is None else [rows.message(row[0], row[1], row[2], None)]
    return found, (keys[-1][0], keys[-1][1]) if len(keys) == most else None


def result_of(db: sqlite3.Connection, subject_id: str, message_id: str) -> Result | None:
    """Return the result that a message tells of, or None."""
    row = rows.only(db, _RESULT, (subject_id, message_id))
    return rows.result(*row) if row else None
