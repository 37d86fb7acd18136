"""`sendoff logs`: what a job's runs wrote, oldest first; with -f also what they write until the job ends."""

import argparse
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import orjson

from pipeline.cli import asking
from pipeline.cli.client import Client
from pipeline.cli.failures import UnavailableError
from pipeline.cli.listing import whole
from pipeline.cli.patience import Patience
from pipeline.cli.screen import console, words
from pipeline.cli.screen.clean import json_text
from pipeline.cli.screen.console import say_trouble
from pipeline.cli.screen.log_lines import LogPrinter
from pipeline.clock import SystemClock

PAGE = 500
_PAUSE_S = 0.1


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `logs` to the command line."""
    parser = subparsers.add_parser("logs", help="show what a job's runs wrote", description=__doc__)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job ends")
    parser.add_argument("--last", type=whole, metavar="N", help=f"begin with the last N lines (at most {PAGE})")
    parser.add_argument("--json", action="store_true", help="print each line as a JSON object")
    asking.add_id(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print them; return 0."""
    return asking.run(args, partial(_show, args))


async def _show(args: argparse.Namespace, client: Client) -> int:
    printer = LogPrinter(console.out())
    seen = Seen()
    async with aclosing(stored(client, args.id, last=args.last and min(args.last, PAGE))) as lines:
        async for line in lines:
            if seen.is_new(line):
                _print(line, printer, is_json=args.json)
    if args.follow:
        async with aclosing(followed(client, args.id, seen, say_trouble)) as more:
            async for line in more:
                _print(line, printer, is_json=args.json)
    return 0


def _print(line: Any, printer: LogPrinter, *, is_json: bool) -> None:
    if is_json:
        print(json_text(line, is_indented=False), flush=True)
    else:
        printer.print(line)


class Seen:
    """Knows which lines have come, so that none comes twice.

    What a run had written when its service was killed is lost, and its numbers are given again to the run after it: a
    number is known only together with its run.
    """

    def __init__(self) -> None:
        self.number = 0
        """That of the last line."""
        self.before_run = 0
        """That of the last line before the run which wrote the last line."""
        self._run = 0

    def is_new(self, line: Any) -> bool:
        """Tell whether a line has not come before, and note it."""
        if (line["run"], line["number"]) <= (self._run, self.number):
            return False
        if line["run"] != self._run:
            self.before_run = line["number"] - 1
        self._run, self.number = line["run"], line["number"]
        return True


async def stored(client: Client, job_id: str, *, last: int | None = None) -> AsyncGenerator[Any, None]:
    """Yield the lines that there are: all, or the last ones."""
    page = await client.get(f"/v1/jobs/{job_id}/logs", {"limit": PAGE} if last is None else {"last": last})
    while True:
        for line in page["items"]:
            yield line
        if page["next_cursor"] is None:
            return
        page = await client.get(f"/v1/jobs/{job_id}/logs", {"limit": PAGE, "cursor": page["next_cursor"]})


async def followed(
    client: Client, job_id: str, seen: Seen, on_trouble: Callable[[str | None], None]
) -> AsyncGenerator[Any, None]:
    """Yield the lines that were not seen, until the job ends, over restarts of the service."""
    clock = SystemClock()
    patience = Patience(clock, on_trouble)
    # From the run's first line on, also the first time: the service may have been killed since the last one came.
    path, after = f"/v1/jobs/{job_id}/logs", seen.before_run
    is_over = False
    while not is_over:
        # Its state before its lines: one that has ended has all of them stored. A service that stops ends the stream
        # in good order, too, so that only the state says whether there is more to come.
        job = await patience.ask(partial(client.get, f"/v1/jobs/{job_id}"))
        is_over = job["state"] in words.FINAL
        try:
            async with aclosing(client.lines(path, {"follow": 1, "after": after})) as lines:
                async for text in lines:
                    if text.strip() and seen.is_new(line := orjson.loads(text)):
                        yield line
        except UnavailableError:
            is_over = False
        after = seen.before_run
        if not is_over:
            await clock.sleep(_PAUSE_S)
