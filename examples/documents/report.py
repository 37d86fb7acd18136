"""What the demo shows: a live line while it works, a table and totals at the end."""

import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Self

from account import Account, Case
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

ROWS = 100
LINES = 30
REFRESH_S = 0.1
COLOURS = {"succeeded": "green", "failed": "red"}

# Where nobody has said how wide a line may be (a pipe, a CI log) the table gets room.
console = Console(width=None if sys.stdout.isatty() else 120)


class Live:
    """Two bars: jobs that have ended, webhooks that have arrived. What cannot redraw shows only the end."""

    def __init__(self, account: Account) -> None:
        columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._account = account
        self._drawn_at = 0.0
        self._progress = Progress(*columns, console=console)
        self._ended = self._add("ended")
        self._delivered = self._add("delivered")

    def __enter__(self) -> Self:
        """Start to draw."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Draw the last state and leave it standing."""
        self._draw()
        self._progress.stop()

    def update(self) -> None:
        """Bring the bars up to date, unless they just were: counting thousands of cases takes its time."""
        now = time.monotonic()
        if now - self._drawn_at >= REFRESH_S:
            self._drawn_at = now
            self._draw()

    def _draw(self) -> None:
        verified = self._account.verified
        self._progress.update(self._ended, completed=sum(case.is_final for case in self._account.cases))
        self._progress.update(self._delivered, completed=sum(case.job_id in verified for case in self._account.cases))

    def _add(self, what: str) -> TaskID:
        return self._progress.add_task(what, total=len(self._account.cases))


def say(line: str, style: str = "") -> None:
    """Print a line as it is: never wrapped, nothing in it taken for markup."""
    console.print(Text(line, style=style), soft_wrap=True)


def print_report(account: Account, faults: list[str]) -> None:
    """Print the table of documents, why some failed, the totals, and last whether everything is accounted for."""
    if any(case.job_id for case in account.cases):
        console.print(_table(account))
        _say_all(f"{case.name}: {case.error}" for case in account.cases if case.state == "failed")
        say(_totals(account))
    _say_all((f"✗ {fault}" for fault in faults), "red")
    if not faults:
        say("Every document is accounted for.", "bold green")


def _say_all(lines: Iterable[str], style: str = "") -> None:
    """Print the lines, but no more of them than a reader would read."""
    every = list(lines)
    for line in every[:LINES]:
        say(line, style)
    if len(every) > LINES:
        say(f"... and {len(every) - LINES} more", style)


def _table(account: Account) -> Table:
    hidden = len(account.cases) - ROWS
    table = Table(caption=f"and {hidden} more" if hidden > 0 else None)
    table.add_column("document", overflow="fold")
    table.add_column("state")
    for heading in ("words", "attempts", "delivered", "ms"):
        table.add_column(heading, justify="right")
    for case in account.cases[:ROWS]:
        table.add_row(*_row(case, account))
    return table


def _row(case: Case, account: Account) -> tuple[Text, ...]:
    reason = case.job.get("reason")
    said = f"{case.state}: {reason}" if reason else case.state if case.job_id else "not accepted"
    state = Text(said, style=COLOURS.get(case.state, "yellow"))
    receipts = account.verified.get(case.job_id or "", [])
    words = next((str(receipt.words) for receipt in receipts if receipt.words is not None), "")
    elapsed = "" if case.elapsed_s is None else f"{case.elapsed_s * 1000:.0f}"
    attempts = case.job.get("attempt", "")
    return Text(case.name), state, Text(words), Text(str(attempts)), Text(str(len(receipts))), Text(elapsed)


def _index(account: Account) -> str:
    if (found := account.found) is None:
        return "nothing to search"
    return f"{found.entries} index entries; {found.query!r} finds {', '.join(found.names) or 'nothing'}"


def _totals(account: Account) -> str:
    states = Counter(case.state for case in account.cases)
    reasons = Counter(str(case.job.get("reason")) for case in account.cases if case.state == "failed")
    why = f" ({', '.join(f'{reason}: {count}' for reason, count in sorted(reasons.items()))})" if reasons else ""
    verified = sum(map(len, account.verified.values()))
    bad = len(account.receipts) - verified
    rate = len(account.cases) / account.duration_s if account.duration_s else 0.0
    crashes = (
        f"{account.crashes} kills -9, {account.unanswered} submissions sent again, none of them a job twice\n"
        if account.crashes
        else ""
    )
    return (
        f"{len(account.cases)} documents: {states['succeeded']} succeeded, {states['failed']} failed{why}\n"
        f"{verified} webhooks verified, {bad} bad signatures, {account.duplicates} duplicates\n"
        f"{len(account.mails)} mails, {account.repeated_mails} duplicates\n"
        f"{_index(account)}\n"
        f"{crashes}"
        f"{account.duration_s:.1f} s, {rate:.0f} documents/s"
    )
