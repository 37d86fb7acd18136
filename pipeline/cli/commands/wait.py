"""`sendoff wait`: follows a job, or a batch, to its end. Exit codes: 0 where it succeeded, 1 where it did not, or
has not ended within `--timeout`.
"""

import argparse
import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.cli import asking, subjects
from pipeline.cli.batch_following import follow_batch
from pipeline.cli.client import Client
from pipeline.cli.commands.batch import end as end_batch
from pipeline.cli.failures import CommandError
from pipeline.cli.following import follow
from pipeline.cli.listing import duration
from pipeline.cli.patience import Patience
from pipeline.cli.results import check_results
from pipeline.cli.screen import console
from pipeline.cli.screen.batch_live import BatchLive
from pipeline.cli.screen.clean import json_text
from pipeline.cli.screen.held import of_deliveries
from pipeline.cli.screen.job_end import print_end
from pipeline.cli.screen.job_live import JobLive
from pipeline.clock import SystemClock
from pipeline.spans import span

_MOST_DELIVERIES = 500


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `wait` to the command line."""
    parser = subparsers.add_parser("wait", help="follow a job or a batch to its end", description=__doc__)
    parser.add_argument("--settled", action="store_true", help="also until its deliveries have come to an end")
    shown = "of a batch: write its results, a line of JSON for each job"
    parser.add_argument("--results", type=Path, metavar="FILE", help=shown)
    parser.add_argument("--timeout", type=duration, metavar="SPAN", help="give up after so long, such as 30s")
    parser.add_argument("--json", action="store_true", help="at the end print the job or the batch as JSON")
    asking.add_id(parser, "job's or batch's id")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Wait; return the exit code."""
    check_results(args.results)
    return asking.run(args, partial(_wait, args))


async def _wait(args: argparse.Namespace, client: Client) -> int:
    seconds = None if args.timeout is None else args.timeout.total_seconds()
    subject = await subjects.find(client, args.id)
    follow_it = _job if subject.kind == "job" else _batch
    try:
        async with asyncio.timeout(seconds):
            return await follow_it(args, client, subject.shown)
    except TimeoutError:
        wanted = "not come to an end with its deliveries" if args.settled else "not ended"
        raise CommandError(
            f"it has {wanted} within {span(seconds or 0)}", f"Look at it: sendoff job {args.id}"
        ) from None


async def _job(args: argparse.Namespace, client: Client, job: Any) -> int:
    with JobLive(console.err()) as live:
        job = await follow(client, job, live, is_settling=args.settled)
    if args.json:
        print(json_text(job))
    else:
        print_end(console.out(), job)
    if args.settled and job["deliveries"]["held"] and not client.has_link:  # that shows the job, and no more
        patience = Patience(SystemClock(), console.say_trouble)
        owed, _ = await patience.ask(partial(client.items, f"/v1/jobs/{job['id']}/deliveries", _MOST_DELIVERIES))
        console.say_each(of_deliveries(owed))
    return 0 if job["state"] == "succeeded" else 1


async def _batch(args: argparse.Namespace, client: Client, batch: Any) -> int:
    with BatchLive(console.err(), batch["function"]) as live:
        patience = Patience(SystemClock(), live.trouble)
        batch = await follow_batch(client, batch, live, patience)
    await end_batch(args, client, batch, patience)
    return 0 if batch["state"] == "completed" else 1
