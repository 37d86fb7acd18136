"""Masking: what of a known secret is found, in which forms, and what is left alone."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destinations.signing.ed25519 import new_pair
from pipeline.mask import Masker
from pipeline.model import DeliveryReason, Outcome, RunError, Verdict

SECRET = 'p&ss "wörd"/+\\1'
MASK = Masker([SECRET])


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        repr(KeyError(SECRET))[10:-2],
        html.escape(SECRET),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").replace("%C3%B6", "%c3%b6").replace("%2F", "%2f").replace("%2B", "%2b")
        .replace("%5C", "%5c"),
        quote_plus(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
    ],
)  # fmt: skip
def test_a_secret_is_found_in_every_form(shown: str) -> None:
    assert MASK.text(f"<<{shown}>>") in ("<<***>>", "<<***=>>", "<<***==>>")


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_a_secret_is_found_in_base64_whatever_stands_around_it(before: bytes, after: bytes) -> None:
    secret = "correct horse battery staple"
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    masked = Masker([secret]).text(encoded)
    assert "***" in masked
    assert len(masked) <= len(encoded) - len(secret)


def test_what_belongs_to_the_secret_is_found_without_the_rest() -> None:
    key = base64.b64encode(b"a signing key of 24 bytes or so").decode()
    basic = "Basic " + base64.b64encode(b"ada:lovelace").decode()
    pem = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"
    mask = Masker(
        [f"whsec_{key}", "Bearer abcdef123456", "raw:plain-secret", basic, pem, "postgres://u:pass%20word@h/d"]
    )
    for shown in (key, "abcdef123456", "plain-secret", "lovelace", basic[6:], "kqhkiG9w0BAQEF", "pass word"):
        assert mask.text(f"it was {shown}.") == "it was ***.", shown
    assert mask.text("Bearer Basic whsec_ ada") == "Bearer Basic whsec_ ada"


def test_an_asymmetric_secret_is_masked_whole_and_by_its_private_half_and_its_public_half_is_not() -> None:
    secret, public = new_pair()
    pair = base64.b64decode(secret.removeprefix("whsk_"))
    seed = base64.b64encode(pair[:32]).decode()
    mask = Masker([secret])
    for shown in (secret, secret.removeprefix("whsk_"), base64.b64encode(secret.encode()).decode()):
        assert mask.text(f"it was {shown}.") in ("it was ***.", "it was ***=.", "it was ***==."), shown
    assert mask.text(f"seed: {seed}").startswith("seed: ***")
    assert seed[:20] not in mask.text(f"seed: {seed}")
    assert mask.text(public) == public


def test_what_is_too_short_to_be_secret_is_left_alone() -> None:
    assert Masker(["", "a", "12345", "true"]).text("a 12345 true") == "a 12345 true"
    assert Masker(["123456"]).text("a 123456") == "a ***"


def test_the_longer_of_two_goes_whole() -> None:
    assert Masker(["secret-one", "secret-one-and-more"]).text("secret-one-and-more, secret-one") == "***, ***"


def test_secrets_of_before_are_masked_after_new_ones_are_learned() -> None:
    mask = Masker(["old-secret"])
    mask.learn(["new-secret"])
    assert mask.text("old-secret new-secret") == "*** ***"
    assert mask.content(b"old-secret \xff new-secret") == b"*** \xff ***"


def test_of_the_secrets_that_have_gone_the_last_hundred_stay_masked_in_the_order_in_which_they_went() -> None:
    mask, oldest = Masker(), "the-one-of-long-ago"
    for hour in range(150):
        current = [oldest, "the-current-one", f"token-of-hour-{hour:03}-whole"]
        mask.learn(current)
        mask.forget_old(current)
    mask.forget_old(["the-current-one"])
    text = "the-current-one token-of-hour-{:03}-whole".format
    assert mask.text(text(48)) == "*** token-of-hour-048-whole"
    assert [mask.text(text(hour)) for hour in (49, 149)] == ["*** ***"] * 2
    assert mask.text(oldest) == "***"


def test_what_goes_at_once_stays_masked_however_much_it_is() -> None:
    mask, many = Masker(), [f"secret-of-number-{number:03}" for number in range(150)]
    mask.learn(many)
    mask.forget_old(many)
    mask.forget_old(["the-current-one"])
    assert {mask.text(secret) for secret in many} == {"***"}
    mask.learn(["the-current-one"])
    assert mask.text("the-current-one") == "***"
    mask.forget_old(["the-current-one"])
    assert mask.text(many[49]) == many[49]
    assert mask.text(many[50]) == "***"


def test_without_a_secret_the_very_same_value_comes_back() -> None:
    outcome = Outcome(verdict=Verdict.DELIVERED, status=200, headers=(("date", "now"),), body=b"fine")
    error = RunError(type="E", message="m", stack=("s",))
    for mask in (MASK, Masker()):
        assert mask.outcome(outcome) is outcome
        assert mask.run_error(error) == error
        content = b"fine" * 100
        assert mask.content(content) is content


def test_an_answer_is_masked_in_headers_body_and_message_and_nothing_else_changes() -> None:
    outcome = Outcome(
        verdict=Verdict.TEMPORARY,
        reason=DeliveryReason.HTTP_ERROR,
        status=500,
        message=f"500: {SECRET}",
        headers=(("x-echo", SECRET), ("date", "now")),
        body=b"\xff" + SECRET.encode(),
    )
    masked = MASK.outcome(outcome)
    assert (masked.message, masked.headers, masked.body) == (
        "500: ***", (("x-echo", "***"), ("date", "now")), b"\xff***",
    )  # fmt: skip
    assert (masked.verdict, masked.reason, masked.status) == (outcome.verdict, outcome.reason, outcome.status)


@pytest.mark.parametrize("size", [500, 16 * 1024])
def test_the_beginning_of_a_secret_at_the_end_of_a_cut_text_is_masked(size: int) -> None:
    secret = "correct horse battery staple"
    mask = Masker([secret])
    for torn in (6, 20, len(secret) - 1):
        text = ("x" * size)[: size - torn] + secret[:torn]
        assert mask.text(text) == "x" * (size - torn) + "***"
        assert mask.outcome(Outcome(verdict=Verdict.DELIVERED, body=text.encode())).body.endswith(b"x***")
    assert mask.text("x" * 100 + secret[:20]) == "x" * 100 + secret[:20]  # not cut: it is no secret


def test_values_are_masked_as_deep_as_they_go_and_numbers_stay() -> None:
    value = {"detail": SECRET, "errors": [{"pointer": f"/{SECRET}"}], "status": 500, "stack": (SECRET,), "none": None}
    assert MASK.value(value) == {
        "detail": "***", "errors": [{"pointer": "/***"}], "status": 500, "stack": ["***"], "none": None
    }  # fmt: skip


@given(st.text(), st.lists(st.text(min_size=6, max_size=40), max_size=4))
def test_no_text_breaks_it_and_no_secret_survives(text: str, secrets: list[str]) -> None:
    masked = Masker(secrets).text("".join([text, *secrets]))
    assert all(secret not in masked for secret in secrets if "*" not in secret)


def test_an_error_of_a_function_is_masked_everywhere() -> None:
    error = MASK.run_error(RunError(type=f"E{SECRET}", message=SECRET, stack=(f"raise E({SECRET!r})", "x")))
    assert (error.type, error.message, error.stack) == ("E***", "***", ("raise E('***')", "x"))
