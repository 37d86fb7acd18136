"""The headers of mails, as they go over the wire. Pure.

They are not left to EmailMessage: it reads every header anew that it is given, takes what looks like an encoded word
(RFC 2047) for one, and writes what that stood for, which may be a line break and a header of somebody else's.
"""

import unicodedata
from email.header import Header

_LONGEST_LINE = 78  # RFC 5322, 2.1.1
_NOT_SHOWN = frozenset({"Cc", "Cs"})  # control characters, and halves of characters, which have no UTF-8


def of_text(name: str, text: str) -> bytes:
    """Return a header whose value reads as `text` does, in one line to its reader, whatever stands there."""
    shown = "".join(each for each in text if each.isspace() or unicodedata.category(each) not in _NOT_SHOWN)
    return _written(name, _encoded(" ".join(shown.split()), len(name) + 2))


def as_it_is(name: str, value: str) -> bytes:
    """Return a header of a value without spaces that has its form already, such as a Message-ID."""
    return _written(name, value)


def _encoded(text: str, indent: int) -> str:
    # What only looks like an encoded word is encoded, so that it is read as it stands there.
    charset = "us-ascii" if text.isascii() and "=?" not in text else "utf-8"
    header = Header(text, charset, maxlinelen=_LONGEST_LINE, header_name=" " * (indent - 2))
    return header.encode(linesep="\r\n").removeprefix("\r\n ")  # a first word too long for its line stays on it


def _written(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode()
