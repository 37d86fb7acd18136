"""Log lines: kept in chunks, the newest 8 MB of a job, numbered on over its runs with the dropped ones counted."""

import sqlite3
from collections.abc import Iterator

import orjson

from pipeline.model import LogLine, Output
from pipeline.store.engine import rows
from pipeline.store.engine.rows import micros

JOB_LOG_LIMIT = 8 * 1024 * 1024
"""So many bytes of log lines are kept of one job."""
_CHUNK_BYTES = 64 * 1024

_LAST = "SELECT max(first_number + count) FROM log WHERE job_id = ?"
_INSERT = "INSERT INTO log (job_id, first_number, run, count, bytes, lines) VALUES (?, ?, ?, ?, ?, ?)"
_END = "SELECT first_number + count, run FROM log WHERE job_id = ? ORDER BY first_number DESC LIMIT 1"
_NEWEST_FIRST = "SELECT first_number, bytes FROM log WHERE job_id = ? ORDER BY first_number DESC"
_DROP = "DELETE FROM log WHERE job_id = ? AND first_number <= ?"
_FROM = "SELECT first_number, run, lines FROM log WHERE job_id = ? AND first_number + count > ? ORDER BY first_number"


def append(db: sqlite3.Connection, job_id: str, run: int, output: Output) -> None:
    """Add what a run wrote; the oldest chunks of the job go once it has more than JOB_LOG_LIMIT."""
    if not output.lines:
        return
    last = rows.only(db, _LAST, (job_id,))
    number = (last[0] if last and last[0] else 1) + output.dropped
    for chunk in _chunks(output):
        packed = orjson.dumps(chunk)
        db.execute(_INSERT, (job_id, number, run, len(chunk), len(packed), packed.decode()))
        number += len(chunk)
    _drop_oldest(db, job_id)


def _chunks(output: Output) -> Iterator[list[tuple[int, str, str | None, str]]]:
    chunk: list[tuple[int, str, str | None, str]] = []
    size = 0
    for at, stream, level, text in output.lines:
        chunk.append((micros(at), stream, level, text))
        size += len(text)
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _drop_oldest(db: sqlite3.Connection, job_id: str) -> None:
    kept = 0
    for first_number, size in db.execute(_NEWEST_FIRST, (job_id,)).fetchall():
        kept += size
        if kept > JOB_LOG_LIMIT:
            db.execute(_DROP, (job_id, first_number))
            return


def log_end(db: sqlite3.Connection, job_id: str) -> tuple[int, int]:
    """Return the number that the job's next line will have, and the run that the last stored one was of (0: none)."""
    found = rows.only(db, _END, (job_id,))
    return (found[0], found[1]) if found else (1, 0)


def list_log(db: sqlite3.Connection, job_id: str, after: int, most: int) -> list[LogLine]:
    """Return up to `most` log lines numbered above `after`, oldest first."""
    found: list[LogLine] = []
    for first_number, run, text in db.execute(_FROM, (job_id, after + 1)):
        for number, (at, stream, *level, line) in enumerate(orjson.loads(text), start=first_number):
            if number > after:  # lines from before there were levels have none
                found.append(
                    LogLine(
                        number=number,
                        run=run,
                        at=rows.moment(at),
                        stream=stream,
                        level=level[0] if level else None,
                        text=line,
                    )
                )
        if len(found) >= most:
            break
    return found[:most]
