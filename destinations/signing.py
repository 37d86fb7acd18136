"""Signatures of the Standard Webhooks specification 1.0.0, version `v1` (HMAC-SHA256), over bytes. Pure.

The library `standardwebhooks` decodes bytes to text, so a binary body fails in it; tests verify with it.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence

from pipeline.errors import SendoffError

TOLERANCE_S = 300
"""How far a signature's time may be from now, both ways."""

_PREFIX = "whsec_"
_RAW_PREFIX = "raw:"
_SHORTEST_KEY, _LONGEST_KEY = 24, 64
_TIMESTAMP = re.compile(r"[0-9]{1,15}")


class SignatureError(SendoffError):
    """A request's signature does not hold; the text says why."""


def parse_secret(text: str) -> bytes:
    """Return the key in `text`: base64 of 24-64 bytes, `whsec_` and padding optional, or `raw:` and the key itself.

    Raises ValueError with a sentence that does not repeat the secret.
    """
    if text.startswith(_RAW_PREFIX):
        key = text.removeprefix(_RAW_PREFIX).encode()
        if not key:
            raise ValueError("expected a secret behind raw:, got nothing")
        return key
    encoded = text.removeprefix(_PREFIX).rstrip("=")
    if not encoded:
        raise ValueError("the secret is empty")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(
            "expected whsec_ and base64 of 24-64 bytes, or raw: and the secret; this is not base64"
        ) from None
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise ValueError(
            f"expected whsec_ and base64 of 24-64 bytes, or raw: and the secret; this holds {len(key)} bytes"
        )
    return key


class Signer:
    """Signs for one destination: every key adds its signature, in the order given (newest first)."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        # Keyed once: copying the state is cheaper than hashing the key's pads again for each message.
        self._states = tuple(hmac.new(key, digestmod=hashlib.sha256) for key in keys)

    def __bool__(self) -> bool:
        return bool(self._states)

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """Return the value of `webhook-signature`, empty where there is no key."""
        head = f"{message_id}.{timestamp}.".encode()
        return " ".join([_signature(state, head, body) for state in self._states])


def _signature(state: hmac.HMAC, head: bytes, body: bytes) -> str:
    mac = state.copy()
    mac.update(head)
    mac.update(body)
    return "v1," + binascii.b2a_base64(mac.digest(), newline=False).decode()


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature` by `secrets` as they are written, newest first."""
    return Signer(map(parse_secret, secrets)).sign(message_id, timestamp, body)


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> None:
    """Accept a request that one of `secrets` signed within the tolerance; raises SignatureError with the reason if not.

    `now` is in Unix seconds. Comparison takes the same time whatever differs.
    """
    named = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, given = (_required(named, f"webhook-{part}") for part in ("id", "timestamp", "signature"))
    _check_time(timestamp, now)
    candidates = [
        part.removeprefix("v1,").encode("utf-8", "replace") for part in given.split(" ") if part.startswith("v1,")
    ]
    if not candidates:
        raise SignatureError("webhook-signature holds no signature of version v1")
    head = f"{message_id}.{timestamp}.".encode("utf-8", "replace")  # text from a request may be no Unicode
    for secret in secrets:
        digest = hmac.digest(parse_secret(secret), head + body, "sha256")
        expected = base64.b64encode(digest)
        matches = [hmac.compare_digest(expected, candidate) for candidate in candidates]
        if any(matches):
            return
    raise SignatureError("no signature matches: another secret, or the body, id or time were changed on the way")


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise SignatureError(f"the header {name} is missing")
    return value


def _check_time(timestamp: str, now: float) -> None:
    if not _TIMESTAMP.fullmatch(timestamp):
        raise SignatureError("webhook-timestamp is not a whole number of seconds")
    age = now - int(timestamp)
    if age > TOLERANCE_S:
        raise SignatureError(f"webhook-timestamp is {age:.0f} s old, more than {TOLERANCE_S} s")
    if age < -TOLERANCE_S:
        raise SignatureError(f"webhook-timestamp is {-age:.0f} s in the future, more than {TOLERANCE_S} s")
