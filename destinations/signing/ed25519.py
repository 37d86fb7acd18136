"""Asymmetric keys of webhooks: `whsk_` signs, `whpk_` verifies (Ed25519, version `v1a`).

Imported only where there is such a key, since `cryptography` makes every start slower.
"""

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from destinations.signing.prefixes import PRIVATE_PREFIX, PUBLIC_PREFIX
from pipeline.counts import count

_HALF = 32


class PublicKey:
    """Verifies."""

    version = "v1a"

    def __init__(self, key: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(key)
        self.text = PUBLIC_PREFIX + base64.b64encode(key).decode()
        """The key as receivers are given it."""

    def has_signed(self, head: bytes, body: bytes, signature: bytes) -> bool:
        """Tell whether `signature`, in base64, is one of `head` and `body`."""
        try:
            self._key.verify(base64.b64decode(signature, validate=True), head + body)
        except (InvalidSignature, binascii.Error):
            return False
        return True


class PrivateKey:
    """Signs, and has its public key."""

    version = PublicKey.version

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes_raw())

    def sign(self, head: bytes, body: bytes) -> str:
        """Return `v1a,` and the signature of `head` and `body` in base64."""
        return f"{self.version}," + binascii.b2a_base64(self._key.sign(head + body), newline=False).decode()

    def has_signed(self, head: bytes, body: bytes, signature: bytes) -> bool:
        """Tell as the public key does."""
        return self.public.has_signed(head, body, signature)


def private_key(content: bytes) -> PrivateKey:
    """Return the key in what `whsk_` stands before: the seed, and the public key behind it.

    Raises ValueError, with a sentence that does not repeat them, for any other content.
    """
    if len(content) != 2 * _HALF:
        size = count(len(content), "byte")
        raise ValueError(f"expected whsk_ and base64 of 64 bytes, a seed and its public key; this holds {size}")
    key = Ed25519PrivateKey.from_private_bytes(content[:_HALF])
    if key.public_key().public_bytes_raw() != content[_HALF:]:
        raise ValueError("expected whsk_ and base64 of a seed and its public key; these do not belong together")
    return PrivateKey(key)


def public_key(content: bytes) -> PublicKey:
    """Return the key in what `whpk_` stands before; raises ValueError for other than 32 bytes."""
    if len(content) != _HALF:
        raise ValueError(f"expected whpk_ and base64 of 32 bytes; this holds {count(len(content), 'byte')}")
    return PublicKey(content)


def new_pair() -> tuple[str, str]:
    """Return a new secret, and the public key for those who verify."""
    key = Ed25519PrivateKey.generate()
    pair = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return PRIVATE_PREFIX + base64.b64encode(pair).decode(), PrivateKey(key).public.text
