"""Lines of a run's output: the same bytes give the same lines, in whatever pieces they come, and none has a secret."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.functions import lines
from pipeline.functions.lines import Line, Splitter
from pipeline.functions.output import RawOutput, lines_of
from pipeline.mask import Masker

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
SECRET = "correct-horse-battery"
MASK = Masker([SECRET])
SHORT = 40


@pytest.fixture(autouse=True)
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINE_LIMIT", SHORT)


def mark(level: int) -> bytes:
    return b"\x1e\x1f%d\x1f" % level


def split(*pieces: bytes, mask: Masker = MASK) -> list[Line]:
    splitter = Splitter(mask)
    found = [line for piece in pieces for line in splitter.feed((AT, "stdout", piece))]
    return found + splitter.end(AT)


WRITTEN = st.lists(
    st.sampled_from([SECRET.encode(), b"\n", b"x" * 30, "ä".encode() * 9, mark(2), mark(4), b"a", SECRET[:9].encode()]),
    max_size=40,
).map(b"".join)


@given(WRITTEN, st.lists(st.integers(0, 300), max_size=8))
def test_the_pieces_make_no_difference(written: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(written)]
    pieces = [written[start:end] for start, end in pairwise(places)]
    assert split(*pieces) == split(written)


@given(WRITTEN, st.integers(0, 300))
def test_what_is_skipped_is_counted_as_it_would_have_been_split(written: bytes, place: int) -> None:
    fed, skipped = Splitter(MASK), Splitter(MASK)
    fed.feed((AT, "stdout", written[:place]))
    skipped.skip((AT, "stdout", written[:place]))
    assert skipped.made == fed.made
    rest = (AT, "stdout", written[place:])
    assert skipped.feed(rest) + skipped.end(AT) == fed.feed(rest) + fed.end(AT)


@given(WRITTEN)
def test_no_secret_is_shown_and_nothing_else_is_lost(written: bytes) -> None:
    texts = [text for *_, text in split(written)]
    assert all(SECRET not in text for text in texts)
    for each in (mark(2), mark(4)):
        written = written.replace(each, b"")
    if SECRET.encode() not in written.replace(b"\n", b""):  # else what is not whole may stand on two lines
        assert "".join(texts) == written.replace(b"\n", b"").decode()


@given(WRITTEN, WRITTEN)
def test_two_streams_do_not_mix(out: bytes, err: bytes) -> None:
    both = Splitter(MASK)
    found = [*both.feed((AT, "stdout", out)), *both.feed((AT, "stderr", err)), *both.end(AT)]
    assert [(level, text) for _, stream, level, text in found if stream == "stdout"] == [x[2:] for x in split(out)]
    assert [(level, text) for _, stream, level, text in found if stream == "stderr"] == [x[2:] for x in split(err)]


def test_a_secret_across_the_place_of_a_cut_is_masked_whole() -> None:
    for before in range(SHORT + 2):
        written = b"x" * before + SECRET.encode() + b"y" * SHORT
        assert "".join(text for *_, text in split(written)) == "x" * before + "***" + "y" * SHORT


def test_a_level_goes_on_over_the_pieces_of_a_long_line_and_ends_with_it() -> None:
    found = split(mark(3) + b"x" * 100 + b"\nplain")
    assert [level for _, _, level, _ in found] == ["warning", "warning", "warning", None]
    assert "".join(text for *_, text in found) == "x" * 100 + "plain"


def test_what_was_dropped_is_counted_and_what_stays_goes_on_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.functions.output.LIMIT", 2000)
    raw = RawOutput(MASK)
    written = b"".join(b"line %d with %s in it, cut\n" % (number, SECRET.encode()) for number in range(300))
    for start in range(0, len(written), 17):
        raw.add((AT, "stdout", written[start : start + 17]))
    output = lines_of(raw)
    assert 0 < len(output.lines) < 50
    everything = split(written)
    assert output.dropped + len(output.lines) == len(everything)
    assert [line[1:] for line in output.lines] == [line[1:] for line in everything[output.dropped :]]
