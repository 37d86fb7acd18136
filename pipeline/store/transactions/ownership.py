"""Whose something is: the key under which a job or a batch was made."""

import sqlite3
from dataclasses import dataclass
from enum import StrEnum

from pipeline.store.engine import rows


class Subject(StrEnum):
    """What can be owned; a delivery is its job's, or its batch's."""

    JOB = "job"
    BATCH = "batch"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Whose something is, and the function that it is of."""

    owner: str | None
    function: str


_FIND = {
    Subject.JOB: "SELECT json_extract(origin, '$.owner'), function FROM job WHERE id = ?",
    Subject.BATCH: "SELECT owner, function FROM batch WHERE id = ?",
    Subject.DELIVERY: """
SELECT coalesce(json_extract(job.origin, '$.owner'), batch.owner), coalesce(job.function, batch.function)
FROM delivery LEFT JOIN job ON job.id = delivery.job_id LEFT JOIN batch ON batch.id = delivery.job_id
WHERE delivery.id = ?
""",
}


def find(db: sqlite3.Connection, subject: Subject, subject_id: str) -> Ownership | None:
    """Return whose a job, a batch or a delivery is; None where it is not there."""
    row = rows.only(db, _FIND[subject], (subject_id,))
    return None if row is None else Ownership(owner=row[0], function=row[1])
