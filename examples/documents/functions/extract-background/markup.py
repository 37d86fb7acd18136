"""HTML to plain text with the standard library's parser; scripts, styles and the like are left out."""

import re
from html.parser import HTMLParser

from text import Reading, first_line_title, tidy

SILENT = {"head", "script", "style", "noscript", "template", "svg", "title"}
INLINE = {"a", "abbr", "b", "bdi", "cite", "code", "del", "em", "i", "ins", "kbd", "mark", "q", "s", "small", "span"}
INLINE |= {"strong", "sub", "sup", "time", "u", "var", "wbr", "font", "label"}
CELLS = {"td", "th"}


class TextParser(HTMLParser):
    """Collect a page's visible text, its <title> and its first <h1>."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.visible: list[str] = []
        self.title: list[str] = []
        self.heading: list[str] = []
        self._open: list[str] = []
        self._has_heading = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the following text stands in."""
        if tag == "body":
            self._open.clear()
        elif tag in SILENT or (tag == "h1" and not self._has_heading):
            self._open.append(tag)
        self._separate(tag)

    def handle_endtag(self, tag: str) -> None:
        """Leave the element, and with it whatever was left open inside it."""
        if tag in self._open:
            del self._open[self._open.index(tag) :]
            self._has_heading |= tag == "h1"
        self._separate(tag)

    def handle_data(self, data: str) -> None:
        """Put text where it belongs."""
        inside = set(self._open)
        if "title" in inside and "svg" not in inside:
            self.title.append(data)
        elif not inside & SILENT:
            self.visible.append(re.sub(r"\s+", " ", data))
            if "h1" in inside:
                self.heading.append(data)

    def _separate(self, tag: str) -> None:
        if tag not in INLINE:
            self.visible.append(" " if tag in CELLS else "\n")


def read_html(source: str) -> Reading:
    """Read a page's visible text. The title is <title>, else the first <h1>, else the first line."""
    parser = TextParser()
    parser.feed(source)
    parser.close()
    text = tidy("".join(parser.visible))
    named = (" ".join("".join(parts).split()) for parts in (parser.title, parser.heading))
    return Reading(title=next(filter(None, named), None) or first_line_title(text), text=text)
