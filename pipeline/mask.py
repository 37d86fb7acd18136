"""Masking: every known secret in a text becomes `***`, also as base64, percent-encoded, or escaped. Pure but for what
it has learned.

What goes through here is what Sendoff says or keeps about its work: log lines, errors, answers of receivers, facts.
What a function returns and what its caller sent is data, and stays as it is.
"""

import binascii
import html
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from pipeline.model import Outcome, RunError

MASK = "***"
SHORTEST = 6
"""Shorter texts are not masked: half of every text would be, and they keep nothing secret."""

_MASK = MASK.encode()
_MOST_FORMER = 100
_LEAST_BASE64 = 8
_LEAST_LINE = 8
_SEED_BASE64 = 42  # of 32 bytes, the characters that they alone decide
_CUTS = frozenset({500, 1000, 16 * 1024, 128 * 1024})
"""What comes here was cut to one of these lengths, if it was: the beginning of a secret may stand at its end."""
_CREDENTIALS = re.compile(r"(?i:(?:bearer|basic|token|key|apikey|api-key) +|raw:)(\S+)")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_TO_URL_SAFE = str.maketrans("+/", "-_")


class Masker:
    """Knows the secrets; also for a while those of before a reload, since what was one is said on for some time."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._learned: dict[str, frozenset[bytes]] = {}
        """Of each secret what it may look like; those that have gone come first, in the order in which they went."""
        self._current: frozenset[str] = frozenset()
        self._forms: tuple[bytes, ...] = ()
        self._beginnings: frozenset[bytes] = frozenset()
        self._longest = 0
        self._clean: object = None
        """What a destination said last that held no secret: most answer in one and the same way."""
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these texts, too, from now on."""
        new = [secret for secret in dict.fromkeys(secrets) if secret not in self._learned]
        self._know(self._learned | {secret: frozenset(forms_of(secret)) for secret in new})

    def forget_old(self, current: Iterable[str]) -> None:
        """Note which secrets are the current ones. Of the others those that go now are masked on, and the last hundred
        of those that went before: credentials that are renewed by the hour would else slow everything down in the end.
        """
        now = frozenset(current)
        former = [secret for secret in self._learned if secret not in now]
        before = [secret for secret in former if secret not in self._current]
        going = [secret for secret in former if secret in self._current]
        kept = (*before[-_MOST_FORMER:], *going, *(secret for secret in self._learned if secret in now))
        self._current = now
        self._know({secret: self._learned[secret] for secret in kept})

    def _know(self, learned: dict[str, frozenset[bytes]]) -> None:
        self._learned = learned
        forms = frozenset().union(*learned.values())
        # The longest first: of two that begin alike, all of the longer one must go.
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))
        self._beginnings = frozenset(form[:SHORTEST] for form in forms)
        self._longest = max(map(len, forms), default=0)
        self._clean = None

    def finds(self, content: bytes) -> bool:
        """Tell whether a secret is in `content`."""
        # A search for each is many times as fast as one regular expression for all.
        for form in self._forms:  # noqa: SIM110 - any() costs twice as much
            if form in content:
                return True
        return False

    def _found(self, content: bytes) -> re.Pattern[bytes]:
        """Return a pattern of those that are in `content`, which must be some."""
        return re.compile(b"|".join([re.escape(form) for form in self._forms if form in content]))

    def content(self, content: bytes) -> bytes:
        """Return bytes without secrets."""
        return self._masked(content, is_cut=len(content) in _CUTS)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        if not self._forms or len(text) < SHORTEST:
            return text
        before = text.encode("utf-8", "surrogatepass")
        after = self._masked(before, is_cut=len(text) in _CUTS)
        return text if after is before else after.decode("utf-8", "surrogatepass")

    def _masked(self, content: bytes, *, is_cut: bool) -> bytes:
        if self.finds(content):
            content = self._found(content).sub(_MASK, content)
        return self._without_torn_end(content) if is_cut else content

    def value(self, value: Any) -> Any:
        """Return a value as JSON has it, with its texts masked; names of members stay."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {name: self.value(item) for name, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
        return value

    def run_error(self, error: RunError) -> RunError:
        """Return a function's error without secrets in its type, message and stack."""
        if not self._forms:
            return error
        stack = tuple(map(self.text, error.stack))
        return RunError(type=self.text(error.type), message=self.text(error.message), stack=stack)

    def outcome(self, outcome: Outcome) -> Outcome:
        """Return what a destination said, without secrets in its message and in the answer's headers and body."""
        if not self._forms:
            return outcome
        said = (outcome.message, outcome.headers, outcome.body)
        if said == self._clean:
            return outcome
        headers, body, message = outcome.headers, outcome.body, self.text(outcome.message)
        # All at once: most answers hold no secret.
        answer = "\n".join([value for _, value in headers]).encode("utf-8", "surrogatepass") + body
        if len(body) in _CUTS or self.finds(answer):
            headers = tuple([(name, self.text(value)) for name, value in headers])
            body = self.content(body)
        elif message is outcome.message:
            self._clean = said
            return outcome
        return replace(outcome, headers=headers, body=body, message=message)

    @property
    def longest(self) -> int:
        """Return the length of the longest text that is masked."""
        return self._longest

    def cut(self, content: bytes, limit: int) -> int:
        """Return where to cut off the first `limit` bytes: there, or behind the secret that would be cut."""
        start = max(0, limit - self._longest)
        around = content[start : limit + self._longest]
        if self.finds(around):
            for match in self._found(around).finditer(around):
                if start + match.start() < limit < start + match.end():
                    return start + match.end()
        return limit

    def _without_torn_end(self, content: bytes) -> bytes:
        for at in range(max(0, len(content) - self._longest + 1), len(content) - SHORTEST + 1):
            # Asked before all forms are gone through, for each place: any answer that is long enough comes by here.
            if content[at : at + SHORTEST] in self._beginnings:
                end = content[at:]
                if any(form.startswith(end) for form in self._forms):
                    return content[:at] + _MASK
        return content


