"""The tail of a run: what a reader gets of it, from where it wants, and what it misses if it is too slow."""

import asyncio
from datetime import UTC, datetime

import pytest

from pipeline.functions.output import RawOutput, lines_of
from pipeline.functions.tail import Tail, Watches
from pipeline.mask import Masker

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


def write(raw: RawOutput, start: int, end: int) -> None:
    for number in range(start, end):
        raw.add((AT, "stdout", b"line %d\n" % number))


def read_all(tail: Tail, after: int = 0) -> list[tuple[int, str]]:
    found = []
    while (lines := tail.read(after)) is not None:
        found += [(count, line[3]) for count, line in lines]
    return found


def test_each_line_is_read_once_with_its_place() -> None:
    raw = RawOutput(Masker())
    tail = Tail(1, raw)
    assert tail.read(0) is None
    write(raw, 0, 3)
    assert tail.has_news
    assert read_all(tail) == [(0, "line 0"), (1, "line 1"), (2, "line 2")]
    assert not tail.has_news
    write(raw, 3, 4)
    raw.add((AT, "stdout", b"no end"))
    assert read_all(tail) == [(3, "line 3")]


@pytest.mark.parametrize("after", [0, 1, 37, 99, 100, 1000])
def test_reading_begins_where_it_should(after: int) -> None:
    raw = RawOutput(Masker())
    raw.add((AT, "stdout", b"".join(b"line %d\n" % number for number in range(50))))
    write(raw, 50, 100)
    assert read_all(Tail(1, raw), after) == [(number, f"line {number}") for number in range(after, 100)]


def test_a_reader_that_is_too_slow_misses_what_was_dropped_and_the_places_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.functions.output.LIMIT", 10_000)
    raw = RawOutput(Masker())
    tail = Tail(1, raw)
    write(raw, 0, 5)
    seen = read_all(tail)
    write(raw, 5, 500)
    seen += read_all(tail)
    assert seen[:5] == [(number, f"line {number}") for number in range(5)]
    output = lines_of(raw)
    assert [text for _, text in seen[5:]] == [text for *_, text in output.lines]
    assert [count for count, _ in seen[5:]] == list(range(output.dropped, 500))
    assert 5 < output.dropped < 500


def test_whoever_follows_is_woken_by_lines_and_by_the_stop_and_leaves_nothing_behind() -> None:
    raw, watches, wake = RawOutput(Masker()), Watches(Masker()), asyncio.Event()
    with watches.open("job", wake) as watch:
        assert "job" in watches
        watches.begin("job", 1, raw)
        watches.begin("other", 1, RawOutput(Masker()))
        assert watch.tail is not None
        wake.clear()
        write(raw, 0, 1)
        assert wake.is_set()
        assert read_all(watch.tail) == [(0, "line 0")]
        wake.clear()
        watches.begin("job", 2, RawOutput(Masker()))
        assert wake.is_set()
        assert watch.tail.run == 2
        assert not raw.readers
        wake.clear()
        watches.close()
        assert wake.is_set()
        assert watches.is_closed
    assert "job" not in watches
