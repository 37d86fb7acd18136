"""`sendoff retry`: has a job that failed, expired or was cancelled run again, or all of a batch that failed or expired.

It is the same job, in its next round, with all its attempts before it; `sendoff replay` makes a new one.
"""

import argparse
from functools import partial

from pipeline.cli import asking, subjects
from pipeline.cli.client import Client


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `retry` to the command line."""
    parser = subparsers.add_parser("retry", help="have what failed run again", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the job or the batch as JSON")
    asking.add_id(parser, "job's or batch's id")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask for it; return 0 once the service has taken it on."""
    return asking.run(args, partial(_retry, args))


async def _retry(args: argparse.Namespace, client: Client) -> int:
    subject = await subjects.act(client, args.id, job="retry", batch="retry-failed")
    subjects.tell(subject, is_json=args.json, then=f"Follow it: sendoff wait {args.id}")
    return 0
