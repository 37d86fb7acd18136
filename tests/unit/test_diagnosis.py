"""Why a signature does not hold: each thing that goes wrong has a sentence of its own, and what is right has none."""

import json

import pytest

from destinations.signing.diagnosis import why_not
from destinations.signing.keys import Layout
from destinations.signing.signatures import sign

SECRET, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
ID, AT = "msg_1", 1614265330
BODY = '{"text":"Grüße","words":[1,2]}'.encode()
MISMATCH = "no signature matches: another secret, or the body, id or time were changed on the way"


def why(
    body: bytes = BODY, secret: str = SECRET, now: float = AT, layout: Layout = Layout.STANDARD, **changes: str
) -> list[str]:
    headers = {"id": ID, "timestamp": str(AT), "signature": sign([SECRET], ID, AT, BODY)} | changes
    named = {f"Webhook-{name.title()}": value for name, value in headers.items()}
    return list(why_not([secret], named, body, now, layout))


def test_what_holds_has_no_reason() -> None:
    assert why() == []
    assert why(secret=OTHER) == [MISMATCH]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (BODY + b"\n", "without the line break at its end"),
        (BODY + b"\r\n", "without the line break at its end"),
        (b"\xef\xbb\xbf" + BODY, "without the byte order mark"),
        (json.dumps(json.loads(BODY)).encode(), "as JSON without blanks: it was parsed and written again"),
        (json.dumps(json.loads(BODY), indent=2).encode(), "as JSON without blanks: it was parsed and written again"),
    ],
)
def test_a_change_of_the_body_is_found(body: bytes, sentence: str) -> None:
    first, second = why(body)
    assert first == MISMATCH
    assert second.startswith(f"the signature is right for the body {sentence}")


@pytest.mark.parametrize(
    ("sent", "came", "sentence"),
    [
        (b"a\nb\n", b"a\nb", "with a line break at its end"),
        (b"a\nb", b"a\r\nb", "with LF in the place of CR LF"),
        (b"a\r\nb", b"a\nb", "with CR LF in the place of LF"),
        (b'{"a": 1}', b'{"a":1}', "as JSON with blanks"),
        (b'{"a":"\\u00e9"}', '{"a":"é"}'.encode(), "as JSON without blanks"),
    ],
)
def test_other_changes_are_found_too(sent: bytes, came: bytes, sentence: str) -> None:
    assert sentence in why(came, signature=sign([SECRET], ID, AT, sent))[1]


def test_an_empty_body_is_told() -> None:
    assert why(b"") == [MISMATCH, "the body is empty: was it read before?"]


@pytest.mark.parametrize(
    ("signed_by", "known", "sentence"),
    [
        (f"raw:{SECRET}", SECRET, "the text of the secret"),
        (f"raw:{SECRET.removeprefix('whsec_')}", SECRET, "the text behind whsec_"),
        (SECRET, f"raw:{SECRET}", "base64 of this one: leave out raw:"),
    ],
)
def test_another_use_of_the_secret_is_found(signed_by: str, known: str, sentence: str) -> None:
    first, second = why(secret=known, signature=sign([signed_by], ID, AT, BODY))
    assert first == MISMATCH
    assert sentence in second
    assert SECRET not in second


def test_an_old_request_is_told_from_a_forged_one() -> None:
    late = "webhook-timestamp is too old by 100 s: it is 400 s old, 300 s are tolerated"
    assert why(now=AT + 400) == [
        late, "the signature itself is right: the request is an old one, or one of the clocks is wrong"
    ]  # fmt: skip
    assert why(now=AT + 400, secret=OTHER) == [late, MISMATCH]
    assert why(now=AT + 400, body=BODY + b"\n")[2].startswith("the signature is right for the body without")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (599, "by 299 s: it is 599 s old"),
        (900, "by 10 m: it is 15 m old"),
        (7500, "by 2 h: it is 2 h 5 m old"),
        (200_000_000, "by 2314 d 19 h: it is 2314 d 19 h old"),
    ],
)
def test_what_is_far_away_is_told_in_units_that_one_can_grasp(seconds: int, words: str) -> None:
    first, _ = why(now=AT + seconds)
    assert first == f"webhook-timestamp is too old {words}, 300 s are tolerated"


def test_milliseconds_are_told() -> None:
    at = AT * 1000
    first, second, third = why(timestamp=str(at), signature=sign([SECRET], ID, at, BODY))
    assert "too new by" in first
    assert (second, third[:29]) == (
        "it looks like milliseconds, and is to be in seconds",
        "the signature itself is right",
    )
    assert why(timestamp="soon") == ["webhook-timestamp is not a whole number of seconds"]


def test_missing_headers_are_told_all_at_once() -> None:
    assert why(id="") == ["the header webhook-id is missing"]
    assert why(id="", signature="") == [
        "the header webhook-id is missing", "missing are: webhook-id, webhook-signature"
    ]  # fmt: skip


def test_another_layout_is_told() -> None:
    found = list(why_not([SECRET], {"X-Hub-Signature-256": "sha256=ab"}, BODY, AT, Layout.STANDARD))
    assert found[-1] == "there is x-hub-signature-256: is it signed in the layout github?"
    assert why(layout=Layout.STRIPE) == [
        "the header stripe-signature is missing", "there is webhook-signature: is it signed in the layout standard?"
    ]  # fmt: skip


def test_another_version_is_told() -> None:
    assert why(secret=PRIVATE) == ["webhook-signature holds no signature of version v1a, but of v1"]
    assert why(secret=PRIVATE, signature=sign([PRIVATE], ID, AT, BODY)) == []
    assert why(b"no", secret=PRIVATE, signature=sign([PRIVATE], ID, AT, BODY)) == [MISMATCH]


def test_no_body_makes_it_fail() -> None:
    for body in (b"[" * 100_000, b'"\\ud800"', b"\xff\xfe", b"NaN"):
        assert why(body) == [MISMATCH]
