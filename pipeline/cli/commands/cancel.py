"""`sendoff cancel`: ends a job, or what is left of a batch. One that waits ends at once, a run as at its time limit.

Of a delivery: it is not sent any more. Of a replay: it opens nothing more.
"""

import argparse
from functools import partial

from pipeline.cli import asking, subjects
from pipeline.cli.client import Client


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `cancel` to the command line."""
    parser = subparsers.add_parser("cancel", help="end a job, a batch, a delivery or a replay", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print what was cancelled as JSON")
    asking.add_id(parser, "job's, batch's, delivery's or replay's id")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask for it; return 0 once the service has taken it on."""
    return asking.run(args, partial(_cancel, args))


async def _cancel(args: argparse.Namespace, client: Client) -> int:
    subject = await subjects.act(client, args.id, job="cancel", batch="cancel", delivery="cancel", replay="cancel")
    is_over = subject.shown["state"] in ("cancelled", "completed", "completed_with_failures")
    then = "" if is_over else f"What runs is being ended: sendoff wait {args.id}"
    subjects.tell(subject, is_json=args.json, then=then)
    return 0
