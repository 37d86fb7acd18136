"""From a document to the function's result: a flat JSON object of the same shape for every format."""

import re
from pathlib import PurePosixPath
from typing import Any

from document import Document
from reading import read
from words import frequent_terms, language_of, words_of

LONGEST_TITLE = 200
LONGEST_EXCERPT = 240


def summarise(document: Document) -> dict[str, Any]:
    """Read the document and describe it; the same bytes and name give the same result."""
    reading = read(document)
    words = words_of(reading.text)
    language = language_of(words)
    return {
        "name": document.name,
        "format": document.format,
        "title": _cut(reading.title or _stem(document.name), LONGEST_TITLE) or None,
        "language": language,
        "pages": reading.pages,
        "words": len(words),
        "characters": len(reading.text),
        "terms": frequent_terms(words, language),
        "excerpt": excerpt_of(reading.text, reading.title),
    }


def excerpt_of(text: str, title: str | None) -> str:
    """Return the beginning of the text in one line; a first line that is the title is left out."""
    first, _, rest = text.partition("\n")
    line = " ".join((rest if first == title and rest else text).split())
    return _cut(line, LONGEST_EXCERPT)


def _cut(line: str, length: int) -> str:
    """Shorten a line that is too long: between two words where it can be, and an ellipsis behind."""
    if len(line) <= length:
        return line
    return line[:length].rsplit(" ", 1)[0].rstrip(" ,;:-") + "…"


def _stem(name: str | None) -> str:
    """Return a file's name as words: letters/thank-you.txt is `thank you`."""
    return re.sub(r"[\s_-]+", " ", PurePosixPath(name or "").stem).strip()
