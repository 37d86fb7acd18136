"""A job as it goes on: drawn over and over on a terminal, with its last log lines; elsewhere a line for each change."""

from collections import deque
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.cli.screen import words
from pipeline.cli.screen.console import is_live, styled_state
from pipeline.cli.screen.log_lines import log_line
from pipeline.clock import SystemClock
from pipeline.spans import span

_LINES = 6
_PER_SECOND = 8
_BAR = 40
_MARGIN = 4
"""So many columns stay free: what a terminal echoes there, such as ^C, must not begin another line."""


class JobLive:
    """Shows one job while it is entered as a context; on a terminal nothing of it stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._job: Any = None
        self._lines: deque[Any] = deque(maxlen=_LINES)
        self._trouble: str | None = None
        self._said = ""
        self._spinner = Spinner("dots")
        self._clock = SystemClock()
        self.wants_lines = is_live(console)
        """Whether log lines are shown."""
        self._live = (
            Live(get_renderable=self._draw, console=console, refresh_per_second=_PER_SECOND, transient=True)
            if self.wants_lines
            else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, job: Any) -> None:
        """Show the job as it is now."""
        self._job = job
        if self._live is None:
            self._say(self._line())

    def add_line(self, line: Any) -> None:
        """Show one more log line."""
        self._lines.append(line)

    def trouble(self, sentence: str | None) -> None:
        """Show that the service does not answer; None once it does."""
        if self._live is None and sentence != self._trouble:
            self._say(Text(f"{sentence}; trying again" if sentence else "the service answers again"))
        self._trouble = sentence

    def _say(self, line: Text) -> None:
        if line.plain != self._said:
            self._said = line.plain
            at = words.exact_time(self._clock.now())
            self._console.print(Text.assemble((at, "dim"), "  ", line), soft_wrap=True)

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
        head.truncate(self._console.width - _MARGIN - 2, overflow="ellipsis")
        grid = Table.grid(padding=(0, 1))
        grid.add_row(self._spinner, head)
        parts: list[RenderableType] = [grid]
        if job["progress"] is not None and job["state"] == "running":
            parts.append(self._progress(job["progress"]))
        if self._trouble is not None:
            trouble = Text(f"  {self._trouble}; trying again", "yellow")
            trouble.truncate(self._console.width - _MARGIN, overflow="ellipsis")
            parts.append(trouble)
        for line in self._lines:
            shown = Text("  ").append_text(log_line(line))
            shown.truncate(self._console.width - _MARGIN, overflow="ellipsis")
            parts.append(shown)
        return Group(*parts)

    def _progress(self, progress: Any) -> RenderableType:
        text = Text(words.progress(progress), "cyan")
        if not progress["total"] or progress["done"] is None:
            return Text("  ").append_text(text)
        row = Table.grid(padding=(0, 1))
        text.truncate(max(0, self._console.width - _MARGIN - _BAR - 3), overflow="ellipsis")
        row.add_row(" ", ProgressBar(total=progress["total"], completed=progress["done"], width=_BAR), text)
        return row
