"""Log lines as they are read: the moment, the line, in the colour of its level; a heading where another run begins."""

from datetime import datetime
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.cli.screen import words
from pipeline.cli.screen.clean import clean_line, clean_text

_LEVELS = MappingProxyType(
    {"debug": "dim", "warning": "yellow", "warn": "yellow", "error": "red", "critical": "bold red", "fatal": "bold red"}
)


def log_line(line: Any) -> Text:
    """Return a line of the API's as text; it stays one line."""
    style = _LEVELS.get(line["level"] or "", "")
    # What was drawn over itself with carriage returns is shown side by side.
    text = clean_text(line["text"].replace("\r", " ")).replace("\n", " ").expandtabs()
    at = words.exact_time(datetime.fromisoformat(line["at"]))
    level = f"{clean_line(line['level']).upper()}  " if line["level"] else ""
    return Text.assemble((at, "dim"), "  ", (level, style), (text, style))


class LogPrinter:
    """Prints lines, and between them where a run ends and the next begins."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._run = 1

    def print(self, line: Any) -> None:
        """Print a line."""
        if line["run"] != self._run:
            self._run = line["run"]
            self._console.print(Text(f"-- run {self._run} --", "bold"))
        self._console.print(log_line(line), soft_wrap=True)
