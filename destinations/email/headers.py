"""The headers of mails, as they go over the wire. Pure.

They are not left to EmailMessage: it reads every header anew that it is given, takes what looks like an encoded word
(RFC 2047) for one, and writes what that stood for, which may be a line break and a header of somebody else's.
"""

import re
import unicodedata
from email.header import Header

from destinations.email.address import Mailbox

_LONGEST_LINE = 78  # RFC 5322, 2.1.1
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_NOT_SHOWN = frozenset({"Cc", "Cs"})  # control characters, and halves of characters, which have no UTF-8


def of_text(name: str, text: str) -> bytes:
    """Return a header whose value reads as `text` does, in one line to its reader, whatever stands there."""
    shown = "".join(each for each in text if each.isspace() or unicodedata.category(each) not in _NOT_SHOWN)
    return as_it_is(name, _encoded(" ".join(shown.split()), name))


def of_mailbox(name: str, mailbox: Mailbox) -> bytes:
    """Return a header of one address, and the name that belongs to it; not ASCII where the address is not."""
    if not mailbox.name:
        return as_it_is(name, mailbox.address)
    phrase, address = _phrase(mailbox.name, name), f"<{mailbox.address}>"
    last_line = f"{name}: {phrase}".rpartition("\n")[2]
    space = " " if len(last_line) + len(address) < _LONGEST_LINE else "\r\n "
    return as_it_is(name, f"{phrase}{space}{address}")


def as_it_is(name: str, value: str) -> bytes:
    """Return a header of a value that has its form already, such as a Message-ID."""
    return f"{name}: {value}\r\n".encode()


def _phrase(text: str, name: str) -> str:
    if not _is_plain(text):
        return _encoded(text, name)
    if _ATOMS.fullmatch(text):
        return text
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'


def _encoded(text: str, name: str) -> str:
    charset = "us-ascii" if _is_plain(text) else "utf-8"
    header = Header(text, charset, maxlinelen=_LONGEST_LINE, header_name=name)
    return header.encode(linesep="\r\n").removeprefix("\r\n ")  # a first word too long for its line stays on it


def _is_plain(text: str) -> bool:
    # What only looks like an encoded word is encoded, so that it is read as it stands there.
    return text.isascii() and "=?" not in text
