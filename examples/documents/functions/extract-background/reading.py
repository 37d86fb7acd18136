"""From a document to its reading: title, pages and plain text, by one reader for each format."""

import csv
import io
import re

from document import Document, UnreadableDocumentError
from markup import read_html
from pages import read_pdf
from text import Reading, first_line_title, tidy

HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+)$|^(?=\S)(.+)\n(?:=+|-{3,})[ \t]*$", re.MULTILINE)
FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
# In this order: what is dropped, what is reduced to its text, then the signs at the start of lines and around words.
# Every pattern stops at its own opening sign, so that a hostile document costs no more time than a long one.
MARKDOWN_SIGNS = (
    (re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL), " "),
    (re.compile(r"^ {0,3}(?:```|~~~).*$", re.MULTILINE), ""),
    (re.compile(r"^ {0,3}\[[^\[\]\n]+\]:[ \t]*\S.*$", re.MULTILINE), ""),
    (re.compile(r"^(?=.*---)[ \t|:-]+$|^=+[ \t]*$|^(?:[ \t]*[*_]){3,}[ \t]*$", re.MULTILINE), ""),
    (re.compile(r"!\[([^\[\]]*)\](?:\([^()\n]*\)|\[[^\[\]\n]*\])"), r"\1"),
    (re.compile(r"\[([^\[\]]*)\](?:\([^()\n]*\)|\[[^\[\]\n]*\])"), r"\1"),
    (re.compile(r"<(https?://[^<>\s]+)>"), r"\1"),
    (re.compile(r"</?[A-Za-z][^<>]*>"), " "),
    (
        re.compile(r"^[ \t]*(?:>[ \t]?|#{1,6}[ \t]+|[-*+][ \t]+(?:\[[ xX]\][ \t]+)?|\d{1,9}[.)][ \t]+)+", re.MULTILINE),
        "",
    ),
    (re.compile(r"\|"), " "),
    (re.compile(r"(\*\*|__|~~|`+|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w))"), ""),
)


def read(document: Document) -> Reading:
    """Read the document by its format; raises UnreadableDocumentError."""
    match document.format:
        case "pdf":
            return read_pdf(document.content)
        case "html":
            reading = read_html(document.text)
        case "markdown":
            reading = read_markdown(document.text)
        case "csv":
            reading = read_csv(document.text)
        case _:
            reading = Reading(title=first_line_title(document.text), text=tidy(document.text))
    if not reading.text:
        raise UnreadableDocumentError(f"The {document.format} document has no text in it.")
    return reading


def read_markdown(source: str) -> Reading:
    """Strip Markdown of its signs. The title is the front matter's, else the first heading, else the first line."""
    source = source.replace("\r\n", "\n")
    front = FRONT_MATTER.match(source)
    body = source[front.end() :] if front else source
    named = re.search(r"^title:(.+)$", front[1], re.MULTILINE) if front else None
    heading = HEADING.search(body)
    title = named[1].strip(" \t\"'") if named else heading[heading.lastindex or 0].rstrip(" \t#") if heading else ""
    text = tidy(_without_signs(body))
    return Reading(title=tidy(_without_signs(title)) or first_line_title(text), text=text)


def _without_signs(source: str) -> str:
    for pattern, replacement in MARKDOWN_SIGNS:
        source = pattern.sub(replacement, source)
    return source


def read_csv(source: str) -> Reading:
    """Read the table's cells as text, a row a line. A table has no title of its own."""
    delimiter = _delimiter(source)
    csv.field_size_limit(max(len(source), 131_072))
    try:
        rows = list(csv.reader(io.StringIO(source, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as fault:
        raise UnreadableDocumentError(f"The CSV table is broken: {fault}.") from fault
    lines = (", ".join(" ".join(cell.split()) for cell in row if cell.strip()) for row in rows)
    return Reading(title=None, text=tidy("\n".join(lines)))


def _delimiter(source: str) -> str:
    """Return the sign that separates the cells of the first line, quoted parts left out; a comma where none does."""
    first = re.sub(r'"[^"]*"', "", source.lstrip().partition("\n")[0])
    return max(",;\t|", key=first.count)
