"""A batch as it goes on: a bar on a terminal, elsewhere a line from time to time."""

from collections import deque
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.cli.screen import words
from pipeline.cli.screen.clean import clean_line
from pipeline.cli.screen.console import is_live
from pipeline.clock import SystemClock
from pipeline.spans import span

_PER_SECOND = 8
_BAR, _LEAST_BAR = 40, 8
_MARGIN = 4
_WINDOW_S = 10.0
_LINE_EVERY_S = 5.0
_ENDS = ("succeeded", "failed", "cancelled", "expired")


class Rate:
    """How fast a number grows, over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, at_s: float, number: int) -> None:
        """Note how far it is."""
        if self._seen and number < self._seen[-1][1]:
            self._seen.clear()  # it begins anew
        self._seen.append((at_s, number))
        while at_s - self._seen[0][0] > _WINDOW_S and len(self._seen) > 2:
            self._seen.popleft()

    def per_s(self, at_s: float) -> float | None:
        """Return the growth a second; None where there is too little to say."""
        if len(self._seen) < 2:
            return None
        (since, first), (_, last) = self._seen[0], self._seen[-1]
        return (last - first) / (at_s - since) if at_s - since >= 1 and last > first else None


class BatchLive:
    """Shows one batch while it is entered as a context; on a terminal nothing of it stays."""

    def __init__(self, console: Console, function: str) -> None:
        self._console = console
        self._function = clean_line(function)
        self._clock = SystemClock()
        self._began = self._clock.monotonic()
        self._rate = Rate()
        self._batch: Any = None
        self._sent, self._to_send = 0, 0
        self._owed: dict[str, int] = {}
        self._trouble: str | None = None
        self._said: tuple[float, str] = (-_LINE_EVERY_S, "")
        self._live = (
            Live(get_renderable=self._draw, console=console, refresh_per_second=_PER_SECOND, transient=True)
            if is_live(console)
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

    def sending(self, sent: int, total: int) -> None:
        """Show how many items have been sent."""
        self._sent, self._to_send = sent, total
        self._rate.note(self._clock.monotonic(), sent)
        self._say()

    def show(self, batch: Any) -> None:
        """Show the batch as it is now."""
        if self._batch is None:
            self._rate = Rate()
        self._batch = batch
        self._rate.note(self._clock.monotonic(), ended(batch))
        self._say()

    def owed(self, counts: dict[str, int]) -> None:
        """Show how many deliveries wait for each destination."""
        self._owed = counts

    def trouble(self, sentence: str | None) -> None:
        """Show that the service does not answer; None once it does."""
        if self._live is None and sentence != self._trouble:
            self._print(Text(f"{sentence}; trying again" if sentence else "the service answers again"))
        self._trouble = sentence

    # Lines

    def _say(self) -> None:
        now_s, line = self._clock.monotonic(), self._facts().plain
        at_s, said = self._said
        if self._live is None and line != said and now_s - at_s >= _LINE_EVERY_S:
            self._said = (now_s, line)
            self._print(Text(f"{self._function}  {line}"))

    def _print(self, line: Text) -> None:
        at = words.exact_time(self._clock.now())
        self._console.print(Text.assemble((at, "dim"), "  ", line), soft_wrap=True)

    # The bar

    def _draw(self) -> RenderableType:
        done, total = self._done()
        facts = self._facts()
        # The last columns stay free: what a terminal echoes there, such as ^C, must not begin another line.
        width = self._console.width - _MARGIN
        bar_width = max(_LEAST_BAR, min(_BAR, width - len(self._function) - facts.cell_len - 2))
        row = Table.grid(padding=(0, 1))
        row.add_row(
            Text(self._function, "bold"), ProgressBar(total=max(total, 1), completed=done, width=bar_width), facts
        )
        facts.truncate(max(0, width - len(self._function) - bar_width - 2), overflow="ellipsis")
        lines = [self._more(), Text(f"  {self._trouble}; trying again", "yellow") if self._trouble else None]
        for line in lines:
            if line is not None:
                line.truncate(width, overflow="ellipsis")
        return Group(row, *(line for line in lines if line is not None))

    def _done(self) -> tuple[int, int]:
        if self._batch is None:
            return self._sent, self._to_send
        return ended(self._batch), self._batch["total"]

    def _facts(self) -> Text:
        done, total = self._done()
        now_s = self._clock.monotonic()
        verb = "sent" if self._batch is None else "done"
        line = Text(f"{done:,} of {total:,} {verb}")
        if self._batch is not None:
            for state, style in (("failed", "red"), ("expired", "red"), ("cancelled", "magenta")):
                if number := self._batch[state]:
                    line.append(f"  {number:,} {state}", style)
        rate = self._rate.per_s(now_s)
        if rate is not None:
            line.append(f"  {rate:,.0f}/s" if rate >= 10 else f"  {rate:.1f}/s", "cyan")
        if done < total and (eta_s := self._eta_s(rate, total - done)) is not None:
            line.append(f"  eta {span(max(eta_s, 1.0))}", "cyan")
        return line

    def _eta_s(self, rate: float | None, left: int) -> float | None:
        if rate is not None:
            return left / rate
        return None if self._batch is None else self._batch["eta_s"]

    def _more(self) -> Text | None:
        if self._batch is None:
            return None
        parts = [f"{self._batch['running']:,} running", f"{self._batch['open']:,} waiting"]
        waiting = [f"{clean_line(name)} {number:,}" for name, number in self._owed.items() if number]
        parts += [f"deliveries on their way: {', '.join(waiting)}"] if waiting else []
        parts.append(span(self._clock.monotonic() - self._began))
        return Text("  " + "  ".join(parts), "dim")


def ended(batch: Any) -> int:
    """Return how many jobs of a batch have ended."""
    return int(sum(batch[state] for state in _ENDS))
