"""Signatures of webhooks, over bytes: Standard Webhooks 1.0.0, and the layouts of Stripe and GitHub. Pure.

The library `standardwebhooks` decodes bytes to text, so a binary body fails in it; tests verify with it.
"""

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from destinations.signing.keys import HmacKey, Key, Layout, parse_secret, parse_verifier
from pipeline.errors import SendoffError
from pipeline.spans import span

TOLERANCE_S = 300
"""How far a signature's time may be from now, both ways."""

_VERSION = re.compile("[a-z0-9]{1,8}")  # whatever else stands there is not repeated
_TIMESTAMP = re.compile(r"[0-9]{1,15}")


_SIGNED_PARTS = {
    Layout.STANDARD: "body, id or time were",
    Layout.STRIPE: "body or time were",
    Layout.GITHUB: "body was",
}


class SigningError(SendoffError):
    """There are secrets, and at that moment none of them is valid any more."""


class SignatureError(SendoffError):
    """A request's signature does not hold; the text says why."""


class TimeError(SignatureError):
    """The signature's time is no number, or too far from now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Temporary:
    """A key that signs until a moment, in Unix seconds, and no more from then on."""

    key: Key
    until: float


class Signer:
    """Signs for one destination: every valid key adds its signature, in the order given (newest first)."""

    def __init__(self, keys: Iterable[Key | Temporary], layout: Layout = Layout.STANDARD) -> None:
        entries = tuple(keys)
        self._layout = layout
        self._keys = tuple(entry.key if isinstance(entry, Temporary) else entry for entry in entries)
        self._untils = tuple(entry.until if isinstance(entry, Temporary) else math.inf for entry in entries)
        self._first_end = min(self._untils, default=math.inf)
        self.header = layout.header
        """The header that `sign` returns the value of."""

    def __bool__(self) -> bool:
        return bool(self._keys)

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """Return the header's value, empty where there is no key; raises SigningError where all keys are over."""
        keys = self._keys if timestamp < self._first_end else self._valid(timestamp)
        if self._layout is not Layout.STANDARD:
            return _in_layout(self._layout, keys, timestamp, body)
        head = f"{message_id}.{timestamp}.".encode()
        if len(keys) == 1:
            return keys[0].sign(head, body)
        return " ".join([key.sign(head, body) for key in keys])

    def _valid(self, timestamp: int) -> tuple[Key, ...]:
        pairs = zip(self._keys, self._untils, strict=True)
        if found := tuple(key for key, until in pairs if timestamp < until):
            return found
        raise SigningError("every secret is over: the `until` of each is past, and nothing is sent unsigned")


def _in_layout(layout: Layout, keys: Iterable[Key], timestamp: int, body: bytes) -> str:
    symmetric = [key for key in keys if isinstance(key, HmacKey)]
    if layout is Layout.GITHUB:  # room for one: the newest
        return "".join([f"sha256={key.digest(b'', body).hex()}" for key in symmetric[:1]])
    head = f"{timestamp}.".encode()
    parts = [f"v1={key.digest(head, body).hex()}" for key in symmetric]
    return ",".join([f"t={timestamp}", *parts]) if parts else ""


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature` by `secrets` as they are written, newest first."""
    return Signer(map(parse_secret, secrets)).sign(message_id, timestamp, body)


def verify(
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: float | None,
    *,
    layout: Layout = Layout.STANDARD,
) -> None:
    """Accept a request that one of `secrets` (or public keys) signed within the tolerance; raises SignatureError with
    the reason if not, TimeError if it is the time.

    `now` is in Unix seconds; None takes any time. Comparison takes the same time whatever differs.
    """
    named = {name.lower(): value for name, value in headers.items()}
    read = {Layout.STANDARD: _standard, Layout.STRIPE: _stripe, Layout.GITHUB: _github}[layout]
    signed = read(named)
    if signed.timestamp is not None:
        _check_time(signed, now)
    verifiers = [parse_verifier(secret, layout) for secret in secrets]
    versions = list(dict.fromkeys(verifier.version for verifier in verifiers))
    candidates = [(version, text) for version, text in signed.signatures if version in versions]
    if not candidates:
        others = list(dict.fromkeys(version for version, _ in signed.signatures if _VERSION.fullmatch(version)))
        but = f", but of {' and '.join(others)}" if others else ""
        raise SignatureError(f"{layout.header} holds no signature of version {' or '.join(versions)}{but}")
    for verifier in verifiers:
        fitting = [text for version, text in candidates if version == verifier.version]
        matches = [verifier.has_signed(signed.head, body, text) for text in fitting]  # all, in constant time
        if any(matches):
            return
    raise SignatureError(f"no signature matches: another secret, or the {_SIGNED_PARTS[layout]} changed on the way")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """What a request's headers say was signed, and the signatures, by version, in base64."""

    head: bytes
    time_is_in: str = ""
    timestamp: str | None
    signatures: list[tuple[str, bytes]]


def _standard(named: Mapping[str, str]) -> _Signed:
    message_id, timestamp, given = (_required(named, f"webhook-{part}") for part in ("id", "timestamp", "signature"))
    parts = (part.partition(",") for part in given.split(" "))
    return _Signed(
        head=_bytes(f"{message_id}.{timestamp}."),
        time_is_in="webhook-timestamp",
        timestamp=timestamp,
        signatures=[(version, _bytes(text)) for version, comma, text in parts if comma],
    )


def _stripe(named: Mapping[str, str]) -> _Signed:
    parts = [part.strip().partition("=") for part in _required(named, Layout.STRIPE.header).split(",")]
    timestamp = next((text for name, _, text in parts if name == "t"), "")
    return _Signed(
        head=_bytes(f"{timestamp}."),
        time_is_in="t= of stripe-signature",
        timestamp=timestamp,
        signatures=[(name, _base64(text)) for name, _, text in parts if name != "t"],
    )


def _github(named: Mapping[str, str]) -> _Signed:
    name, _, text = _required(named, Layout.GITHUB.header).partition("=")
    return _Signed(head=b"", timestamp=None, signatures=[("v1" if name == "sha256" else name, _base64(text))])


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise SignatureError(f"the header {name} is missing")
    return value


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # text from a request may be no Unicode


def _base64(hexadecimal: str) -> bytes:
    try:
        return base64.b64encode(bytes.fromhex(hexadecimal))
    except ValueError:
        return b""


def _check_time(signed: _Signed, now: float | None) -> None:
    timestamp = signed.timestamp or ""
    if not _TIMESTAMP.fullmatch(timestamp):
        raise TimeError(f"{signed.time_is_in} is not a whole number of seconds")
    age = 0.0 if now is None else now - int(timestamp)
    if abs(age) > TOLERANCE_S:
        which, where = ("old", "old") if age > 0 else ("new", "in the future")
        raise TimeError(
            f"{signed.time_is_in} is too {which} by {_span(math.ceil(abs(age) - TOLERANCE_S))}: "
            f"it is {_span(abs(age))} {where}, {TOLERANCE_S} s are tolerated"
        )


def _span(seconds: float) -> str:
    """Return a span in seconds as long as they can be grasped: it is held against the tolerance, which is in them."""
    return f"{seconds:.0f} s" if seconds < 2 * TOLERANCE_S else span(seconds)
