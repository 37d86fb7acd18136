"""`sendoff usage`: what functions used, by day: invocations, run time, GB-seconds."""

import argparse
import re
from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Any

from rich.text import Text

from pipeline.cli import asking, listing
from pipeline.cli.address import add_address
from pipeline.cli.client import Client
from pipeline.cli.screen import console
from pipeline.cli.screen.clean import json_text
from pipeline.spans import span

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_HEADS = ("DAY", "FUNCTION", "INVOCATIONS", "CALLS", "RUNS", "FAILED", "RUN TIME", "GB-SECONDS")
_NAMES = 2
"""So many columns are names; the others are numbers, and stand to the right."""
_COUNTS = ("invocations", "calls", "runs", "failed")
_SUMMED = (*_COUNTS, "run_time_s", "gb_seconds")


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `usage` to the command line."""
    parser = subparsers.add_parser("usage", help="show what functions used, by day", description=__doc__)
    parser.add_argument("--from", dest="first", type=day, metavar="DAY", help="from this day on (default: 30 days)")
    parser.add_argument("--to", dest="last", type=day, metavar="DAY", help="up to this day (default: today, in UTC)")
    parser.add_argument("--function", metavar="NAME", help="only this function")
    listing.add_listing(parser, default=listing.MOST)
    add_address(parser)
    parser.set_defaults(run=run)


def day(text: str) -> str:
    """Return a day such as 2026-01-05, for argparse."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a day such as 2026-01-05, got {text!r}")


def run(args: argparse.Namespace) -> int:
    """Print it; return 0."""
    return asking.run(args, partial(_show, args))


async def _show(args: argparse.Namespace, client: Client) -> int:
    query = {"from": args.first, "to": args.last, "function": args.function}
    items, cursor = await listing.asked(client, "/v1/usage", args, query)
    if args.json:
        print(json_text({"items": items, "next_cursor": cursor}))
        return 0
    if not items:
        console.err().print("Nothing was used in that time.")
        return 0
    total: dict[str, Any] = {name: sum(item[name] for item in items) for name in _SUMMED}
    rows = [_row(item["day"], item["function"], item) for item in items]
    heads, *days, last = _to_the_right([_HEADS, *rows, _row("total", "", total)])
    console.print_table(console.out(), heads, [*days, [Text(cell, "bold") for cell in last]])
    if cursor is not None:
        console.err().print(f"There is more: these are the newest {len(items)}, and the total is theirs.")
    return 0


def _row(first: str, second: str, used: Any) -> Sequence[str]:
    counts = (f"{used[name]:,}" for name in _COUNTS)
    return (first, second, *counts, span(used["run_time_s"]), f"{used['gb_seconds']:,.3f}")


def _to_the_right(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return rows with their numbers filled up from the left."""
    widths = [0 if at < _NAMES else max(map(len, column)) for at, column in enumerate(zip(*rows, strict=True))]
    return [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
