"""What the commands that list have in common: how many, as a table or as JSON, and what to say of an empty list."""

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.text import Text

from pipeline.cli.client import Client, Query
from pipeline.cli.failures import RefusedError
from pipeline.cli.known import with_names
from pipeline.cli.screen import console
from pipeline.cli.screen.clean import json_text
from pipeline.config.units import duration_s

Row = Sequence[str | Text]
MOST = 1_000_000
_LONGEST = timedelta(days=36_525)


def add_listing(parser: argparse.ArgumentParser, default: int = 20) -> None:
    """Add `--limit` and `--json`."""
    parser.add_argument("--limit", type=whole, default=default, metavar="N", help=f"show so many (default {default})")
    parser.add_argument("--json", action="store_true", help="print the list as JSON, as the service answers it")


def whole(text: str) -> int:
    """Return a number of things, for argparse."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MOST):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MOST}, got {text!r}")
    return int(text)


def duration(text: str) -> timedelta:
    """Return a span such as `90s` or `2h`, of a hundred years at the most, for argparse."""
    try:
        if (span := timedelta(seconds=duration_s(text))) <= _LONGEST:
            return span
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"expected a duration such as 30s, 10m, 2h or 7d, got {text!r}")


def before(since: timedelta | None, now: datetime) -> str | None:
    """Return the moment so long before `now` as the API writes it."""
    return None if since is None else (now - since).astimezone(UTC).isoformat().replace("+00:00", "Z")


async def asked(client: Client, path: str, args: argparse.Namespace, query: Query) -> tuple[list[Any], str | None]:
    """Return what a list has, and the cursor behind it; a name that it is narrowed to, and that is none, is told with
    those that there are.
    """
    try:
        return await client.items(path, args.limit, query)
    except RefusedError as error:
        named = {kind: getattr(args, kind, None) for kind in ("destination", "function")}
        raise await with_names(client, error, **named) from None


async def show(
    client: Client,
    path: str,
    query: Query,
    args: argparse.Namespace,
    *,
    heads: Sequence[str],
    row: Callable[[Any], Row],
    nothing: str,
) -> int:
    """Print a list of the API's, and what is left of it; return 0."""
    items, cursor = await asked(client, path, args, query)
    if args.json:
        print(json_text({"items": items, "next_cursor": cursor}))
        return 0
    if not items:
        console.err().print(nothing)
        return 0
    console.print_table(console.out(), heads, map(row, items))
    if cursor is not None:
        these = "this is the newest" if len(items) == 1 else f"these are the newest {len(items):,}"
        console.err().print(f"There are more: {these}; --limit shows more of them.")
    return 0
