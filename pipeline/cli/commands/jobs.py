"""`sendoff jobs`: the jobs, newest first."""

import argparse
from datetime import datetime
from functools import partial
from typing import Any

from pipeline.cli import asking, listing
from pipeline.cli.address import add_address
from pipeline.cli.client import Client
from pipeline.cli.screen import words
from pipeline.cli.screen.clean import clean_line
from pipeline.cli.screen.console import styled_state
from pipeline.clock import SystemClock
from pipeline.model import JobState


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `jobs` to the command line."""
    parser = subparsers.add_parser("jobs", help="list jobs, newest first", description=__doc__)
    parser.add_argument("--function", metavar="NAME", help="only those of this function")
    parser.add_argument("--state", choices=list(map(str, JobState)), help="only those in this state")
    parser.add_argument("--batch", type=asking.an_id, metavar="ID", help="only those of this batch")
    parser.add_argument("--parent", type=asking.an_id, metavar="ID", help="only those that this job's message made")
    parser.add_argument("--tag", help="only those with this tag")
    parser.add_argument("--since", type=listing.duration, metavar="SPAN", help="only those of the last 2h, say")
    listing.add_listing(parser)
    add_address(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print them; return 0."""
    return asking.run(args, partial(_show, args))


async def _show(args: argparse.Namespace, client: Client) -> int:
    now = SystemClock().now()
    query = {name: getattr(args, name) for name in ("function", "state", "batch", "parent", "tag")}
    return await listing.show(
        client,
        "/v1/jobs",
        {**query, "created_after": listing.before(args.since, now)},
        args,
        heads=("ID", "FUNCTION", "STATE", "ATTEMPT", "AGE", "TOOK", "DELIVERIES", "TAGS"),
        row=partial(_row, now),
        nothing="No such jobs.",
    )


def _row(now: datetime, job: Any) -> listing.Row:
    return (
        job["id"],
        job["function"],
        styled_state(words.state(job)),
        f"{job['attempt']}/{job['max_attempts']}",
        words.age(datetime.fromisoformat(job["created_at"]), now),
        words.took(job["started_at"], job["ended_at"], now) if job["state"] not in words.WAITING else "",
        words.deliveries(job["deliveries"]),
        clean_line(", ".join(job["tags"])),
    )
