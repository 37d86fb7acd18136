"""Idempotency keys: what a key that a caller chose has led to. One transaction looks, makes and remembers."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.store.engine import rows
from pipeline.store.engine.rows import micros

KEPT = timedelta(hours=24)

_FIND = "SELECT made_id, fingerprint FROM idempotency WHERE owner = ? AND scope = ? AND key = ? AND at > ?"
_REMEMBER = """
INSERT INTO idempotency (owner, scope, key, fingerprint, made_id, at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (owner, scope, key) DO UPDATE SET fingerprint = excluded.fingerprint, made_id = excluded.made_id,
                                              at = excluded.at
"""
_PRUNE = """
DELETE FROM idempotency
WHERE (owner, scope, key) IN (SELECT owner, scope, key FROM idempotency WHERE at <= ? LIMIT ?)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A caller's key: good for 24 hours, within its owner and scope."""

    owner: str
    """The name of the caller's access key; empty without keys."""
    scope: str
    """What it makes, such as a job of one function."""
    key: str
    fingerprint: bytes
    """Of the request: another one with the same key is a mistake. Empty: any may follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What an earlier request with the same key has made."""

    made_id: str
    is_same: bool
    """Whether it was the same request."""


def find(db: sqlite3.Connection, key: IdempotencyKey, *, now: datetime) -> Earlier | None:
    """Return what a key has led to already, or None."""
    row = rows.only(db, _FIND, (key.owner, key.scope, key.key, micros(now - KEPT)))
    return None if row is None else Earlier(made_id=row[0], is_same=row[1] == key.fingerprint)


def once(
    db: sqlite3.Connection, key: IdempotencyKey, made_id: str, make: Callable[[], object], *, now: datetime
) -> Earlier | None:
    """Make something, unless its key has led to something already: then return that."""
    earlier = find(db, key, now=now)
    if earlier is not None:
        return earlier
    make()
    db.execute(_REMEMBER, (key.owner, key.scope, key.key, key.fingerprint, made_id, micros(now)))
    return None


def prune(db: sqlite3.Connection, most: int, *, now: datetime) -> int:
    """Forget up to `most` keys that are too old; return how many."""
    return db.execute(_PRUNE, (micros(now - KEPT), most)).rowcount
