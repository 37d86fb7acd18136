"""From what was read of a run's output to its lines: split, with their levels, without secrets. Pure.

The same bytes give the same lines in whatever pieces they come: those who follow a run and the store number alike.
"""

import re
from copy import copy
from dataclasses import dataclass
from datetime import datetime

from pipeline.mask import Masker
from pipeline.model import LEVELS

LINE_LIMIT = 64 * 1024
MARK_START = b"\x1e\x1f"
"""What a worker puts before each line of a log record, with the number of its level and another 1f behind it."""

Line = tuple[datetime, str, str | None, str]
Chunk = tuple[datetime, str, bytes]
_MARK_SIZE = 4
_MARK = re.compile(MARK_START + rb"([1-5])\x1f")


@dataclass(slots=True)
class _Begun:
    """A line that has no end yet."""

    content: bytes = b""
    level: str | None = None
    """That of the pieces which were cut off it."""


class Splitter:
    """Makes lines of chunks. A line has the time of its end; one longer than 64 KiB becomes several, none is lost."""

    def __init__(self, mask: Masker) -> None:
        self.made = 0
        """How many lines came out so far."""
        self._mask = mask
        self._begun = {"stdout": _Begun(), "stderr": _Begun()}

    def copy(self) -> "Splitter":
        """Return one that goes on from here by itself."""
        twin = copy(self)
        twin._begun = {stream: copy(begun) for stream, begun in self._begun.items()}
        return twin

    def feed(self, chunk: Chunk) -> list[Line]:
        """Return the lines that a chunk ends."""
        at, stream, content = chunk
        begun = self._begun[stream]
        joined = begun.content + content
        *whole, rest = joined.split(b"\n")
        lines: list[Line] = []
        if MARK_START not in joined and not self._mask.finds(joined) and not _has_long_line(joined):
            for text in whole:
                lines.append((at, stream, begun.level, text.decode(errors="replace")))
                begun.level = None
            begun.content = rest
            self.made += len(lines)
            return lines
        for text in whole:
            begun.content = text
            self._cut(begun, at, stream, lines, is_whole=True)
            self._add(lines, at, stream, begun.content, begun.level)
            begun.level = None
        begun.content = rest
        self._cut(begun, at, stream, lines)
        self.made += len(lines)
        return lines

    def skip(self, chunk: Chunk) -> None:
        """Do as `feed` does, and only count the lines: many times as fast."""
        _, stream, content = chunk
        begun = self._begun[stream]
        joined = begun.content + content
        if _has_long_line(joined):
            self.feed(chunk)
            return
        self.made += content.count(b"\n")
        end = joined.rfind(b"\n") + 1
        begun.content = joined[end:]
        if end:
            begun.level = None

    def end(self, at: datetime) -> list[Line]:
        """Return what has no line break at its end: nothing more comes."""
        lines: list[Line] = []
        for stream, begun in self._begun.items():
            self._cut(begun, at, stream, lines, is_whole=True)
            if begun.content:
                self._add(lines, at, stream, begun.content, begun.level)
            begun.content, begun.level = b"", None
        self.made += len(lines)
        return lines

    def _cut(self, begun: _Begun, at: datetime, stream: str, lines: list[Line], *, is_whole: bool = False) -> None:
        # Of a line whose end is not there yet as much must be there as may matter for the place of the cut.
        least = LINE_LIMIT if is_whole else LINE_LIMIT + self._mask.longest + _MARK_SIZE
        while len(begun.content) > least:
            end = _place(begun.content, self._mask.cut(begun.content, LINE_LIMIT))
            piece, begun.content = begun.content[:end], begun.content[end:]
            begun.level = self._add(lines, at, stream, piece, begun.level)

    def _add(self, lines: list[Line], at: datetime, stream: str, content: bytes, level: str | None) -> str | None:
        """Add a line and return its level: what its first mark says, else that of the piece before it."""
        content = self._mask.content(content)
        if found := _MARK.search(content):
            level = LEVELS[int(found[1]) - 1]
            content = _MARK.sub(b"", content)
        lines.append((at, stream, level, content.decode(errors="replace")))
        return level


def _has_long_line(content: bytes) -> bool:
    start = 0
    while len(content) - start > LINE_LIMIT:
        start = content.rfind(b"\n", start, start + LINE_LIMIT + 1) + 1
        if not start:
            return True
    return False


def _place(content: bytes, end: int) -> int:
    """Return a place to cut at `end`, or a few bytes before it: not within a mark, nor a character of UTF-8."""
    for mark in _MARK.finditer(content, max(0, end - _MARK_SIZE), end + _MARK_SIZE):
        if mark.start() < end < mark.end():
            return mark.start()
    for place in range(end, end - 4, -1):
        if place >= len(content) or content[place] & 0xC0 != 0x80:
            return place
    return end
