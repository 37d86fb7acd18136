"""`sendoff destinations`: every destination, what is owed to it, and when it last took something."""

import argparse
from datetime import datetime
from functools import partial
from typing import Any

from pipeline.cli import asking, listing
from pipeline.cli.address import add_address
from pipeline.cli.client import Client
from pipeline.cli.screen import words
from pipeline.cli.screen.console import styled_state
from pipeline.clock import SystemClock


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `destinations` to the command line."""
    parser = subparsers.add_parser("destinations", help="list destinations and how they stand", description=__doc__)
    listing.add_listing(parser, default=listing.MOST)
    add_address(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print them; return 0."""
    return asking.run(args, partial(_show, args))


async def _show(args: argparse.Namespace, client: Client) -> int:
    return await listing.show(
        client,
        "/v1/destinations",
        {},
        args,
        heads=("NAME", "KIND", "STATE", "SENDING", "DUE", "HELD", "LAST SUCCESS", "BREAKER", "NOT BEFORE"),
        row=partial(_row, SystemClock().now()),
        nothing="No destinations are configured.",
    )


def _row(now: datetime, destination: Any) -> listing.Row:
    success, pause = words.moment(destination["last_success_at"]), words.moment(destination["not_before"])
    return (
        destination["name"],
        destination["kind"] or "",
        styled_state(destination["state"]),
        str(destination["in_flight"]),
        str(destination["due"]),
        str(destination["held"]),
        f"{words.age(success, now)} ago" if success else "never",
        destination["breaker"],
        words.when(pause, now) if pause else "",
    )
