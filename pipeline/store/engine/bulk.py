"""Statements over many rows at once: one call of SQLite where a loop would make one for each row."""

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

Row = tuple[Any, ...]
_MOST = 64


def execute(db: sqlite3.Connection, sql: str, rows: Sequence[Row]) -> list[Row]:
    """Run `sql`, in which `{values}` stands for the rows, over all `rows`; return what RETURNING brings, unordered.

    Rows go in pieces of 64, 32, 16, ... so that a handful of prepared statements serves every number of rows.
    """
    found: list[Row] = []
    for piece in _pieces(rows):
        statement = sql.replace("{values}", _placeholders(len(piece), len(piece[0])))
        found += db.execute(statement, [value for row in piece for value in row]).fetchall()
    return found


def _pieces(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    at = 0
    while left := len(rows) - at:
        size = min(_MOST, 1 << (left.bit_length() - 1))
        yield rows[at : at + size]
        at += size


@lru_cache(maxsize=256)
def _placeholders(count: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"VALUES {', '.join([row] * count)}"
