"""A batch as it goes on: a bar on a terminal, elsewhere a line from time to time."""

from collections import deque
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.cli.screen.clean import clean_line
from pipeline.cli.screen.live import MARGIN, LiveScreen
from pipeline.spans import span

_BAR, _LEAST_BAR = 40, 8
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


class BatchLive(LiveScreen):
    """Shows one batch, and before that how its items are sent."""

    def __init__(self, console: Console, function: str) -> None:
        super().__init__(console)
        self._function = clean_line(function)
        self._began = self._clock.monotonic()
        self._rate = Rate()
        self._batch: Any = None
        self._sent, self._to_send = 0, 0
        self._owed: dict[str, int] = {}
        self._said: tuple[float, str] = (-_LINE_EVERY_S, "")

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

    # Lines

    def _say(self) -> None:
        now_s, line = self._clock.monotonic(), self._facts().plain
        at_s, said = self._said
        if not self.is_drawn and line != said and now_s - at_s >= _LINE_EVERY_S:
            self._said = (now_s, line)
            self._print(Text(f"{self._function}  {line}"))

    # The bar

    def _draw(self) -> RenderableType:
        done, total = self._done()
        facts = self._facts()
        room = self._console.width - MARGIN - len(self._function) - facts.cell_len - 2
        width = max(_LEAST_BAR, min(_BAR, room))
        row = Table.grid(padding=(0, 1))
        row.add_row(
            Text(self._function, "bold"),
            ProgressBar(total=max(total, 1), completed=done, width=width),
            self._fitted(facts, beside=len(self._function) + width + 2),
        )
        return Group(row, *self._more(), *self._troubled())

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

    def _more(self) -> list[Text]:
        if self._batch is None:
            return []
        parts = [f"{self._batch['running']:,} running", f"{self._batch['open']:,} waiting"]
        waiting = [f"{clean_line(name)} {number:,}" for name, number in self._owed.items() if number]
        parts += [f"deliveries on their way: {', '.join(waiting)}"] if waiting else []
        parts.append(span(self._clock.monotonic() - self._began))
        return [self._fitted(Text("  " + "  ".join(parts), "dim"))]


def ended(batch: Any) -> int:
    """Return how many jobs of a batch have ended."""
    return int(sum(batch[state] for state in _ENDS))
