"""The background function: one document as the event's body in, what a catalogue wants to know of it out."""

from typing import Any

from document import UnreadableDocumentError, document_of
from summary import summarise


def handler(event: dict[str, Any], context: Any) -> Any:
    """Return title, pages, words, language and more of the document; a document that nobody can read is rejected.

    A rejected run is never tried again: the same bytes would fail in the same way.
    """
    try:
        return summarise(document_of(event))
    except UnreadableDocumentError as fault:
        return context.reject(str(fault))
