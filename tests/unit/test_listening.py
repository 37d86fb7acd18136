"""How the receiver of `sendoff listen` answers, and what it remembers."""

import pytest

from destinations.signing.keys import Layout, parse_secret
from destinations.signing.signatures import Signer
from pipeline.cli.listening.checking import Checker
from pipeline.cli.listening.manners import Manners, Memory
from pipeline.cli.listening.received import Signature, number_of

AT, BODY = 1614265330, b"Hello, World!"
SECRET, PUBLIC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whpk_PcMy5mcRVNzPfO8Dz4d0ZcPYIQMGsmtBFa2MWDiTOLg="


@pytest.mark.parametrize(
    ("manners", "statuses"),
    [
        pytest.param(Manners(), [200, 200, 200], id="well"),
        pytest.param(Manners(answer=503), [503, 503, 503], id="always"),
        pytest.param(Manners(fail=2), [503, 503, 200], id="at first"),
        pytest.param(Manners(fail=1, answer=429), [429, 200, 200], id="at first with a status"),
        pytest.param(Manners(fail=0, answer=429), [200, 200, 200], id="never"),
    ],
)
def test_requests_of_a_message_are_answered_as_was_told(manners: Manners, statuses: list[int]) -> None:
    assert [manners.status(seen, is_good=True) for seen in (1, 2, 3)] == statuses


def test_a_bad_signature_is_refused_where_nothing_else_was_told() -> None:
    assert Manners().status(1, is_good=False) == 401
    assert Manners(fail=1).status(1, is_good=False) == 503
    assert Manners(fail=1).status(2, is_good=False) == 401


def test_retry_after_stands_in_the_answers_that_were_asked_for() -> None:
    manners = Manners(fail=1, answer=429, retry_after_s=10)
    assert manners.headers(429) == {"Retry-After": "10"}
    assert manners.headers(200) == {}
    assert Manners(fail=1, retry_after_s=0).headers(503) == {"Retry-After": "0"}
    assert Manners(fail=1).headers(503) == {}


def test_what_was_accepted_is_a_duplicate_when_it_comes_again_and_each_path_is_its_own() -> None:
    memory = Memory()
    assert memory.note(("/a", "msg_1")) == (1, False)
    assert memory.note(("/a", "msg_1")) == (2, False)
    memory.accept(("/a", "msg_1"))
    assert memory.note(("/a", "msg_1")) == (3, True)
    assert memory.note(("/b", "msg_1")) == (1, False)


def test_the_oldest_messages_are_forgotten() -> None:
    memory = Memory()
    for number in range(100_001):
        memory.note(("/", str(number)))
    assert memory.note(("/", "1")) == (2, False)
    memory.accept(("/", "0"))
    assert memory.note(("/", "0")) == (1, False)


@pytest.mark.parametrize(
    ("text", "number"), [("3", 3), (None, None), ("", None), ("x", None), ("-1", None), ("²", None), ("9" * 5000, None)]
)
def test_an_attempt_is_a_number_or_nothing(text: str | None, number: int | None) -> None:
    assert number_of(text) == number


# Signatures


def signed(*layouts: Layout) -> dict[str, str]:
    signers = [Signer([parse_secret(SECRET, layout)], layout) for layout in layouts]
    headers = {signer.header.title(): signer.sign("msg_1", AT, BODY) for signer in signers}
    return {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(AT), **headers}


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("is_asked_for", [True, False])
def test_a_layout_is_checked_where_it_was_asked_for_or_where_its_header_came(
    layout: Layout, is_asked_for: bool
) -> None:
    checker = Checker([PUBLIC, SECRET], layout if is_asked_for else None)
    good, bad = checker.check(signed(layout), BODY, AT), checker.check(signed(layout), BODY + b" ", AT)
    assert (good.signature, good.layout, good.why) == (Signature.GOOD, layout, None)
    assert (bad.signature, bad.layout) == (Signature.BAD, layout)
    assert "no signature matches" in (bad.why or "")


def test_the_standard_layout_goes_first_and_another_one_is_not_taken_for_it() -> None:
    headers = signed(*Layout)
    assert Checker([SECRET], None).check(headers, BODY, AT).layout is Layout.STANDARD
    headers["Webhook-Signature"] = "v1,AAAA"
    assert Checker([SECRET], None).check(headers, BODY, AT).signature is Signature.BAD
    found = Checker([SECRET], Layout.STRIPE).check(signed(Layout.GITHUB), BODY, AT)
    assert (found.signature, found.why) == (Signature.BAD, "the header stripe-signature is missing")


def test_public_keys_check_no_layout_of_others_and_that_is_said() -> None:
    found = Checker([PUBLIC], None).check(signed(Layout.STRIPE), BODY, AT)
    assert (found.signature, found.layout) == (Signature.BAD, Layout.STRIPE)
    assert "no secret for the layout stripe: it takes whsec_ or raw:" in (found.why or "")


def test_without_a_secret_no_layout_is_checked() -> None:
    assert Checker([], Layout.GITHUB).check(signed(Layout.STRIPE), BODY, AT).signature is Signature.UNCHECKED
