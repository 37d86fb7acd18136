"""The layouts of Stripe and GitHub: what is written, by which key, and what is taken."""

import hashlib
import hmac

import pytest

from destinations.signing.keys import Layout, parse_secret
from destinations.signing.signatures import SignatureError, Signer, Temporary, TimeError, verify

ID, AT, BODY = "msg_1", 1614265330, b"Hello, World!"
NEW, OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "raw:It's a Secret to Everybody"
V4 = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def signed(layout: Layout, *secrets: str, body: bytes = BODY) -> str:
    return Signer((parse_secret(secret, layout) for secret in secrets), layout).sign(ID, AT, body)


def code(key: str, content: bytes) -> str:
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()


def test_the_vector_of_github_holds() -> None:
    assert signed(Layout.GITHUB, OLD) == V4
    assert Layout.GITHUB.header == "x-hub-signature-256"


def test_github_s_header_has_room_for_the_newest_valid_one() -> None:
    assert signed(Layout.GITHUB, NEW, OLD) == f"sha256={code(NEW, BODY)}"
    keys = [Temporary(key=parse_secret(NEW, Layout.GITHUB), until=AT), parse_secret(OLD, Layout.GITHUB)]
    assert Signer(keys, Layout.GITHUB).sign(ID, AT, BODY) == V4


def test_stripe_s_header_has_the_time_and_a_code_by_each_secret_s_text() -> None:
    content = f"{AT}.".encode() + b"\xff"
    expected = f"t={AT},v1={code(NEW, content)},v1={code(OLD.removeprefix('raw:'), content)}"
    assert signed(Layout.STRIPE, NEW, OLD, body=b"\xff") == expected
    assert Layout.STRIPE.header == "stripe-signature"


@pytest.mark.parametrize("layout", [Layout.STRIPE, Layout.GITHUB])
def test_a_secret_must_be_one_in_every_layout_and_no_asymmetric_one(layout: Layout) -> None:
    for text, sentence in (
        ("hunter2!", "this is not base64"),
        ("hunter2!", "expected raw: and the sec"),
        ("raw:", "got nothing"),
        ("whsk_x", "got whsk_"),
    ):
        with pytest.raises(ValueError, match=sentence) as caught:
            parse_secret(text, layout)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("layout", [Layout.STRIPE, Layout.GITHUB])
def test_without_a_key_nothing_is_signed(layout: Layout) -> None:
    assert signed(layout) == ""


@pytest.mark.parametrize("layout", [Layout.STRIPE, Layout.GITHUB])
def test_what_is_signed_is_taken_and_nothing_else(layout: Layout) -> None:
    headers = {layout.header.title(): signed(layout, OLD)}
    verify([NEW, OLD], headers, BODY, AT, layout=layout)
    for secrets, body in (([NEW], BODY), ([OLD], BODY + b" ")):
        with pytest.raises(SignatureError, match="no signature matches"):
            verify(secrets, headers, body, AT, layout=layout)
    with pytest.raises(SignatureError, match=f"{layout.header} is missing"):
        verify([OLD], {"webhook-signature": "v1,x"}, BODY, AT, layout=layout)


@pytest.mark.parametrize(
    ("layout", "value", "why"),
    [
        (Layout.STRIPE, "v1=abcd", "t= of stripe-signature is not a whole number"),
        (Layout.STRIPE, f"t={AT - 301},v1=ab", "t= of stripe-signature is too old by 1 s"),
        (Layout.STRIPE, f"t={AT + 301},v1=ab", "t= of stripe-signature is too new by 1 s"),
        (Layout.STRIPE, f"t={AT},v0=abcd", "no signature of version v1, but of v0"),
        (Layout.STRIPE, f"t={AT},v1=no hex", "no signature matches: another secret, or the body or time were changed"),
        (Layout.STRIPE, f"t={AT},v1=", "no signature matches"),
        (Layout.STRIPE, f"t={AT - 90_000},v1=ab", "t= of stripe-signature is too old by 1 d: it is 1 d 1 h old"),
        (Layout.GITHUB, "sha1=abcd", "no signature of version v1, but of sha1"),
        (Layout.GITHUB, "sha256=", "no signature matches: another secret, or the body was changed on the way$"),
        (Layout.GITHUB, "sha256=é\udcff", "no signature matches"),
    ],
)
def test_a_header_that_does_not_hold_is_refused_with_the_reason(layout: Layout, value: str, why: str) -> None:
    with pytest.raises(SignatureError, match=why) as caught:
        verify([OLD], {layout.header: value}, BODY, AT, layout=layout)
    assert isinstance(caught.value, TimeError) == ("t=" in why)
