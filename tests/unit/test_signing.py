"""Signatures: the vectors of Standard Webhooks, the library as the independent verifier, and every way to be wrong."""

import base64
import hmac
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as IndependentVerifier

from destinations.signing.keys import HmacKey, new_secret, parse_secret, public_key_of
from destinations.signing.signatures import SignatureError, Signer, SigningError, Temporary, TimeError, sign, verify

V1 = (
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    1614265330,
    b'{"test": 2432232314}',
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
)
V2 = (
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
    1649367553,
    b'{"email":"test@example.com","username":"test_user"}',
    "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
)
SECRET, ID, AT, BODY, SIGNATURE = V1
V3 = (
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
    ID,
    AT,
    BODY,
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
)
PRIVATE, ASYMMETRIC = V3[0], V3[4]
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
HEADERS = {"webhook-id": ID, "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}
OTHER = V2[0]


@pytest.mark.parametrize(("secret", "identifier", "at", "body", "expected"), [V1, V2, V3])
def test_the_vectors_hold(secret: str, identifier: str, at: int, body: bytes, expected: str) -> None:
    assert sign([secret], identifier, at, body) == expected


@given(key=st.binary(min_size=24, max_size=64), body=st.text(), at=st.integers(0, 4_000_000_000))
def test_the_library_signs_as_we_do(key: bytes, body: str, at: int) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    theirs = IndependentVerifier(secret).sign("msg_1", datetime.fromtimestamp(at, UTC), body)
    assert sign([secret], "msg_1", at, body.encode()) == theirs


@given(body=st.binary())
def test_any_bytes_can_be_signed_and_verified(body: bytes) -> None:
    verify([SECRET], {**HEADERS, "webhook-signature": sign([SECRET], ID, AT, body)}, body, AT)


def test_every_secret_signs_newest_first() -> None:
    first, second = sign([OTHER, SECRET], ID, AT, BODY).split(" ")
    assert first == sign([OTHER], ID, AT, BODY)
    assert second == SIGNATURE


def test_a_signer_without_keys_is_false_and_signs_nothing() -> None:
    assert not Signer([])
    assert Signer([]).sign(ID, AT, BODY) == ""


def test_a_signer_signs_again_and_again() -> None:
    signer = Signer([parse_secret(SECRET)])
    assert [signer.sign(ID, AT, BODY) for _ in range(3)] == [SIGNATURE] * 3


@pytest.mark.parametrize("secret", [SECRET, SECRET.removeprefix("whsec_")])
def test_a_secret_may_have_its_prefix_or_not(secret: str) -> None:
    assert sign([secret], ID, AT, BODY) == SIGNATURE


def test_a_secret_may_lack_its_padding() -> None:
    key = b"k" * 25
    padded = base64.b64encode(key).decode()
    assert padded.endswith("==")
    expected = _code(key)
    assert [_code_of(parse_secret("whsec_" + text)) for text in (padded, padded.rstrip("="))] == [expected] * 2
    assert sign([PRIVATE.rstrip("=")], ID, AT, BODY) == ASYMMETRIC


def _code(key: bytes) -> bytes:
    return hmac.digest(key, b"x", "sha256")


def _code_of(key: object) -> bytes:
    assert isinstance(key, HmacKey)
    return key.digest(b"", b"x")


@pytest.mark.parametrize("size", [24, 32, 64])
def test_keys_of_24_to_64_bytes_are_taken(size: int) -> None:
    assert _code_of(parse_secret("whsec_" + base64.b64encode(b"k" * size).decode())) == _code(b"k" * size)


def test_a_raw_secret_is_the_text_itself() -> None:
    assert _code_of(parse_secret("raw:It's a Secret to Everybody")) == _code(b"It's a Secret to Everybody")
    assert _code_of(parse_secret("raw:whsec_é")) == _code("whsec_é".encode())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the secret is empty"),
        ("whsec_", "the secret is empty"),
        ("whsec_====", "the secret is empty"),
        ("raw:", "expected a secret behind raw:, got nothing"),
        ("hunter2!", "this is not base64"),
        ("whsec_hunter2é", "this is not base64"),
        ("whsec_" + "A" * 31 + "\n", "this is not base64"),
        ("whsk_", "the secret is empty"),
        ("whsk_hunter2!", "whsk_ and base64 of 64 bytes; this is not base64"),
        ("whsk_" + "A" * 32, "whsk_ and base64 of 64 bytes, a seed and its public key; this holds 24 bytes"),
        ("whsk_" + "A" * 86 + "==", "do not belong together"),
        (PUBLIC, "whpk_ is a public key"),
        ("whsec_" + base64.b64encode(b"k" * 23).decode(), "this holds 23 bytes"),
        ("whsec_" + base64.b64encode(b"k" * 65).decode(), "this holds 65 bytes"),
    ],
)
def test_a_bad_secret_is_refused_without_being_shown(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        parse_secret(text)
    for word in ("hunter2", "AAAA", "a2tr"):
        assert word not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"webhook-id": ""}, "webhook-id is missing"),
        ({"webhook-timestamp": ""}, "webhook-timestamp is missing"),
        ({"webhook-signature": ""}, "webhook-signature is missing"),
        ({"webhook-timestamp": "yesterday"}, "not a whole number"),
        ({"webhook-timestamp": "1614265330.5"}, "not a whole number"),
        ({"webhook-timestamp": "1614265330\n"}, "not a whole number"),
        ({"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"}, "not a whole number"),
        ({"webhook-timestamp": str(AT - 301)}, "too old by 1 s: it is 301 s old, 300 s are tolerated"),
        ({"webhook-timestamp": str(AT + 301)}, "too new by 1 s: it is 301 s in the future, 300 s are tolerated"),
        ({"webhook-timestamp": str(AT - 300)}, "no signature matches"),
        ({"webhook-id": "msg_other"}, "no signature matches"),
        ({"webhook-signature": "v1," + "A" * 43 + "="}, "no signature matches"),
        ({"webhook-signature": "v1,"}, "no signature matches"),
        ({"webhook-signature": SIGNATURE[:-8]}, "no signature matches"),
        ({"webhook-signature": "v1,é\udcff"}, "no signature matches"),
        ({"webhook-signature": SIGNATURE.removeprefix("v1,")}, "no signature of version v1"),
        ({"webhook-signature": SIGNATURE.replace("v1,", "v2,")}, "no signature of version v1"),
        ({"webhook-signature": SIGNATURE.replace("v1,", "v1a,")}, "no signature of version v1, but of v1a"),
        ({"webhook-signature": ", ,, v1"}, "no signature of version v1$"),
        ({"webhook-signature": "\x1b[31mv9,x é,x toolongone,x"}, "no signature of version v1$"),
    ],
)
def test_a_request_that_does_not_hold_is_refused_with_the_reason(changes: dict[str, str], why: str) -> None:
    with pytest.raises(SignatureError, match=why):
        verify([SECRET], {**HEADERS, **changes}, BODY, AT)


