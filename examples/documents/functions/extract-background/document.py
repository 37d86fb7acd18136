"""From an event to a document: its name, its bytes, its format. How each format is read stands in `reading`."""

import base64
import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import PurePosixPath
from typing import Any

FORMAT_BY_TYPE = {
    "application/pdf": "pdf",
    "application/x-pdf": "pdf",
    "application/xhtml+xml": "html",
    "text/html": "html",
    "text/markdown": "markdown",
    "text/x-markdown": "markdown",
    "text/plain": "text",
    "application/csv": "csv",
    "text/csv": "csv",
}
FORMAT_BY_SUFFIX = {
    ".pdf": "pdf",
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".csv": "csv",
}
# What clients send when they do not know better (the last one is curl's default): here the name decides.
VAGUE_TYPES = {"", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded"}
SUPPORTED = "send PDF, HTML, Markdown, plain text or CSV"
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class UnreadableDocumentError(Exception):
    """The document cannot be read, now or ever; the message is a sentence for its sender."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document as it came in; `name` is None where the sender gave none."""

    name: str | None
    format: str
    content: bytes
    charset: str | None

    @property
    def text(self) -> str:
        """Decode the content: by its byte order mark, as UTF-8, as declared, else as Windows-1252."""
        for mark, encoding in BYTE_ORDER_MARKS.items():
            if self.content.startswith(mark):
                return _checked(self.content.decode(encoding, errors="replace"))
        for encoding in ("utf-8", self.charset or "cp1252"):
            try:
                return _checked(self.content.decode(encoding))
            except (UnicodeError, LookupError):
                continue
        return _checked(self.content.decode("cp1252", errors="replace"))


def document_of(event: Mapping[str, Any]) -> Document:
    """Take the document out of an event; raises UnreadableDocumentError for none, or one of an unknown format."""
    content = _content(event)
    media_type, charset = _content_type(event)
    name = _name(event)
    if not content.strip():
        raise UnreadableDocumentError("The document is empty.")
    return Document(name=name, format=_format(media_type, name, content), content=content, charset=charset)


def _content(event: Mapping[str, Any]) -> bytes:
    body = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


def _content_type(event: Mapping[str, Any]) -> tuple[str, str | None]:
    header = (event.get("headers") or {}).get("content-type", "")
    parsed = Message()
    parsed["content-type"] = header
    return header.partition(";")[0].strip().lower(), parsed.get_content_charset()


def _name(event: Mapping[str, Any]) -> str | None:
    query = event.get("queryStringParameters") or {}
    headers = event.get("headers") or {}
    return query.get("name") or headers.get("x-document-name") or None


def _format(media_type: str, name: str | None, content: bytes) -> str:
    if media_type in FORMAT_BY_TYPE:
        return FORMAT_BY_TYPE[media_type]
    if media_type not in VAGUE_TYPES:
        raise UnreadableDocumentError(f"Documents of type {media_type} are not supported: {SUPPORTED}.")
    suffix = PurePosixPath(name or "").suffix.lower()
    if suffix in FORMAT_BY_SUFFIX:
        return FORMAT_BY_SUFFIX[suffix]
    if content.startswith(b"%PDF-"):
        return "pdf"
    what = f"of type {suffix}" if suffix else "without a type"
    raise UnreadableDocumentError(f"Documents {what} are not supported: {SUPPORTED}.")


def _checked(text: str) -> str:
    """Refuse what only claims to be text; form feeds and escapes occur in real text files, these characters do not."""
    if re.search("[\x00-\x06\x0e-\x1a]", text):
        raise UnreadableDocumentError("The document claims to be text, but it holds binary data.")
    return text
