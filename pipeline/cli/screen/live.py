"""What goes on, as it is shown meanwhile: drawn over and over on a terminal, elsewhere told in lines with the time."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from pipeline.cli.screen import words
from pipeline.cli.screen.console import is_live
from pipeline.clock import SystemClock

MARGIN = 4
"""So many columns stay free: what a terminal echoes there, such as ^C, must not begin another line."""
_PER_SECOND = 8


class LiveScreen(ABC):
    """Shows one thing while it is entered as a context; on a terminal nothing of it stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clock = SystemClock()
        self._trouble: str | None = None
        self.is_drawn = is_live(console)
        """Whether it is drawn, and not told in lines."""
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self.is_drawn:
            self._live = Live(
                get_renderable=self._draw, console=self._console, refresh_per_second=_PER_SECOND, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def trouble(self, sentence: str | None) -> None:
        """Show that the service does not answer; None once it does."""
        if not self.is_drawn and sentence != self._trouble:
            self._print(Text(f"{sentence}; trying again" if sentence else "the service answers again"))
        self._trouble = sentence

    def _print(self, line: Text) -> None:
        at = words.exact_time(self._clock.now())
        self._console.print(Text.assemble((at, "dim"), "  ", line), soft_wrap=True)

    def _fitted(self, line: Text, *, beside: int = 0) -> Text:
        """Cut a line so that it fits beside what takes so many columns."""
        line.truncate(max(0, self._console.width - MARGIN - beside), overflow="ellipsis")
        return line

    def _troubled(self) -> list[Text]:
        return [self._fitted(Text(f"  {self._trouble}; trying again", "yellow"))] if self._trouble else []

    @abstractmethod
    def _draw(self) -> RenderableType: ...
