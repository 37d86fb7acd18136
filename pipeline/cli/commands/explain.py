"""`sendoff explain`: why something is where it is, and what happens next: a job or a batch with its deliveries, a
delivery, a replay, or a destination by its name.
"""

import argparse
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, assert_never

from rich.text import Text

from pipeline.cli import asking, subjects
from pipeline.cli.client import Client
from pipeline.cli.owed import in_full, owed_by
from pipeline.cli.screen import console, words
from pipeline.cli.screen.clean import clean_line, json_text
from pipeline.cli.screen.console import indented, styled_state
from pipeline.cli.screen.explained import of_batch, of_destination, of_replay
from pipeline.cli.screen.next_steps import next_steps
from pipeline.clock import SystemClock


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `explain` to the command line."""
    parser = subparsers.add_parser("explain", help="say why something is where it is", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print what the service answers")
    asking.add_id(parser, "job's, batch's, delivery's or replay's id, or the name of a destination")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Say it; return 0, whatever it is."""
    return asking.run(args, partial(_explain, args))


async def _explain(args: argparse.Namespace, client: Client) -> int:
    subject = await subjects.find_any(client, args.id)
    kind, shown = subject
    owed: list[Any] = []
    left_out = ""
    if kind in ("job", "batch") and not client.has_link:  # that shows the job, and no more
        listed = await owed_by(client, subject, is_whole=args.json)
        owed, left_out = await in_full(client, listed.shown), listed.left_out
    if args.json:
        print(json_text({kind: shown, "deliveries": owed} if kind in ("job", "batch") else shown))
        return 0
    console.print_lines(console.out(), _lines(subject, owed, SystemClock().now()))
    console.print_lines(console.out(), indented([Text(left_out)] if left_out else []))
    return 0


def _lines(subject: subjects.Subject, owed: list[Any], now: datetime) -> Iterator[Text]:
    shown = subject.shown
    match subject.kind:
        case "delivery":
            return _delivery(shown)
        case "job":
            return _with_deliveries(subject, next_steps(shown, owed, now)[0], owed)
        case "batch":
            return _with_deliveries(subject, " ".join(of_batch(shown, owed)), owed)
        case "replay":
            return _told(subject, shown["destination"], " ".join(of_replay(shown)))
        case "destination":
            return _destination(shown, now)
        case never:
            assert_never(never)


def _delivery(delivery: Any) -> Iterator[Text]:
    to = clean_line(f"{delivery['destination']} {delivery['recipient']}".strip())
    yield Text.assemble((f"delivery {delivery['id']}  {to}  ", "bold"), styled_state(words.state(delivery)))
    yield from indented([Text(clean_line(delivery["explain"]))])


def _with_deliveries(subject: subjects.Subject, sentence: str, owed: list[Any]) -> Iterator[Text]:
    yield from _told(subject, subject.shown["function"], sentence)
    for delivery in owed:
        yield from indented(_delivery(delivery))


def _told(subject: subjects.Subject, name: str, sentence: str) -> Iterator[Text]:
    kind, shown = subject
    yield Text.assemble((f"{kind} {shown['id']}  {clean_line(name)}  ", "bold"), styled_state(words.state(shown)))
    yield from indented([Text(clean_line(sentence))])


def _destination(shown: Any, now: datetime) -> Iterator[Text]:
    yield Text.assemble((f"destination {shown['name']}  ", "bold"), styled_state(shown["state"]))
    yield from indented(map(Text, of_destination(shown, now)))
