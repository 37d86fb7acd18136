"""Plain text: what every reader hands on, and how it is made tidy."""

import re
import unicodedata
from dataclasses import dataclass

LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\xad": ""})
LONGEST_TITLE = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader found: `title` is None where the document names none, `pages` where its format has none."""

    title: str | None
    text: str
    pages: int | None = None


def tidy(text: str) -> str:
    """Compose accents, undo ligatures, and squeeze white space: one space, one line break, at most one empty line."""
    text = unicodedata.normalize("NFC", text).translate(LIGATURES).replace("\ufeff", "")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def first_line_title(text: str) -> str | None:
    """Return the first line if it reads like a title: short, no sentence, not the start of a wrapped paragraph."""
    lines = [line for line in tidy(text).splitlines() if line][:40]
    if not lines:
        return None
    first, rest = lines[0], lines[1:]
    is_wrapped = bool(rest) and len(first) > 0.8 * max(map(len, rest)) and len(first) > LONGEST_TITLE / 2
    is_sentence = first.endswith((".", ",", ";", ":", "!", "?")) or ". " in first
    return None if len(first) > LONGEST_TITLE or is_wrapped or is_sentence else first
