"""PDF to plain text with pypdf. A PDF without any text (a scan, say) is a document all the same: its text is empty."""

import io
import re

from document import UnreadableDocumentError
from pypdf import PdfReader
from pypdf.errors import DependencyError, PyPdfError
from text import Reading, first_line_title, tidy

# A word broken at the end of a line; not "Vor-\nund Nachteile", where the hyphen stands for a left-out part.
BROKEN_WORD = re.compile(r"(?<=[^\W\d_])-[ \t]*\n(?!(?:und|oder|bzw|and|or|et|ou|en|of)\b)(?=[^\W\d_A-Z])")
LONGEST_PAGE_NUMBER = 4
NO_TITLE = re.compile(r"(?i)(?:untitled|unnamed|microsoft word\b).*|document\d*|.*\.(?:docx?|odt|rtf|tex|dvi|indd)")


def read_pdf(content: bytes) -> Reading:
    """Read every page; a damaged or locked file raises UnreadableDocumentError."""
    if b"%PDF-" not in content[:1024]:
        raise UnreadableDocumentError("The document is not a PDF: it does not begin with %PDF-.")
    try:
        return _read(content)
    except (UnreadableDocumentError, MemoryError):
        raise
    except DependencyError as fault:
        raise UnreadableDocumentError("The PDF is encrypted in a way that cannot be read here.") from fault
    except PyPdfError as fault:
        raise UnreadableDocumentError(f"The PDF is broken: {str(fault).rstrip('.')}.") from fault
    except Exception as fault:  # pypdf's own words: "broken PDF files might cause other Exceptions"
        raise UnreadableDocumentError(f"The PDF is broken: {type(fault).__name__} while reading it.") from fault


def _read(content: bytes) -> Reading:
    reader = PdfReader(io.BytesIO(content))
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableDocumentError("The PDF is protected by a password.")
    pages = [_without_number(page.extract_text()) for page in reader.pages]
    if not pages:
        raise UnreadableDocumentError("The PDF has no pages.")
    text = tidy(BROKEN_WORD.sub("", tidy("\n".join(pages))))
    return Reading(title=_title(reader) or first_line_title(pages[0]), text=text, pages=len(pages))


def _without_number(text: str) -> str:
    """Leave out a page number at the foot of a page."""
    above, _, last = text.rstrip().rpartition("\n")
    return above if above and last.strip().isdigit() and len(last.strip()) <= LONGEST_PAGE_NUMBER else text


def _title(reader: PdfReader) -> str | None:
    """Return the title in the file's properties, unless a program put a stand-in there."""
    title = reader.metadata.title if reader.metadata else None
    title = " ".join((title or "").split())
    return None if NO_TITLE.fullmatch(title) else title or None
