"""Replays of destinations: each verb is the body of one transaction on the writer.

What a replay opens, and the cursor that says how far it got, change together: so whoever goes on from the cursor,
after whatever crash, doubles nothing and leaves nothing out.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from pipeline.model import HELD_STATES, Addition, DeliveryState, Reopening, Replay, ReplayOf, ReplayState
from pipeline.store.engine import bulk, rows
from pipeline.store.engine.rows import micros, micros_or_none

_COLUMNS = (
    "id, destination, since, until, states, rate, is_renewing, cursor, total, done, skipped, state, created_at,"
    " ended_at"
)
_INSERT = f"""
INSERT INTO replay ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING RETURNING id
"""
_RUNNING = f"SELECT {_COLUMNS} FROM replay INDEXED BY replay_running WHERE state = 'running'"
_RUNNING_OF = f"{_RUNNING} AND destination = ?"
_GET = f"SELECT {_COLUMNS} FROM replay WHERE id = ?"
_COUNTED = "UPDATE replay SET total = ? WHERE id = ? AND total IS NULL"

# A step that was taken already, as after an unsure commit, or of a replay that was cancelled, matches nothing.
_STEP = """
UPDATE replay SET cursor = :cursor WHERE id = :id AND state = 'running' AND cursor = :before AND :cursor <> :before
RETURNING id
"""
# What came to stand as is asked for after all was counted is opened too, where its turn is still to come.
_COUNT = """
UPDATE replay SET done = done + :done, skipped = skipped + :skipped,
                  total = max(total, done + :done + skipped + :skipped)
WHERE id = :id
"""
# What was counted and is not found any more has moved on as well.
_END = """
UPDATE replay SET state = :state, ended_at = :at,
                  skipped = iif(:state = 'completed', max(skipped, coalesce(total - done, 0)), skipped)
WHERE id = :id AND state = 'running' RETURNING id
"""

# With its history, as when one delivery is replayed.
_REOPEN = """
UPDATE delivery SET state = 'pending', reason = NULL, spent = attempt, max_attempts = attempt + again.column3, lost = 0,
                    due_at = again.column4, replayed_at = again.column4, is_by_hand = 0, replay_id = again.column6,
                    delivered_at = NULL, new_message_id = coalesce(again.column2, new_message_id)
FROM ({values}) AS again
WHERE delivery.id = again.column1 AND delivery.state IN (SELECT value FROM json_each(again.column5))
RETURNING id, job_id, type
"""

_PENDING = "SELECT id FROM delivery WHERE id IN (SELECT value FROM json_each(?)) AND state = 'pending'"

# Only where the message is there still, and has no such delivery yet.
_ADD = """
INSERT INTO delivery (id, message_id, type, job_id, destination, kind, recipient, state, attempt, max_attempts, lost,
                      created_at, due_at, replayed_at, new_message_id, replay_id)
SELECT new.column1, message.id, json_extract(message.facts, '$.type'), message.job_id, new.column4, new.column5,
       new.column6, 'pending', 0, new.column7, 0, new.column8, new.column8, new.column8, new.column9,
       new.column10
