"""`sendoff job`: everything about one job: where it stands, what happens next and when, runs, log lines, deliveries.

Of a batch: how many of its jobs have ended and how, the first failures, and where its message went.
"""

import argparse
import asyncio
from dataclasses import asdict
from functools import partial
from typing import Any

from pipeline.cli import asking, subjects
from pipeline.cli.client import Client
from pipeline.cli.failures import CommandError
from pipeline.cli.listing import whole
from pipeline.cli.owed import in_full, owed_by
from pipeline.cli.patience import Patience
from pipeline.cli.results import failures_of
from pipeline.cli.screen import console, words
from pipeline.cli.screen.batch_end import print_batch_end
from pipeline.cli.screen.clean import json_text
from pipeline.cli.screen.job_page import Facts, print_page
from pipeline.clock import SystemClock

LINES = 10
_MOST_RUNS = 500
_SAID = ("is_missing", "others", "left_out")
"""What the page says of its facts, and is none of the JSON."""


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `job` to the command line."""
    parser = subparsers.add_parser("job", help="show everything about a job or a batch", description=__doc__)
    parser.add_argument(
        "--lines", type=whole, default=LINES, metavar="N", help=f"the last N log lines (default {LINES})"
    )
    parser.add_argument("--json", action="store_true", help="print all that is shown as one JSON object")
    asking.add_id(parser, "job's or batch's id")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it; return 0 whatever the job's state is."""
    return asking.run(args, partial(_show, args))


async def _show(args: argparse.Namespace, client: Client) -> int:
    subject = await subjects.find(client, args.id)
    if subject.kind == "batch":
        await _show_batch(args, client, subject)
        return 0
    facts = await _facts(args, client, subject)
    if args.json:
        print(json_text({name: value for name, value in asdict(facts).items() if name not in _SAID}))
    else:
        print_page(console.out(), facts, SystemClock().now())
    return 0


async def _show_batch(args: argparse.Namespace, client: Client, subject: subjects.Subject) -> None:
    batch = subject.shown
    patience = Patience(SystemClock(), console.say_trouble, 0)
    failures = await failures_of(client, batch, patience)
    owed = await owed_by(client, subject, is_whole=args.json)
    if args.json:
        print(json_text({"batch": batch, "failures": failures, "deliveries": owed.shown}))
        return
    print_batch_end(console.out(), batch, failures=failures, deliveries=owed.shown, left_out=owed.left_out)
    console.err().print(f"Its jobs: sendoff jobs --batch {batch['id']}", soft_wrap=True)


async def _facts(args: argparse.Namespace, client: Client, subject: subjects.Subject) -> Facts:
    job = subject.shown
    if client.has_link:  # it shows the job, and no more
        return Facts(job=job, runs=[], log=[], deliveries=[], is_missing=False)
    (runs, _), log, owed, is_missing = await asyncio.gather(
        client.items(f"{subject.path}/runs", _MOST_RUNS),
        client.get(f"{subject.path}/logs", {"last": min(args.lines, 500)}),
        owed_by(client, subject, is_whole=args.json),
        _is_missing(client, job),
    )
    return Facts(
        job=job,
        runs=runs,
        log=log["items"],
        deliveries=await in_full(client, owed.shown),
        others=owed.others,
        left_out=owed.left_out,
        is_missing=is_missing,
    )


async def _is_missing(client: Client, job: Any) -> bool:
    if job["state"] not in words.WAITING:
        return False
    try:
        return job["function"] in (await client.get("/readyz"))["missing_functions"]
    except CommandError:
        return False  # while the service drains it does not say
