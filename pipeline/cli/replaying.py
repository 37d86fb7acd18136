"""Replays of destinations on the command line: asked for, followed, told of in a line."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from pipeline.cli import listing
from pipeline.cli.client import Client
from pipeline.cli.failures import UsageError
from pipeline.cli.patience import Patience
from pipeline.cli.screen import console, words
from pipeline.cli.screen.clean import clean_line, json_text
from pipeline.cli.screen.console import styled_state
from pipeline.cli.screen.held import of_destination
from pipeline.clock import SystemClock
from pipeline.config.units import rate_per_s
from pipeline.model import ReplayOf
from pipeline.shapes import moment_of, rfc3339

_PAUSE_S = 0.5
_NOT_SENT = ("dead", "held", "cancelled")


def add_wish(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is to be replayed, and how."""
    parser.add_argument(
        "--since", type=_since, required=True, metavar="WHEN", help="the first moment that counts: 2h ago, or RFC 3339"
    )
    parser.add_argument("--until", type=_when, metavar="WHEN", help="the last moment that counts (default now)")
    parser.add_argument(
        "--state",
        action="append",
        choices=[str(each) for each in ReplayOf],
        help="what is sent (default dead), may be repeated; missing: of ends before the destination was named",
    )
    parser.add_argument("--rate", type=_rate, metavar="RATE", help="so many at the most (default 50/s)")
    parser.add_argument("--new-id", action="store_true", help="under new message ids, which receivers do not know yet")
    parser.add_argument("--dry-run", action="store_true", help="only count them")
    parser.add_argument("--follow", action="store_true", help="wait until all that it opened is sent, dead or held")


async def begin(args: argparse.Namespace, client: Client) -> int:
    """Have a destination replayed as the command line says; return 0, and 1 where it was followed and did not go well.

    UsageError for a span of time that cannot be.
    """
    if args.since > rfc3339(SystemClock().now()):
        raise UsageError(f"--since {args.since} has not come yet")
    if args.until is not None and args.until < args.since:
        raise UsageError(f"--until {args.until} is before --since {args.since}")
    wish = {"since": args.since, "until": args.until, "states": args.state and sorted(set(args.state))}
    wish |= {"rate": args.rate, "new_id": args.new_id, "dry_run": args.dry_run}
    document = {name: value for name, value in wish.items() if value}
    answered = await client.post(f"/v1/destinations/{args.name}/replay", document=document)
    if args.dry_run:
        if args.json:
            print(json_text(answered))
        else:
            counts = ", ".join(f"{count:,} {state}" for state, count in answered["states"].items())
            total = words.count(answered["total"], "delivery", "deliveries")
            console.print_lines(console.out(), [Text(f"{answered['destination']}  {total} to send: {counts}")])
        return 0
    if args.follow:
        return await follow(client, answered, is_json=args.json)
    tell(answered, is_json=args.json)
    if not args.json:
        console.err().print(f"Follow it: sendoff replays {answered['id']} --follow")
    return 0


async def follow(client: Client, replay: Any, *, is_json: bool) -> int:
    """Wait until a replay has ended, and all that it opened, over restarts of the service, and tell of it.

    What is held has ended, too: it waits for an operator. Returns 1 where it was cancelled, or something that it opened
    did not arrive: it is dead, held or cancelled.
    """
    clock = SystemClock()
    patience = Patience(clock, console.say_trouble)
    with _shown(replay) as show:
        while replay["state"] == "running":
            await clock.sleep(_PAUSE_S)
            replay = await patience.ask(partial(client.get, f"/v1/replays/{replay['id']}"))
            show(replay)
        if (left := _left(replay)) and not is_json:
            console.err().print(f"All are opened; {words.count(left, 'delivery is', 'deliveries are')} still to end.")
        while _left(replay):
            await clock.sleep(_PAUSE_S)
            replay = await patience.ask(partial(client.get, f"/v1/replays/{replay['id']}"))
    tell(replay, is_json=is_json)
    if held := replay["deliveries"]["held"]:
        destination = await patience.ask(partial(client.get, f"/v1/destinations/{replay['destination']}"))
        console.say_each([of_destination(destination["name"], destination["state"], held)])
    return 0 if replay["state"] == "completed" and not any(replay["deliveries"][state] for state in _NOT_SENT) else 1


def _left(replay: Any) -> int:
    return sum(replay["deliveries"][state] for state in words.OPEN_DELIVERIES)


@contextmanager
def _shown(replay: Any) -> Iterator[Any]:
    """Show how far a replay is, where somebody watches; yields what is to be called with every news."""
    if not console.is_live(console.err()):
        yield lambda _: None
        return
    columns = (TextColumn(f"replay to {clean_line(replay['destination'])}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console.err(), transient=True) as progress:
        task = progress.add_task("", total=replay["total"])
        yield lambda news: progress.update(task, total=news["total"], completed=news["done"] + news["skipped"])


def tell(replay: Any, *, is_json: bool) -> None:
    """Print a replay in a line, or as JSON."""
    if is_json:
        print(json_text(replay))
        return
    line = Text.assemble(f"replay {replay['id']}  {clean_line(replay['destination'])}  ", styled_state(replay["state"]))
    console.print_lines(console.out(), [line.append(f"  {progress(replay)}")])


def progress(replay: Any) -> str:
    """Return how far a replay got: `120 of 10,000 opened, 3 skipped: 1 dead, 119 delivered`."""
    total = "" if replay["total"] is None else f" of {replay['total']:,}"
    skipped = f", {replay['skipped']:,} skipped" if replay["skipped"] else ""
    counts = replay.get("deliveries", {})  # lists have none
    became = ", ".join(f"{counts[state]:,} {state}" for state in words.DELIVERY_STATES if counts.get(state))
    return f"{replay['done']:,}{total} opened{skipped}{became and f': {became}'}"


HEADS = ("ID", "DESTINATION", "STATE", "OF", "PROGRESS", "RATE", "AGE")


def row(now: datetime, replay: Any) -> Sequence[str | Text]:
    """Return a replay as a row under HEADS."""
    return (
        replay["id"],
        clean_line(replay["destination"]),
        styled_state(replay["state"]),
        ", ".join(replay["states"]),
        progress(replay),
        replay["rate"],
        words.age(datetime.fromisoformat(replay["created_at"]), now),
    )


def _since(text: str) -> str:
    when = _when(text)
    if moment_of(text) is None and not listing.duration(text):
        raise argparse.ArgumentTypeError(f"expected a duration of more than 0s such as 2h, got {text!r}")
    return when


def _when(text: str) -> str:
    if (at := moment_of(text)) is not None:
        return rfc3339(at)
    try:
        ago = listing.duration(text)
    except argparse.ArgumentTypeError:
        expected = "a duration such as 2h, or a moment such as 2026-01-05T12:00:00Z"
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None
    return rfc3339(SystemClock().now() - ago)


def _rate(text: str) -> str:
    try:
        if rate_per_s(text) > 0:
            return text
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a rate such as 20/s, 30/m or 100/h, got {text!r}")
