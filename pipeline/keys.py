"""Access keys: how one is made, what of it stands in the configuration, and which one a caller has shown. Pure but for
the randomness of a new one.
"""

import re
import secrets
from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest

from pipeline.config.settings import KeySettings

PREFIX = "sk_"
LINK_PREFIX = "lk_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 43  # what 32 random bytes take with 62 digits
_KEY = re.compile(rf"(?<![0-9A-Za-z_]){PREFIX}[0-9A-Za-z]{{{_LENGTH}}}(?![0-9A-Za-z_])")


def new_key() -> str:
    """Return a new access key of 256 random bits, such as `sk_7vQ...`: one word, so that a double click takes it."""
    return PREFIX + _random()


def new_link_key() -> str:
    """Return a new key to sign links with."""
    return LINK_PREFIX + _random()


def _random() -> str:
    number, digits = secrets.randbits(256), ""
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits += _DIGITS[digit]
    return digits


def digest(key: str) -> str:
    """Return what stands in the configuration for a key."""
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def shown(token: str, keys: Iterable[KeySettings]) -> KeySettings | None:
    """Return the key that `token` is, expired or not; None for none.

    All are compared, each in constant time: how long it takes says nothing of what is configured.
    """
    hashed, found = digest(token), None
    for key in keys:
        if compare_digest(hashed, key.sha256):
            found = key
    return found


def is_like_one(text: str) -> bool:
    """Tell whether `text` holds what `new_key` makes, whether it is configured or not."""
    return _KEY.search(text) is not None
