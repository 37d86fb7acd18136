"""`sendoff batches`: the batches, newest first."""

import argparse
from datetime import datetime
from functools import partial
from typing import Any

from pipeline.cli import asking, listing
from pipeline.cli.address import add_address
from pipeline.cli.client import Client
from pipeline.cli.screen import words
from pipeline.cli.screen.batch_live import ended
from pipeline.cli.screen.console import styled_state
from pipeline.clock import SystemClock
from pipeline.model import BatchState
from pipeline.spans import span


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `batches` to the command line."""
    parser = subparsers.add_parser("batches", help="list batches, newest first", description=__doc__)
    parser.add_argument("--function", metavar="NAME", help="only those of this function")
    parser.add_argument("--state", choices=list(map(str, BatchState)), help="only those in this state")
    listing.add_listing(parser)
    add_address(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print them; return 0."""
    return asking.run(args, partial(_show, args))


async def _show(args: argparse.Namespace, client: Client) -> int:
    return await listing.show(
        client,
        "/v1/batches",
        {"function": args.function, "state": args.state},
        args,
        heads=("ID", "ENDED", "FAILED", "AGE", "STATE", "FUNCTION", "TOOK", "ETA"),
        row=partial(_row, SystemClock().now()),
        nothing="No such batches.",
    )


def _row(now: datetime, batch: Any) -> listing.Row:
    eta_s = batch["eta_s"]
    return (
        batch["id"],
        f"{ended(batch):,}/{batch['total']:,}",
        f"{batch['failed'] + batch['expired']:,}",
        words.age(datetime.fromisoformat(batch["created_at"]), now),
        styled_state(batch["state"]),
        batch["function"],
        words.took(batch["created_at"], batch["ended_at"], now),
        "" if eta_s is None else span(eta_s),
    )
