"""`sendoff destinations`: every destination, what is owed to it, and when it last took something.

`sendoff destinations test NAME` sends a message `webhook.test` to one of them, once; `pause NAME` has what is owed to
it held, and `resume NAME` has it sent; `replay NAME` sends again what it missed.
"""

import argparse
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

from rich.text import Text

from pipeline.cli import asking, listing, replaying, testing
from pipeline.cli.address import add_address
from pipeline.cli.client import Client
from pipeline.cli.failures import RefusedError
from pipeline.cli.known import with_names
from pipeline.cli.refusals import parsed, refusal
from pipeline.cli.screen import words
from pipeline.cli.screen.clean import clean_line, json_text
from pipeline.cli.screen.console import out, print_lines, styled_state
from pipeline.clock import SystemClock


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `destinations` to the command line."""
    parser = subparsers.add_parser("destinations", help="list destinations and how they stand", description=__doc__)
    listing.add_listing(parser, default=listing.MOST)
    add_address(parser)
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(metavar="VERB")
    test = verbs.add_parser("test", help="send a webhook.test to a destination, once", description=run_test.__doc__)
    test.add_argument("name", type=_name, metavar="NAME", help="the destination")
    testing.add_wish(test)
    test.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print what the service answers")
    add_address(test, is_inner=True)
    test.set_defaults(run=run_test)
    replay = verbs.add_parser("replay", help="send again what a destination missed", description=run_replay.__doc__)
    replay.add_argument("name", type=_name, metavar="NAME", help="the destination")
    replaying.add_wish(replay)
    replay.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print what the service answers")
    add_address(replay, is_inner=True)
    replay.set_defaults(run=run_replay)
    for verb, shown in (("pause", "hold what is owed to a destination"), ("resume", "send what was held")):
        inner = verbs.add_parser(verb, help=shown, description=run_verb.__doc__)
        inner.add_argument("name", type=_name, metavar="NAME", help="the destination")
        inner.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print the destination as JSON"
        )
        add_address(inner, is_inner=True)
        inner.set_defaults(run=run_verb, verb=verb)


def run(args: argparse.Namespace) -> int:
    """Print them; return 0."""
    return asking.run(args, partial(_show, args))


def run_test(args: argparse.Namespace) -> int:
    """Send one message `webhook.test`, now, and say what became of it; 0 where every recipient took it, else 1.

    It tells of a made-up job whose result is {"test": true}, or what --data says; or again of the job that --job names.
    """
    return _of_one(args, testing.begin)


def run_verb(args: argparse.Namespace) -> int:
    """Pause a destination, or resume it: what it is owed is held meanwhile, also over restarts.

    One that is paused already stays so: that is said, and no error.
    """
    return _of_one(args, _change)


def run_replay(args: argparse.Namespace) -> int:
    """Send again what a destination was owed in a span of time, and did not take; a few at a time, over restarts."""
    return _of_one(args, replaying.begin)


def _of_one(args: argparse.Namespace, work: Callable[[argparse.Namespace, Client], Awaitable[int]]) -> int:
    """Return what `work` does with the destination that the command names; one that is none is told with those that
    there are.
    """

    async def with_client(client: Client) -> int:
        try:
            return await work(args, client)
        except RefusedError as error:
            raise await with_names(client, error, destination=args.name) from None

    return asking.run(args, with_client)


async def _change(args: argparse.Namespace, client: Client) -> int:
    path = f"/v1/destinations/{args.name}"
    before = await client.ask("GET", path)
    answer = await client.ask("POST", f"{path}/{args.verb}")
    if answer.status != 202:
        raise refusal(answer, client.address)
    changed = parsed(answer, client.address)
    if args.json:
        print(json_text(changed))
        return 0
    # A key that may not look is told less: it may change all the same.
    was = parsed(before, client.address) if before.status == 200 else changed
    if args.verb == "pause":
        waiting = f"{words.count(changed['held'], 'delivery', 'deliveries')} waiting"
    else:
        waiting = _going_on(was, changed)
    is_so = args.verb == "pause" and was is not changed and was["state"] == "paused"
    since = words.moment(changed["since"]) if is_so else None
    already = f"  already, since {words.clock_time(since, SystemClock().now())}" if since else ""
    state = styled_state(changed["state"])
    print_lines(out(), [Text.assemble(f"destination {changed['name']}  ", state, f"{already}  {waiting}")])
    return 0


def _going_on(was: Any, changed: Any) -> str:
    # Of all only what was there before can be told: afterwards some are sent at once, and others come.
    total = sum(was[key] for key in ("held", "due", "retrying"))
    later = min(total, changed["retrying"])
    now = words.count(total - later, "delivery goes on now", "deliveries go on now")
    return f"{now}, {later:,} at {'its' if later == 1 else 'their'} next attempt" if later else now


def _name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) is None:
        raise argparse.ArgumentTypeError(f"expected the name of a destination, got {text!r}")
    return text


async def _show(args: argparse.Namespace, client: Client) -> int:
    return await listing.show(
        client,
        "/v1/destinations",
        {},
        args,
        heads=(
            *("NAME", "KIND", "STATE", "SENDING", "DUE", "RETRYING", "HELD", "DEAD"),
            *("LAST SUCCESS", "BREAKER", "NOT BEFORE", "WHY"),
        ),
        row=partial(_row, SystemClock().now()),
        nothing="No destinations are configured.",
    )


def _row(now: datetime, destination: Any) -> listing.Row:
    success, pause = words.moment(destination["last_success_at"]), words.moment(destination["not_before"])
    since = words.moment(destination["since"])
    why = (f"since {words.age(since, now)}" if since else "", clean_line(destination["reason"] or ""))
    return (
        destination["name"],
        destination["kind"] or "",
        styled_state(destination["state"]),
        *(str(destination[key]) for key in ("in_flight", "due", "retrying", "held", "dead")),
        f"{words.age(success, now)} ago" if success else "never",
        destination["breaker"],
        words.when(pause, now) if pause else "",
        ": ".join(filter(None, why)),
    )
