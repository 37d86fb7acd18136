"""The query of a caller's URL in what its receiver answers: masked in a few fixed forms, at a cost that has a bound."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destinations.base import KEPT_BODY
from destinations.webhook.queries import MOST_VALUES, forms_of, without_query
from pipeline.model import DeliveryReason, Outcome, Verdict

PLACE = "https://h.example/p"
MOST_FORMS = 6 + 3 * MOST_VALUES


def said(text: str | bytes, message: str = "500", headers: tuple[tuple[str, str], ...] = ()) -> Outcome:
    return Outcome(
        verdict=Verdict.TEMPORARY,
        reason=DeliveryReason.HTTP_ERROR,
        message=message,
        status=500,
        headers=headers,
        body=text if isinstance(text, bytes) else text.encode(),
    )


@pytest.mark.parametrize(
    ("query", "answer", "shown"),
    [
        ("token=hunter2hunter2", "no /p?token=hunter2hunter2.", "no /p?***."),
        ("token=hunter2hunter2", "bad token hunter2hunter2", "bad token ***"),
        ("token=hunter2hunter2", f"no {PLACE}?token=hunter2hunter2.", "no ***."),
        ("S3CRETS3CRET", "no /p?S3CRETS3CRET", "no /p?***"),
        ("S3CRETS3CRET#x", "no /p?S3CRETS3CRET", "no /p?***"),
        ("S3CRETS3CRET#x", f"no {PLACE}?S3CRETS3CRET", "no ***"),
        ("S3CRETS3CRET=", "it was S3CRETS3CRET", "it was ***"),
        ("a=1&b=2#x", "no /p?a=1&b=2", "no /p?***"),
        ("t=1", f"no {PLACE}?t=1", "no ***"),
        ("abc%2Fdef", "no abc/def", "no ***"),
        ("t=hunter%2Fhunter", "it was hunter/hunter", "it was ***"),
        ("t=hunter+hunter", "it was hunter hunter", "it was ***"),
        ("t=h%C3%BCnt%C3%A9r", "it was h\u00fcnt\u00e9r", "it was ***"),
        ("t=hunter2&u=hunter3", "u=hunter3, t=hunter2", "u=***, t=***"),
        ("a=1&b=2&c=3", "no a=1&amp;b=2&amp;c=3", "no ***"),
        ("a=1&b=2&c=3", "no a%3D1%26b%3D2%26c%3D3", "no ***"),
        ("t=hunter2&u=hunter2hunter2", "hunter2hunter2", "***"),
        ("t=12345", "12345 is told, as half of every text would be masked", None),
        ("", "nothing", None),
        ("#hunter2hunter2", "nothing of hunter2hunter2 was sent", None),
        ("token=hunter2hunter2", "nothing of it", None),
    ],
)
def test_the_query_is_masked_wherever_it_is_repeated(query: str, answer: str, shown: str | None) -> None:
    headers = (("location", f"see {answer}"), ("x", "y"), ("x", answer))
    outcome = said(answer, f"500: {answer}", headers)
    masked = without_query(outcome, f"{PLACE}?{query}")
    if shown is None:
        assert masked is outcome
    else:
        assert masked == said(shown, f"500: {shown}", (("location", f"see {shown}"), ("x", "y"), ("x", shown)))


@pytest.mark.parametrize(
    ("end", "shown"),
    [("token=hunter2hunt", "***"), ("hunter2", "***"), (f"{PLACE}?tok", "***"), ("token", "token"), ("hunter", "***")],
)
def test_of_an_answer_that_was_cut_the_torn_query_goes_too(end: str, shown: str) -> None:
    begun = "token= " * (100 if len(end) == 7 else 0)
    start = (begun + " " * KEPT_BODY)[: KEPT_BODY - len(end)]
    url = f"{PLACE}?token=hunter2hunter2"
    assert without_query(said(start + end), url).body.decode() == start + shown
    assert without_query(said(start[1:] + end), url).body.decode() == start[1:] + end, "that was not cut"


def test_what_begins_like_a_query_over_and_over_is_masked_from_there_on() -> None:
    body = (b"aaaaaac" * KEPT_BODY)[-KEPT_BODY:]
    outcome = without_query(said(body), f"{PLACE}?aaaaaab{'-' * 500}")
    assert outcome.body.endswith(b"***")
    assert len(outcome.body) < KEPT_BODY


def test_half_a_character_is_no_text_and_does_no_harm() -> None:
    shown = without_query(said("", headers=(("x", "\U00010000\U00010000"),)), f"{PLACE}?%80%80%F0%90%80%80")
    assert shown.headers == (("x", "\ufffd***"),)


def test_a_text_that_is_much_to_search_is_masked_as_others_are() -> None:
    values = [f"{number:02}" + "ab" * 40 for number in range(MOST_VALUES)]
    query = "&".join(f"v={value}" for value in values)
    text = "".join(f"<{value}>" + "ab" * 300 for value in values)
    assert without_query(said(text), f"{PLACE}?{query}").body.decode() == ("<***>" + "ab" * 300) * MOST_VALUES
    nuls = without_query(said(b"\0" * 9000 + text.encode()), f"{PLACE}?{query}&v={'%00' * 50}")
    assert nuls.body.startswith(b"\0" * 9000 + b"<***>")


def test_of_many_values_the_longest_are_masked_where_they_stand_alone() -> None:
    values = [f"{number:03}" + "x" * (10 + number) for number in range(60)]
    query = "&".join(f"v={value}" for value in values)
    masked = without_query(said(" ".join(values) + f" {query}"), f"{PLACE}?{query}").body.decode().split(" ")
    assert masked == values[:-MOST_VALUES] + ["***"] * MOST_VALUES + ["***"]


def test_nothing_of_a_url_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    query = "&".join(f"=\"'<>{number:02}" for number in range(225))
    outcome = said(b"x" * KEPT_BODY + query.encode(), headers=(("x", query),))

    def compiled(*_: object) -> None:
        raise AssertionError("a pattern, which would stay in a cache")

    monkeypatch.setattr(re, "compile", compiled)
    monkeypatch.setattr(re, "_compile", compiled)
    assert query.encode() not in without_query(outcome, f"{PLACE}?{query}").body


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=6, max_size=2000), st.binary())
def test_whatever_the_query_the_forms_are_few_and_none_of_them_stays(text: str, around: bytes) -> None:
    url = f"{PLACE}?{text}"
    forms = forms_of(url)
    assert len(forms) <= MOST_FORMS
    query = text.partition("#")[0].encode()
    shown = without_query(said(around + b"\n" + query + b"\n" + around), url)
    assert len(query) < 6 or b"\n" + query + b"\n" not in shown.body
