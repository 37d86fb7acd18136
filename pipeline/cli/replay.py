"""`sendoff replay`: makes a new job of what a job was called with, whatever became of that one. Prints its id."""

import argparse
from functools import partial

from pipeline.cli import asking
from pipeline.cli.client import Client
from pipeline.cli.screen import console
from pipeline.cli.screen.clean import json_text


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `replay` to the command line."""
    parser = subparsers.add_parser("replay", help="make a new job of an old one's call", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the new job as JSON")
    asking.add_id(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask for it; return 0 once the new job is stored."""
    return asking.run(args, partial(_replay, args))


async def _replay(args: argparse.Namespace, client: Client) -> int:
    job = await client.post(f"/v1/jobs/{args.id}/replay")
    print(json_text(job) if args.json else job["id"])
    if not args.json:
        console.err().print(f"A new job of {job['function']}; follow it: sendoff wait {job['id']}")
    return 0