def forms_of(secret: str) -> set[bytes]:
    """Return what a secret may look like where it is shown; nothing for one that is too short to be masked."""
    found = set()
    for part in (secret, *_parts(secret)):
        if len(part) >= SHORTEST:
            found |= {part, *_escaped(part), *_encoded(part)}
    return {form.encode("utf-8", "surrogatepass") for form in found if len(form) >= SHORTEST}


def _parts(secret: str) -> Iterator[str]:
    """Yield what may be shown of a secret without the rest of it."""
    if "\n" in secret:  # a log line holds one line of it
        yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= _LEAST_LINE)
    if secret.startswith(("whsec_", "whsk_")):
        encoded = secret.partition("_")[2]
        yield encoded
        if secret.startswith("whsk_"):  # its private half, alone; the other half is public
            yield encoded[:_SEED_BASE64]
    if found := _CREDENTIALS.fullmatch(secret):  # `Bearer ...`, `raw:...`
        yield found[1]
        if secret.lower().startswith("basic "):
            yield from _password(found[1])
    if "://" in secret:
        yield from _of_url(secret)


def _of_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    if parts.password:
        yield from (parts.password, unquote(parts.password))
    yield from (value for _, value in parse_qsl(parts.query))


def _password(credentials: str) -> Iterator[str]:
    if _BASE64.fullmatch(credentials):
        try:
            yield b64decode(credentials).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return


def _escaped(text: str) -> Iterator[str]:
    # As JSON, as a Python literal (a KeyError shows one), in a page, in a URL.
    content = text.encode("utf-8", "surrogatepass")
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    yield html.escape(text)
    for quoted in (quote(content, ""), quote(content), quote_plus(content)):
        yield quoted
        yield re.sub("%..", lambda found: found[0].lower(), quoted)


def _encoded(text: str) -> Iterator[str]:
    """Yield base64 of the text, whatever stands before it, such as the name of a user."""
    content = text.encode("utf-8", "surrogatepass")
    yield from _both(b64encode(content).decode())
    yield from _both(b64encode(content).decode().rstrip("="))
    for before in range(3):
        encoded = b64encode(b"\0" * before + content).decode()
        # Only the characters that nothing but the text decides.
        inner = encoded[-(-before * 8 // 6) : (before + len(content)) * 8 // 6]
        if len(inner) >= _LEAST_BASE64:
            yield from _both(inner)


def _both(encoded: str) -> Iterator[str]:
    yield encoded
    yield encoded.translate(_TO_URL_SAFE)
