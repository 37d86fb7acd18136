"""Measures the parts of Sendoff, each in a few seconds, and prints a table. Asserts nothing.

.venv/bin/python benchmarks/run.py [--seconds S] [store|pool|webhook|pure|status|history|batch ...]
"""

import argparse
import platform
import sqlite3
import tempfile
from pathlib import Path

import uvloop
from of_batch import of_batch
from of_history import of_history
from of_parts import of_pool, of_pure, of_webhook
from of_status import of_status
from of_store import of_store
from timing import Row, Stopwatch

MEASURES = {
    "store": of_store,
    "pool": of_pool,
    "webhook": of_webhook,
    "pure": of_pure,
    "status": of_status,
    "history": of_history,
    "batch": of_batch,
}


def main() -> None:
    """Measure what is named, or all."""
    parser = argparse.ArgumentParser(description="Measure the parts of Sendoff by themselves.")
    parser.add_argument("part", nargs="*", help=f"what to measure: {', '.join(MEASURES)} (default: all)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each measurement takes (default: 2)")
    args = parser.parse_args()
    parts = args.part or list(MEASURES)
    if unknown := set(parts) - MEASURES.keys():
        parser.error(f"nothing to measure is called {', '.join(sorted(unknown))}")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}\n")
    print(f"{'':44}{'a second':>10}{'each, µs':>10}")
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="sendoff-bench-") as folder:
            for row in uvloop.run(MEASURES[part](Path(folder), Stopwatch(args.seconds))):
                print(_line(row), flush=True)


def _line(row: Row) -> str:
    return f"{row.name:44}{row.per_second:>10,.0f}{1e6 / row.per_second:>10,.1f}  {row.note}"


if __name__ == "__main__":
    main()
