"""Access keys: how they look, and how they are found again."""

import hashlib
import re

import pytest

from pipeline.config.settings import KeySettings, Scope
from pipeline.keys import digest, is_like_one, new_key, new_link_key, shown


def entry(name: str, key: str) -> KeySettings:
    return KeySettings(name=name, sha256=digest(key), scopes=(Scope.INVOKE,))


def test_a_key_is_one_word_of_256_random_bits() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch("sk_[0-9A-Za-z]{43}", key) for key in keys)
    assert len({key[-1] for key in keys}) > 1
    assert new_link_key().startswith("lk_")


def test_what_is_configured_is_the_sha_256() -> None:
    assert digest("sk_a") == hashlib.sha256(b"sk_a").hexdigest()


def test_the_key_that_was_shown_is_found_among_others() -> None:
    first, second = new_key(), new_key()
    keys = [entry("first", first), entry("second", second)]
    assert shown(second, keys) == keys[1]
    for wrong in ("", first[:-1], f"{first} ", first.lower(), digest(first), "\udcff", "\u00e4"):
        assert shown(wrong, keys) is None


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("Bearer sk_" + "a" * 43, True),
        ("x:sk_" + "a" * 43, True),
        ("Bearer sk_" + "a" * 42, False),
        ("Bearer sk_" + "a" * 44, False),
        ("Bearer sk_live_" + "a" * 43, False),
        ("Bearer " + "a" * 43, False),
    ],
)
def test_what_looks_like_a_key(text: str, is_one: bool) -> None:
    assert is_like_one(text) == is_one
