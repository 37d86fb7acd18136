"""How a batch ended: its counts, what was rejected, what failed and why, and where its message went."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.cli.screen import words
from pipeline.cli.screen.batch_live import ended
from pipeline.cli.screen.clean import clean_line
from pipeline.cli.screen.console import print_lines, styled_state
from pipeline.spans import span

_SHOWN = 10


def print_batch_end(
    console: Console, batch: Any, *, failures: Sequence[Any] = (), deliveries: Sequence[Any] = (), left_out: str = ""
) -> None:
    """Print it; `left_out` tells of the messages that are none of `deliveries`."""
    print_lines(console, [_head(batch), *_failures(batch, failures), *_deliveries(deliveries)])
    print_lines(console, [Text(f"  {left_out}")] if left_out else [])


def print_rejected(console: Console, rejected: Sequence[Any], name_of: Sequence[str]) -> None:
    """Print the items that the service did not take, by their names where they have any."""
    lines = [Text(f"{words.count(len(rejected), 'item')} rejected, and in no batch:", "red")]
    for each in rejected[:_SHOWN]:
        index = each["index"]
        name = name_of[index] if index < len(name_of) else f"item {index}"
        lines.append(Text(f"  {clean_line(name)}: {clean_line(each['detail'])}"))
    if len(rejected) > _SHOWN:
        lines.append(Text(f"  ... and {len(rejected) - _SHOWN:,} more"))
    print_lines(console, lines)


def _head(batch: Any) -> Text:
    head = Text.assemble((batch["function"], "bold"), "  ", styled_state(batch["state"]))
    head.append(f"  {words.count(batch['total'], 'job')}: {batch['succeeded']:,} succeeded")
    for state, style in (("failed", "red"), ("expired", "red"), ("cancelled", "magenta")):
        if number := batch[state]:
            head.append(f", {number:,} {state}", style)
    if number := batch["rejected_total"]:
        head.append(f"; {words.count(number, 'item')} rejected", "red")
    if batch["ended_at"] is not None:
        seconds = (
            datetime.fromisoformat(batch["ended_at"]) - datetime.fromisoformat(batch["created_at"])
        ).total_seconds()
        head.append(f"; after {span(seconds)}")
        if seconds > 0 and batch["total"]:
            head.append(f", {ended(batch) / seconds:,.1f}/s")
    return head


def _failures(batch: Any, failures: Sequence[Any]) -> Iterator[Text]:
    for line in failures:
        error = line.get("error")
        yield Text(f"  {clean_line(line['key'] or '') or 'item ' + str(line['index'])}")
        yield Text.assemble(
            (f"    {line['job_id']}  ", "dim"),
            styled_state(words.state(line)),
            f"  {clean_line(error['errorType'])}: {clean_line(error['errorMessage'])}" if error else "",
        )
    if not failures:
        return
    if (more := batch["failed"] + batch["expired"] - len(failures)) > 0:
        yield Text(f"  ... and {more:,} more: sendoff jobs --batch {batch['id']} --state failed")
    yield Text(f"  all of them again: sendoff retry {batch['id']}")


def _deliveries(deliveries: Sequence[Any]) -> Iterator[Text]:
    for each in deliveries:
        name = clean_line(f"{each['destination']} {each['recipient']}")
        line = Text.assemble(f"  its message to {name}: ", styled_state(words.state(each)))
        if each["last_error"] is not None and each["state"] != "delivered":
            line.append(f"  {clean_line(each['last_error']['message'])}")
        yield line
