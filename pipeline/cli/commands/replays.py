"""`sendoff replays`: the replays of destinations, newest first; with an ID one of them, which `--follow` waits for.

`sendoff destinations replay NAME` begins one, `sendoff cancel ID` ends it.
"""

import argparse
from functools import partial

from pipeline.cli import asking, listing, replaying
from pipeline.cli.address import add_address
from pipeline.cli.client import Client
from pipeline.cli.failures import UsageError
from pipeline.clock import SystemClock


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `replays` to the command line."""
    parser = subparsers.add_parser("replays", help="list replays of destinations, or follow one", description=__doc__)
    parser.add_argument("id", nargs="?", type=asking.an_id, metavar="ID", help="the replay's id, or its URL")
    parser.add_argument("--destination", metavar="NAME", help="only those of this destination")
    parser.add_argument("--follow", action="store_true", help="wait until all that it opened is sent, dead or held")
    listing.add_listing(parser)
    add_address(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print them; return 0, and 1 for one that was followed and did not go well. UsageError where `--follow` names
    none.
    """
    if args.follow and args.id is None:
        raise UsageError("--follow is for one replay: name it by its id")
    return asking.run(args, partial(_show, args))


async def _show(args: argparse.Namespace, client: Client) -> int:
    if args.id is None:
        path = f"/v1/destinations/{args.destination}/replays" if args.destination else "/v1/replays"
        row = partial(replaying.row, SystemClock().now())
        return await listing.show(client, path, {}, args, heads=replaying.HEADS, row=row, nothing="No replays.")
    replay = await client.get(f"/v1/replays/{args.id}")
    if args.follow:
        return await replaying.follow(client, replay, is_json=args.json)
    replaying.tell(replay, is_json=args.json)
    return 0