@pytest.mark.parametrize("header", HEADERS)
def test_a_missing_header_is_named(header: str) -> None:
    with pytest.raises(SignatureError, match=f"{header} is missing"):
        verify([SECRET], {name: value for name, value in HEADERS.items() if name != header}, BODY, AT)


def test_another_body_does_not_hold() -> None:
    with pytest.raises(SignatureError, match="no signature matches"):
        verify([SECRET], HEADERS, BODY + b" ", AT)


@pytest.mark.parametrize("now", [AT - 300, AT, AT + 300])
def test_five_minutes_both_ways_are_tolerated(now: int) -> None:
    verify([SECRET], HEADERS, BODY, now)


def test_one_right_signature_among_wrong_and_unknown_ones_is_enough() -> None:
    wrong = "v1," + "A" * 43 + "="
    verify([SECRET], {**HEADERS, "webhook-signature": f"v2,abc {wrong} {SIGNATURE} v1a,xyz"}, BODY, AT)


def test_any_of_the_secrets_is_enough_and_header_names_have_no_case() -> None:
    verify([OTHER, SECRET], {name.title(): value for name, value in HEADERS.items()}, BODY, AT)


# Asymmetric keys


def test_the_public_key_belongs_to_the_secret() -> None:
    assert public_key_of(PRIVATE) == PUBLIC
    assert public_key_of(SECRET) is None
    assert public_key_of(new_secret()) is None


