"""`sendoff deliveries`: what is owed to destinations, and what has become of it; newest first."""

import argparse
from datetime import datetime
from functools import partial
from typing import Any

from rich.text import Text

from pipeline.cli import asking, listing
from pipeline.cli.address import add_address
from pipeline.cli.client import Client
from pipeline.cli.failures import UsageError
from pipeline.cli.screen import words
from pipeline.cli.screen.clean import clean_line
from pipeline.cli.screen.console import styled_state
from pipeline.clock import SystemClock
from pipeline.model import DeliveryState

STATES = [str(state) for state in DeliveryState]


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `deliveries` to the command line."""
    parser = subparsers.add_parser("deliveries", help="list deliveries, newest first", description=__doc__)
    parser.add_argument("--destination", metavar="NAME", help="only those to this destination")
    parser.add_argument("--state", choices=STATES, help="only those in this state")
    parser.add_argument("--job", type=asking.an_id, metavar="ID", help="only those of this job")
    listing.add_listing(parser)
    add_address(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print them; return 0. UsageError for filters that the list of one job does not have."""
    if args.job and (args.destination or args.state):
        raise UsageError("--job shows all deliveries of a job: it goes with neither --destination nor --state")
    return asking.run(args, partial(_show, args))


async def _show(args: argparse.Namespace, client: Client) -> int:
    return await listing.show(
        client,
        f"/v1/jobs/{args.job}/deliveries" if args.job else "/v1/deliveries",
        {"destination": args.destination, "state": args.state},
        args,
        heads=("ID", "DESTINATION", "STATE", "ATTEMPT", "AGE", "NEXT", "OF", "LAST ERROR"),
        row=partial(_row, SystemClock().now()),
        nothing="No such deliveries.",
    )


def _row(now: datetime, delivery: Any) -> listing.Row:
    next_at = words.moment(delivery["next_attempt_at"])
    error = delivery["last_error"]
    to = f"{delivery['destination']} {delivery['recipient']}" if delivery["recipient"] else delivery["destination"]
    return (
        delivery["id"],
        clean_line(to),
        styled_state(words.state(delivery)),
        f"{delivery['attempt']}/{delivery['max_attempts']}",
        words.age(datetime.fromisoformat(delivery["created_at"]), now),
        words.when(next_at, now) if next_at else "",
        delivery["job_id"] or delivery["batch_id"] or "",
        Text(clean_line(error["message"]) if error and delivery["state"] != "delivered" else ""),
    )
