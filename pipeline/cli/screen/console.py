"""Where commands write: rich consoles over stdout and stderr, with colours and redrawing on terminals alone.

Nothing that comes from outside is ever read as markup: what is printed are texts with styles.
"""

import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import TextIO

from rich.console import Console
from rich.text import Text

STYLES = MappingProxyType(
    {
        "scheduled": "blue",
        "queued": "blue",
        "pending": "blue",
        "receiving": "blue",
        "running": "cyan",
        "sending": "cyan",
        "retrying": "yellow",
        "returned": "yellow",
        "lost": "yellow",
        "succeeded": "green",
        "completed": "green",
        "delivered": "green",
        "active": "green",
        "failed": "red",
        "dead": "red",
        "expired": "red",
        "disabled": "red",
        "completed_with_failures": "red",
        "cancelled": "magenta",
        "held": "magenta",
        "paused": "magenta",
        "unconfigured": "magenta",
    }
)
"""The colour of every state."""
_UNBOUNDED = 100_000


def out() -> Console:
    """Return a console over stdout."""
    return _console(sys.stdout)


def err() -> Console:
    """Return a console over stderr: for what is no answer, but tells how things go."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # names in any script, on terminals that have only one
    is_terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=is_terminal,
        color_system="auto" if is_terminal else None,
        no_color=bool(os.environ.get("NO_COLOR")),
        # Nobody has said how wide a line may be: none is cut, so that other programs find all of it.
        width=None if is_terminal else _UNBOUNDED,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def say_trouble(trouble: str | None) -> None:
    """Say on stderr that the service does not answer, or, for None, that it does again."""
    err().print(f"{trouble}; trying again" if trouble else "the service answers again", soft_wrap=True)


def say_each(sentences: Iterable[str]) -> None:
    """Say sentences on stderr, a line each."""
    for sentence in sentences:
        err().print(sentence, soft_wrap=True)


def is_live(console: Console) -> bool:
    """Tell whether the console can draw again over what it drew."""
    return console.is_terminal and not console.is_dumb_terminal


def styled_state(text: str) -> Text:
    """Return a state, with or without its reason, in its colour."""
    return Text(text, STYLES.get(text.partition(" ")[0], ""))


def columns(rows: Iterable[Sequence[str | Text]]) -> list[Text]:
    """Return rows as lines with their columns one below the other, without blanks at the ends."""
    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    return [_row(row, widths) for row in cells]


def _row(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for cell, width in zip(cells, widths, strict=True):
        line.append_text(cell).append(" " * (width - cell.cell_len + 2))
    line.rstrip()
    return line


def print_table(console: Console, heads: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table; on a terminal that is too narrow for it each row takes several lines, and nothing is left out."""
    held = list(rows)
    lines = columns([[Text(head, "bold") for head in heads], *held])
    if console.is_terminal and any(line.cell_len > console.width for line in lines):
        lines = [line for row in held for line in _narrow(heads, row, console.width)]
    print_lines(console, lines)


def _narrow(heads: Sequence[str], row: Sequence[str | Text], width: int) -> Iterator[Text]:
    """Yield a row as lines of pairs, each of a head and what stands under it; what is empty is left out."""
    name, *cells = row
    yield name.copy() if isinstance(name, Text) else Text(name, "bold")
    line = Text()
    for head, cell in zip(heads[1:], cells, strict=True):
        pair = Text.assemble("  ", (f"{head.lower()} ", "dim"), cell)
        if not cell:
            continue
        if line and line.cell_len + pair.cell_len > width:
            yield line
            line = Text()
        line.append_text(pair)
    yield line


def print_lines(console: Console, lines: Iterable[Text]) -> None:
    """Print lines whole, however long they are."""
    for line in lines:
        console.print(line, soft_wrap=True)


def indented(lines: Iterable[Text], by: int = 2) -> Iterator[Text]:
    """Yield the lines with blanks before them."""
    return (Text(" " * by).append_text(line) for line in lines)