@pytest.mark.parametrize("secret", [PRIVATE, PUBLIC, PUBLIC.rstrip("=")])
def test_both_halves_verify(secret: str) -> None:
    headers = {**HEADERS, "webhook-signature": ASYMMETRIC}
    verify([secret], headers, BODY, AT)
    with pytest.raises(SignatureError, match="no signature matches"):
        verify([secret], headers, BODY + b" ", AT)
    for wrong in ("v1a,", "v1a,hunter2!", ASYMMETRIC[:-8], "v1a,é\udcff", "v1a," + "A" * 86 + "=="):
        with pytest.raises(SignatureError, match="no signature matches"):
            verify([secret], {**headers, "webhook-signature": wrong}, BODY, AT)
    with pytest.raises(SignatureError, match=r"no signature of version v1a, but of v1$"):
        verify([secret], HEADERS, BODY, AT)


@given(body=st.binary(), at=st.integers(0, 4_000_000_000))
def test_an_independent_verifier_takes_asymmetric_signatures(body: bytes, at: int) -> None:
    version, _, signature = sign([PRIVATE], "msg_1", at, body).partition(",")
    assert version == "v1a"
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(PUBLIC.removeprefix("whpk_")))
    key.verify(base64.b64decode(signature), f"msg_1.{at}.".encode() + body)


def test_both_versions_sign_side_by_side_and_each_receiver_finds_its_own() -> None:
    both = sign([PRIVATE, SECRET], ID, AT, BODY)
    assert both == f"{ASYMMETRIC} {SIGNATURE}"
    headers = {**HEADERS, "webhook-signature": both}
    for known in ([SECRET], [PUBLIC], [OTHER, PUBLIC], [SECRET, PUBLIC]):
        verify(known, headers, BODY, AT)
    with pytest.raises(SignatureError, match="no signature matches"):
        verify([OTHER], headers, BODY, AT)


@pytest.mark.parametrize("prefix", ["whpk_", "whsk_", "whsec_"])
@pytest.mark.parametrize(("size", "told"), [(1, "1 byte"), (2, "2 bytes"), (65, "65 bytes")])
def test_a_key_of_another_size_is_refused_with_the_size(prefix: str, size: int, told: str) -> None:
    with pytest.raises(ValueError, match=f"base64 of .* bytes.*; this holds {told}$"):
        verify([prefix + base64.b64encode(b"k" * size).decode()], HEADERS, BODY, AT)


# Rotation


def test_a_temporary_key_signs_until_its_moment_and_no_more() -> None:
    signer = Signer([parse_secret(SECRET), Temporary(key=parse_secret(OTHER), until=AT)])
    older = sign([OTHER], ID, AT - 1, BODY)
    assert signer.sign(ID, AT - 1, BODY) == f"{sign([SECRET], ID, AT - 1, BODY)} {older}"
    assert signer.sign(ID, AT, BODY) == SIGNATURE
    assert signer.sign(ID, AT + 10**6, BODY) == sign([SECRET], ID, AT + 10**6, BODY)


def test_where_all_are_over_nothing_is_signed_without_a_word() -> None:
    signer = Signer([Temporary(key=parse_secret(SECRET), until=AT), Temporary(key=parse_secret(OTHER), until=AT - 60)])
    assert signer.sign(ID, AT - 1, BODY) == sign([SECRET], ID, AT - 1, BODY)
    with pytest.raises(SigningError, match="every secret is over"):
        signer.sign(ID, AT, BODY)


# Any time


def test_without_a_now_any_time_will_do_but_it_must_be_one() -> None:
    verify([SECRET], HEADERS, BODY, None)
    with pytest.raises(TimeError, match="not a whole number"):
        verify([SECRET], {**HEADERS, "webhook-timestamp": "²"}, BODY, None)
