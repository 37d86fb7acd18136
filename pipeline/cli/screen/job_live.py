"""A job as it goes on: drawn over and over on a terminal, with its last log lines; elsewhere a line for each change."""

from collections import deque
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.cli.screen import words
from pipeline.cli.screen.console import styled_state
from pipeline.cli.screen.live import LiveScreen
from pipeline.cli.screen.log_lines import log_line
from pipeline.spans import span

_LINES = 6
_BAR = 40


class JobLive(LiveScreen):
    """Shows one job, where it is drawn with its last log lines."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._job: Any = None
        self._lines: deque[Any] = deque(maxlen=_LINES)
        self._said = ""
        self._spinner = Spinner("dots")

    def show(self, job: Any) -> None:
        """Show the job as it is now."""
        self._job = job
        line = self._line()
        if not self.is_drawn and line.plain != self._said:
            self._said = line.plain
            self._print(line)

    def add_line(self, line: Any) -> None:
        """Show one more log line."""
        self._lines.append(line)

    def _line(self) -> Text:
        job = self._job
        line = Text.assemble((f"{job['function']}  ", "bold"), styled_state(words.state(job)))
        if job["run"]:
            line.append(f"  attempt {job['attempt']} of {job['max_attempts']}")
        if job["state"] in words.FINAL and (owed := words.deliveries(job["deliveries"])):
            line.append(f"  {owed}")
        return line

    def _draw(self) -> RenderableType:
        if self._job is None:
            return Text()
        now = self._clock.now()
        job = self._job
        head = self._line()
        if (at := words.moment(job["next_attempt_at"])) is not None:
            head.append(f"  the next {words.when(at, now)}")
        else:
            head.append(f"  {span((now - datetime.fromisoformat(job['created_at'])).total_seconds())}", "dim")
        grid = Table.grid(padding=(0, 1))
        grid.add_row(self._spinner, self._fitted(head, beside=2))
        parts: list[RenderableType] = [grid]
        if job["progress"] is not None and job["state"] == "running":
            parts.append(self._progress(job["progress"]))
        parts += self._troubled()
        parts += [self._fitted(Text("  ").append_text(log_line(line))) for line in self._lines]
        return Group(*parts)

    def _progress(self, progress: Any) -> RenderableType:
        text = Text(words.progress(progress), "cyan")
        if not progress["total"] or progress["done"] is None:
            return Text("  ").append_text(text)
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=progress["total"], completed=progress["done"], width=_BAR)
        row.add_row(" ", bar, self._fitted(text, beside=_BAR + 3))
        return row
