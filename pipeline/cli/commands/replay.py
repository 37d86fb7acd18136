"""`sendoff replay`: makes a new job of what a job was called with, whatever became of that one. Prints its id.

Of a delivery: it is sent again, by the full schedule of its destination; `--new-id` as another message, which its
receiver does not take for a repeat. `sendoff destinations replay NAME` does that for many.
"""

import argparse
from functools import partial

from pipeline.cli import asking, subjects
from pipeline.cli.client import Client
from pipeline.cli.screen import console
from pipeline.cli.screen.clean import json_text


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `replay` to the command line."""
    parser = subparsers.add_parser(
        "replay", help="make a new job of an old one's call, or send a delivery again", description=__doc__
    )
    parser.add_argument("--json", action="store_true", help="print the new job, or the delivery, as JSON")
    parser.add_argument("--new-id", action="store_true", help="of a delivery: under a new message id")
    asking.add_id(parser, "job's or delivery's id")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask for it; return 0 once that is stored."""
    return asking.run(args, partial(_replay, args))


async def _replay(args: argparse.Namespace, client: Client) -> int:
    if args.new_id:
        delivery = await client.post(f"/v1/deliveries/{args.id}/replay", document={"new_id": True})
        subject = subjects.Subject("delivery", delivery)
    else:
        subject = await subjects.act(client, args.id, job="replay", delivery="replay")
    if subject.kind == "delivery":
        is_held = subject.shown["state"] == "held"
        then = "It is held, and sent once its destination takes deliveries" if is_held else "It is sent again"
        subjects.tell(subject, is_json=args.json, then=f"{then}; look at it: sendoff explain {subject.shown['id']}")
        return 0
    job = subject.shown
    print(json_text(job) if args.json else job["id"])
    if not args.json:
        console.err().print(f"A new job of {job['function']}; follow it: sendoff wait {job['id']}")
    return 0
