"""The keys that webhooks are signed with, and how a secret is written. Pure but for the randomness of a new one."""

import base64
import binascii
import hashlib
import hmac
import secrets
from enum import StrEnum
from typing import Protocol

from destinations.signing.prefixes import PREFIX, PRIVATE_PREFIX, PUBLIC_PREFIX, RAW_PREFIX
from pipeline.counts import count

_SHORTEST_KEY, _LONGEST_KEY = 24, 64
_WANTED = "expected whsec_ and base64 of 24-64 bytes, or raw: and the secret"
_WANTED_TO_VERIFY = (
    "expected whsec_ and base64 of 24-64 bytes, raw: and the secret, or whpk_ and base64 of 32 bytes, a public key"
)
_WANTED_BY_OTHERS = "expected raw: and the secret as its receiver has it, or whsec_ and base64 of 24-64 bytes"


class Layout(StrEnum):
    """How a signature is written. The last two are for receivers that were made for others and cannot change."""

    STANDARD = "standard"
    STRIPE = "stripe"
    GITHUB = "github"

    @property
    def header(self) -> str:
        """Return the header that holds the signature, in lower case."""
        return _HEADERS[self]


_HEADERS = {
    Layout.STANDARD: "webhook-signature",
    Layout.STRIPE: "stripe-signature",
    Layout.GITHUB: "x-hub-signature-256",
}


class Verifier(Protocol):
    """Tells whether it has signed, or the key that it belongs to."""

    @property
    def version(self) -> str:
        """Return what a signature begins with, before the comma."""
        ...

    def has_signed(self, head: bytes, body: bytes, signature: bytes) -> bool:
        """Tell whether `signature`, in base64, is one of `head` and `body`."""
        ...


class Key(Verifier, Protocol):
    """Signs."""

    def sign(self, head: bytes, body: bytes) -> str:
        """Return the version, a comma, and the signature of `head` and `body` in base64."""
        ...


class HmacKey:
    """A key of HMAC-SHA256, version `v1`."""

    version = "v1"

    def __init__(self, key: bytes) -> None:
        # Keyed once: copying the state is cheaper than hashing the key's pads again for each message.
        self._state = hmac.new(key, digestmod=hashlib.sha256)

    def digest(self, head: bytes, body: bytes) -> bytes:
        """Return the code of `head` and `body`."""
        mac = self._state.copy()
        mac.update(head)
        mac.update(body)
        return mac.digest()

    def sign(self, head: bytes, body: bytes) -> str:
        """Return `v1,` and the code in base64."""
        mac = self._state.copy()  # as `digest` does: a call less for each delivery
        mac.update(head)
        mac.update(body)
        return "v1," + binascii.b2a_base64(mac.digest(), newline=False).decode()

    def has_signed(self, head: bytes, body: bytes, signature: bytes) -> bool:
        """Compare, which takes the same time whatever differs."""
        return hmac.compare_digest(base64.b64encode(self.digest(head, body)), signature)


def parse_secret(text: str, layout: Layout = Layout.STANDARD) -> Key:
    """Return the key in `text`: base64 of 24-64 bytes, `whsec_` and padding optional; `raw:` and the key itself; or
    `whsk_` and base64 of a seed and its public key.

    In other layouts than the standard the key is the text, `whsec_` and all but for `raw:`, as their receivers have it.
    Raises ValueError with a sentence that does not repeat the secret.
    """
    if text.startswith(PUBLIC_PREFIX):
        raise ValueError("expected a secret that signs; whpk_ is a public key, with which receivers verify")
    return _key(text, layout, _WANTED)


def parse_verifier(text: str, layout: Layout = Layout.STANDARD) -> Verifier:
    """Return what verifies by `text`: as `parse_secret`, or `whpk_` and base64 of a public key."""
    if not text.startswith(PUBLIC_PREFIX):
        return _key(text, layout, _WANTED_TO_VERIFY)
    if layout is not Layout.STANDARD:
        raise ValueError(_no_asymmetric(PUBLIC_PREFIX, layout))
    from destinations.signing import ed25519  # noqa: PLC0415 - only for those who have such keys

    return ed25519.public_key(_decoded(text.removeprefix(PUBLIC_PREFIX), "expected whpk_ and base64 of 32 bytes"))


def _key(text: str, layout: Layout, wanted: str) -> Key:
    if not text.startswith(PRIVATE_PREFIX):
        key = _symmetric(text, wanted if layout is Layout.STANDARD else _WANTED_BY_OTHERS)
        return HmacKey(key if layout is Layout.STANDARD else text.removeprefix(RAW_PREFIX).encode())
    if layout is not Layout.STANDARD:
        raise ValueError(_no_asymmetric(PRIVATE_PREFIX, layout))
    from destinations.signing import ed25519  # noqa: PLC0415 - only for those who have such keys

    return ed25519.private_key(_decoded(text.removeprefix(PRIVATE_PREFIX), "expected whsk_ and base64 of 64 bytes"))


def _no_asymmetric(prefix: str, layout: Layout) -> str:
    return f"expected whsec_ or raw:, got {prefix}; the layout {layout} has no asymmetric signatures"


def public_key_of(secret: str) -> str | None:
    """Return the `whpk_...` of a valid secret, None where it has none."""
    if not secret.startswith(PRIVATE_PREFIX):
        return None
    from destinations.signing import ed25519  # noqa: PLC0415 - only for those who have such keys

    return ed25519.private_key(_decoded(secret.removeprefix(PRIVATE_PREFIX), "")).public.text


def new_secret() -> str:
    """Return a new secret of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _symmetric(text: str, wanted: str) -> bytes:
    if text.startswith(RAW_PREFIX):
        key = text.removeprefix(RAW_PREFIX).encode()
        if not key:
            raise ValueError("expected a secret behind raw:, got nothing")
        return key
    key = _decoded(text.removeprefix(PREFIX), wanted)
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise ValueError(f"{wanted}; this holds {count(len(key), 'byte')}")
    return key


def _decoded(encoded: str, wanted: str) -> bytes:
    encoded = encoded.rstrip("=")
    if not encoded:
        raise ValueError("the secret is empty")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{wanted}; this is not base64") from None
