"""`sendoff wait`: follows a job, or a batch, to its end. Exit codes: 0 where it succeeded, 1 where it did not."""

import argparse
import asyncio
from functools import partial

from pipeline.cli import asking, subjects
from pipeline.cli.client import Client
from pipeline.cli.failures import CommandError
from pipeline.cli.following import follow
from pipeline.cli.listing import duration
from pipeline.cli.screen import console
from pipeline.cli.screen.clean import json_text
from pipeline.cli.screen.job_end import print_end
from pipeline.cli.screen.job_live import JobLive
from pipeline.cli.screen.words import span


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `wait` to the command line."""
    parser = subparsers.add_parser("wait", help="follow a job or a batch to its end", description=__doc__)
    parser.add_argument(
        "--settled", action="store_true", help="of a job: also until its deliveries have come to an end"
    )
    parser.add_argument("--timeout", type=duration, metavar="SPAN", help="give up after so long, such as 30s")
    parser.add_argument("--json", action="store_true", help="at the end print the job or the batch as JSON")
    asking.add_id(parser, "job's or batch's id")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Wait; return the exit code."""
    return asking.run(args, partial(_wait, args))


async def _wait(args: argparse.Namespace, client: Client) -> int:
    seconds = None if args.timeout is None else args.timeout.total_seconds()
    subject = await subjects.find(client, args.id)
    try:
        async with asyncio.timeout(seconds):
            with JobLive(console.err()) as live:
                job = await follow(client, subject.shown, live, is_settling=args.settled)
    except TimeoutError:
        raise CommandError(
            f"it has not ended within {span(seconds or 0)}", f"All about it: sendoff job {args.id}"
        ) from None
    if args.json:
        print(json_text(job))
    else:
        print_end(console.out(), job)
    return 0 if job["state"] == "succeeded" else 1
