"""What the command line prints of foreign text: no character that a terminal would obey."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.screen.clean import clean_line, clean_text, is_text, json_text


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mtrue\x1b[m colour", "true colour"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$r\x1b\\dcs", "dcs"),
        ("\x1b_apc\x9cafter", "after"),
        ("\x9b2Jcleared", "cleared"),
        ("\x1b(Bset", "set"),
        ("\x1bcreset", "reset"),
        ("cut off \x1b[", "cut off "),
        ("cut off \x1b]52;c;", "cut off "),
        ("\x1b[\x1b[31mtwice", "twice"),
        ("bell\x07 back\x08space del\x7f nul\x00 c1\x85", "bell backspace del nul c1"),
        ("progress\r100%", "progress100%"),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u2066hidden\u2069", "hidden"),
        ("half \ud800", "half \ufffd"),
        ("Grüße, 文書, 👩‍🔬", "Grüße, 文書, 👩‍🔬"),
    ],
)
def test_what_a_terminal_would_obey_is_gone(dirty: str, clean: str) -> None:
    assert clean_text(dirty) == clean


def test_a_line_stays_a_line() -> None:
    assert clean_line(" a\r\nb\n\n\tc\x0bd\u2028e ") == "a b cde"


@given(st.text(st.characters(codec=None, categories=None)))
def test_nothing_is_left_whatever_comes(text: str) -> None:
    assert not [char for char in clean_text(text) if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t"]


def test_json_is_escaped_and_still_says_the_same() -> None:
    value = {"text": "\x1b[31m \x9b \x7f \u202e ü"}
    text = json_text(value)
    assert json.loads(text) == value
    assert not set("\x1b\x9b\x7f\u202e") & set(text)
    assert "ü" in text


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"text\n", "text\n"), ("ü".encode(), "ü"), (b"\x1b[31m", "\x1b[31m"), (b"%PDF\x00", None), (b"\xff\xfe", None)],
)
def test_text_is_told_from_what_is_none(body: bytes, text: str | None) -> None:
    assert is_text(body) == text