FROM ({values}) AS new JOIN message ON message.job_id = new.column3 AND message.id = new.column2
WHERE true
ON CONFLICT DO NOTHING
RETURNING id, job_id, type
"""
_DELIVERIES = """
SELECT destination, state, count(*) FROM delivery INDEXED BY delivery_by_replay WHERE replay_id = ?
GROUP BY destination, state
"""
_PRUNE = "DELETE FROM replay WHERE id IN (SELECT id FROM replay WHERE ended_at < ? ORDER BY id LIMIT ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What a replay opens in one transaction, and how far it has got with that."""

    cursor: str
    reopenings: Sequence[Reopening] = ()
    additions: Sequence[Addition] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A delivery that a replay has opened."""

    delivery_id: str
    subject_id: str
    is_of_batch: bool
    was_pending: bool
    """Whether it was pending before, and so counted already."""


def insert(db: sqlite3.Connection, replay: Replay) -> Replay | None:
    """Store a replay that begins; where another one of its destination runs, return that, and nothing changes."""
    if rows.only(db, _INSERT, _row(replay)) is not None:
        return None
    found = rows.only(db, _RUNNING_OF, (replay.destination,))
    return None if found is None else _replay(found)


def note_total(db: sqlite3.Connection, replay_id: str, total: int) -> None:
    """Note how many a replay will open."""
    db.execute(_COUNTED, (total, replay_id))


def advance(
    db: sqlite3.Connection, replay: Replay, portion: Portion, *, kind: str, max_attempts: int, now: datetime
) -> list[Opened] | None:
    """Open deliveries and move the cursor on; return which were opened, None where the replay does not stand at its
    cursor any more, or does not run: then nothing changed.
    """
    step = {"id": replay.id, "before": replay.cursor, "cursor": portion.cursor}
    if rows.only(db, _STEP, step) is None:
        return None
    at, states = micros(now), orjson.dumps(sorted(_stored_states(replay.of))).decode()
    again = [
        (each.delivery_id, each.new_message_id, max_attempts, at, states, replay.id) for each in portion.reopenings
    ]
    ids = orjson.dumps([each.delivery_id for each in portion.reopenings]).decode()
    pending = {row[0] for row in db.execute(_PENDING, (ids,))}
    new = [_addition_row(each, replay, kind, max_attempts, at) for each in portion.additions]
    opened = bulk.execute(db, _REOPEN, again) + bulk.execute(db, _ADD, new)
    asked = len(portion.reopenings) + len(portion.additions)
    db.execute(_COUNT, {"done": len(opened), "skipped": asked - len(opened), "id": replay.id})
    return [
        Opened(
            delivery_id=row[0],
            subject_id=row[1],
            is_of_batch=row[2] == "batch.completed",
            was_pending=row[0] in pending,
        )
        for row in opened
    ]


def end(db: sqlite3.Connection, replay_id: str, state: ReplayState, *, now: datetime) -> bool:
    """End a replay that runs; False for any other. Completed, it has skipped whatever of its total it did not open."""
    return rows.only(db, _END, {"state": state, "at": micros(now), "id": replay_id}) is not None


def prune(db: sqlite3.Connection, most: int, *, ended_before: datetime) -> int:
    """Delete up to `most` replays that ended before a moment; return how many."""
    return db.execute(_PRUNE, (micros(ended_before), most)).rowcount


def running(db: sqlite3.Connection) -> list[Replay]:
    """Return the replays that run."""
    return [_replay(row) for row in db.execute(_RUNNING)]


def get(db: sqlite3.Connection, replay_id: str) -> Replay | None:
    """Return a replay, or None."""
    row = rows.only(db, _GET, (replay_id,))
    return None if row is None else _replay(row)


def opened_by(db: sqlite3.Connection, replay_id: str) -> dict[tuple[str, DeliveryState], int]:
    """Count the deliveries that a replay was the last to open, by destination and state."""
    found = db.execute(_DELIVERIES, (replay_id,))
    return {(destination, DeliveryState(state)): count for destination, state, count in found}


def list_all(db: sqlite3.Connection, *, before: str | None, most: int, destination: str | None) -> list[Replay]:
    """Return up to `most` replays older than the id `before`, newest first."""
    terms = ["id < :before"] if before else []
    terms += ["destination = :destination"] if destination else []
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    sql = f"SELECT {_COLUMNS} FROM replay {where} ORDER BY id DESC LIMIT :most"
    found = db.execute(sql, {"before": before, "destination": destination, "most": most})
    return [_replay(row) for row in found]


def _stored_states(of: Iterable[ReplayOf]) -> set[str]:
    named = set(of)
    held = {str(state) for state in HELD_STATES} if ReplayOf.HELD in named else set()
    return held | {str(each) for each in named - {ReplayOf.HELD, ReplayOf.MISSING}}


def _addition_row(value: Addition, replay: Replay, kind: str, max_attempts: int, at: int) -> rows.Row:
    return (
        value.id,
        value.message_id,
        value.subject_id,
        replay.destination,
        kind,
        value.recipient,
        max_attempts,
        at,
        value.new_message_id,
        replay.id,
    )


def _row(value: Replay) -> rows.Row:
    return (
        value.id,
        value.destination,
        micros(value.since),
        micros(value.until),
        orjson.dumps(sorted(value.of)).decode(),
        value.rate,
        int(value.is_renewing),
        value.cursor,
        value.total,
        value.done,
        value.skipped,
        value.state,
        micros(value.created_at),
        micros_or_none(value.ended_at),
    )


def _replay(row: rows.Row) -> Replay:
    return Replay(
        id=row[0],
        destination=row[1],
        since=rows.moment(row[2]),
        until=rows.moment(row[3]),
        of=frozenset(map(ReplayOf, orjson.loads(row[4]))),
        rate=row[5],
        is_renewing=bool(row[6]),
        cursor=row[7],
        total=row[8],
        done=row[9],
        skipped=row[10],
        state=ReplayState(row[11]),
        created_at=rows.moment(row[12]),
        ended_at=rows.moment_or_none(row[13]),
    )
