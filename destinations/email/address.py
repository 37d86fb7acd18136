"""Addresses of mails, as an operator writes them: bare, or behind the name of whom they are. Pure.

Of what RFC 5322 allows this is the part that mail programs show: no comments, no groups, no quotes before the `@`.
"""

import re
import unicodedata
from dataclasses import dataclass

import idna

_EXPECTED = "expected one address such as ops@example.com or Ops Team <ops@example.com>"
_NO_MAILBOX = "one with more than the name of a mailbox before the @: no quotes, spaces or double dots stand there"
_NAME_BEFORE = "write a name before the address"
_IN_QUOTES = 'write it in quotes, as in "Ops, Night" <ops@example.com>'
_SEVERAL = "several, or a name with an @: write each address by itself, and such a name in quotes"
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, halves of characters, breaks of lines
_BARE = re.compile(r'[^\s<>"(),:;\[\]\\]+')
_NAMED = re.compile(r'(?P<name>[^<>"(),:;@\[\]\\]*)<(?P<address>[^<>]*)>')
_QUOTED = re.compile(r'"(?P<name>(?:[^"\\]|\\.)*)" *<(?P<address>[^<>]*)>')
_QUOTES = re.compile(r'"(?:[^"\\]|\\.)*"')
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[^?]*\?[^?]*\?=")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_LOCAL = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LONGEST = 254  # RFC 5321, 4.5.3.1.3, less the brackets


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """Whom a mail is from, or whom it goes to."""

    name: str
    """As people read it; empty where there is none."""
    address: str
    """As servers take it: its domain in ASCII, what stands before the `@` perhaps not."""

    @property
    def domain(self) -> str:
        """Return what stands behind the `@`."""
        return self.address.rpartition("@")[2]

    @property
    def key(self) -> tuple[str, str]:
        """Return what is equal for two that are the same to servers."""
        local, _, domain = self.address.rpartition("@")
        return local, domain.lower()


def mailbox_of(text: str) -> Mailbox:
    """Return what an operator wrote; raises ValueError with what is expected, which quotes nothing of it."""
    if not _CONTROL.isdisjoint(map(unicodedata.category, text)):
        raise _fault("one with a line break or another control character")
    text = text.strip()
    if _BARE.fullmatch(text):
        return Mailbox(name="", address=_address_of(text))
    if named := _NAMED.fullmatch(text):
        name = named["name"]
    elif named := _QUOTED.fullmatch(text):
        name = re.sub(r"\\(.)", r"\1", named["name"])
    else:
        raise _fault(_diagnosis(text))
    if _ENCODED_WORD.search(name):
        raise _fault("a name in the code of headers (=?...?=): write it as it reads")
    return Mailbox(name=" ".join(name.split()), address=_address_of(named["address"].strip()))


def _fault(got: str) -> ValueError:
    return ValueError(f"{_EXPECTED}, got {got}")


def _address_of(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not at:
        raise _fault("one without an @" if text else "none")
    local = unicodedata.normalize("NFC", local)  # RFC 6532, 3.1
    if not _LOCAL.fullmatch(local) or not local.isprintable():
        raise _fault(_NO_MAILBOX)
    address = f"{local}@{_domain_of(domain)}"
    if len(address.encode()) > _LONGEST:
        raise _fault(f"one of more than {_LONGEST} bytes")
    return address


def _domain_of(text: str) -> str:
    domain = text
    if not text.isascii():
        try:
            domain = idna.encode(text, uts46=True).decode()
        except idna.IDNAError:
            raise _fault("one whose domain has no form in ASCII (IDNA): it has characters that no domain has") from None
    if not _DOMAIN.fullmatch(domain):
        raise _fault("one with something else than a domain such as example.com behind the @")
    return domain


def _diagnosis(text: str) -> str:
    """Return what a text is that has not the form of one address: the first that holds."""
    outside = _QUOTES.sub("", text)
    opened, closed, ats = outside.count("<"), outside.count(">"), outside.count("@")
    known = (
        ('"' in outside, 'one with a quote (") that is not closed'),
        (re.search("[()]", outside), f"one with a comment in parentheses: {_NAME_BEFORE}, in quotes where it has some"),
        (":" in outside and ";" in outside, "a group (NAME: ADDRESS, ...;): write each of its addresses by itself"),
        (ats > 1 or (ats and not opened and re.search("[,;]", outside)), _SEVERAL),
        (opened > closed, "one without the > behind it"),
        (opened < closed, "one without the < before it"),
        (opened and not outside.endswith(">"), f"one with something behind its >: {_NAME_BEFORE}"),
        (opened == 1, f"a name with one of , : ; [ ] and \\ in it: {_IN_QUOTES}"),
        ("@[" in outside, "one with an address in brackets behind the @: write the host's name"),
        (ats and " " in outside, "a name and no < and > around the address"),
        (ats, _NO_MAILBOX),
        (True, "none"),
    )
    return next(said for holds, said in known if holds)
