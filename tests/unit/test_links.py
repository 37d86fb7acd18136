"""Signed links: what they are good for, and everything that they are not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import links
from pipeline.config.secret import Secret

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB = "01960000-0000-7000-8000-00000000002a"
OTHER = "01960000-0000-7000-8000-00000000002b"
OLD, NEW = Secret("lk_" + "o" * 43), Secret("lk_" + "n" * 43)
GOOD = links.signature(JOB, NOW + timedelta(hours=1), [OLD])


def said(signature: str, job: str = JOB, at: datetime = NOW, keys: tuple[Secret, ...] = (OLD,)) -> str:
    """Return what is wrong with a link, or nothing."""
    try:
        links.check(signature, job, at, keys)
    except links.BadLinkError as error:
        return str(error)
    return ""


def test_a_signature_is_hmac_sha256_over_purpose_job_and_expiry() -> None:
    # printf 'sendoff link\njob\nJOB\n1772370000' | openssl dgst -sha256 -hmac KEY -binary | basenc --base64url
    assert GOOD == "v1.1772370000.YTtC0YvcDFa1VWNh40EzmQ4wKHnfHkpb9w_5OK67JY4"


def test_a_link_is_good_until_it_expires() -> None:
    assert said(GOOD) == ""
    assert said(GOOD, at=NOW + timedelta(seconds=3599.999)) == ""
    assert said(GOOD, at=NOW + timedelta(seconds=3600)) == "the link has expired at 2026-03-01T13:00:00Z"


def test_a_link_is_for_one_job_and_by_a_key_that_is_there() -> None:
    wrong = "the link was changed, is for another job, or was signed by a key that is gone"
    assert said(GOOD, job=OTHER) == said(GOOD, keys=(NEW,)) == said(GOOD, keys=()) == wrong


def test_a_link_for_the_one_purpose_is_none_for_the_other() -> None:
    of_batch = links.signature(JOB, NOW + timedelta(hours=1), [OLD], links.Purpose.BATCH)
    links.check(of_batch, JOB, NOW, [OLD], links.Purpose.BATCH)
    assert "another job" in said(of_batch)
    with pytest.raises(links.BadLinkError, match="another batch"):
        links.check(GOOD, JOB, NOW, [OLD], links.Purpose.BATCH)


def test_a_new_key_signs_and_the_old_one_is_good_still() -> None:
    assert said(GOOD, keys=(NEW, OLD)) == ""
    newer = links.signature(JOB, NOW + timedelta(hours=1), [NEW, OLD])
    assert said(newer, keys=(NEW,)) == ""
    assert said(newer, keys=(OLD,))


@given(st.integers(0, len(GOOD) - 1), st.characters(min_codepoint=33, max_codepoint=126))
def test_no_other_character_in_any_place_is_good(at: int, character: str) -> None:
    changed = GOOD[:at] + character + GOOD[at + 1 :]
    # Base64 leaves the last two bits of 43 characters open: the text must be the same all the same.
    assert (said(changed) == "") == (changed == GOOD)


@pytest.mark.parametrize(
    "text", ["", "v1", GOOD[:-1], f"{GOOD}x", f"{GOOD}\n", GOOD.upper(), "v1.\u0661.x", "v2" + GOOD[2:]]
)
def test_what_has_not_the_form_is_no_link(text: str) -> None:
    assert said(text)


@pytest.mark.parametrize(
    ("target", "left"),
    [
        ("/functions/f", "/functions/f"),
        ("/functions/f?", "/functions/f?"),
        ("/functions/f?sig=mine&a=1", "/functions/f?sig=mine&a=1"),
        (f"/functions/f?sig={GOOD}", "/functions/f"),
        (f"/functions/f?a=1&sig={GOOD}&b=%20&sig=mine", "/functions/f?a=1&b=%20&sig=mine"),
        (f"/functions/f?xsig={GOOD}", f"/functions/f?xsig={GOOD}"),
    ],
)
def test_signatures_are_taken_out_and_nothing_else(target: str, left: str) -> None:
    assert links.without_signatures(target) == left
