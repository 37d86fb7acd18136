"""Durations, sizes, rates and moments: every unit, exact, and nothing else."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pipeline.config.limits import limit_of
from pipeline.config.units import UNITS, duration_s, moment, plain, rate_per_s, rate_text, size_bytes
from schemas import load_schema


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("700ms", 0.7),
        ("0.5s", 0.5),
        ("0s", 0.0),
        ("2m", 120.0),
        ("1h", 3_600.0),
        ("1.5h", 5_400.0),
        ("30d", 2_592_000.0),
    ],
)
def test_duration_is_exact_seconds(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [("1B", 1), ("2KB", 2_000), ("128KiB", 131_072), ("6MiB", 6_291_456), ("1024MB", 1_024_000_000), ("1GiB", 2**30)],
)
def test_size_is_bytes(text: str, count: int) -> None:
    assert size_bytes(text) == count


@pytest.mark.parametrize(("text", "rate"), [("50/s", 50.0), ("0.5/s", 0.5), ("30/m", 0.5), ("7200/h", 2.0)])
def test_rate_is_per_second(text: str, rate: float) -> None:
    assert rate_per_s(text) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("50/s", "50/s"),
        ("1.5/s", "1.5/s"),
        ("0.5/s", "30/m"),
        ("1/m", "1/m"),
        ("7200/h", "2/s"),
        ("0.25/h", "0.25/h"),
        ("59.999/m", "59.999/m"),
        ("999999/s", "999999/s"),
        ("0.0000004/h", "0.0000004/h"),
        ("0.000000001/h", "0.000000001/h"),
    ],
)
def test_a_rate_is_written_in_the_unit_that_makes_it_at_least_one(given: str, written: str) -> None:
    assert rate_text(rate_per_s(given)) == written


@given(text=st.from_regex(r"\A[0-9]{1,6}(\.[0-9]{1,9})?/(s|m|h)\Z"))
def test_no_rate_is_written_as_another(text: str) -> None:
    if Draft202012Validator(load_schema("config")["$defs"]["rate"]).is_valid(text):
        assert rate_per_s(rate_text(rate_per_s(text))) == pytest.approx(rate_per_s(text), rel=1e-9)


@pytest.mark.parametrize("unit", sorted(UNITS.keys() - {"moment"}))
@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "5 s", " 5s", "5s\n", "-5s", "+5s", "1e3s", ".5s", "5.s", "1_0s", "\u0665s", "1h30m", "5/", "5M/s"],
)
def test_other_text_has_no_unit(unit: str, text: str) -> None:
    with pytest.raises(ValueError, match="not a number with a unit"):
        UNITS[unit](text)


@pytest.mark.parametrize("name", ["duration", "wait", "size", "rate"])
@given(text=st.from_regex(r"\A[0-9]{1,12}(\.[0-9]{1,3})?(ms|s|m|h|d|B|KB|MiB|/s|/m)\Z"))
def test_what_the_schema_takes_converts(name: str, text: str) -> None:
    schema = load_schema("config")["$defs"][name]
    if Draft202012Validator(schema).is_valid(text):
        value = UNITS[schema["x-unit"]](text)
        assert value >= 0
        assert name == "wait" or Decimal(value) > 0


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1000s", "a duration of at most 999s"),
        ("0s", "a duration of more than 0s"),
        ("0005s", "a duration with at most 3 digits"),
        ("5.55s", "a duration with at most 1 decimal"),
        ("5m", None),
        ("13s", None),
        ("5", None),
        ("5/s", None),
    ],
)
def test_a_limit_is_told_only_where_it_is_what_is_exceeded(text: str, limit: str | None) -> None:
    schema = {"x-unit": "duration", "pattern": r"^(?!13)(?=.*[1-9])[0-9]{1,3}(\.[0-9])?s$"}
    assert limit_of(schema, text) == limit
    assert limit_of({**schema, "x-unit": "moment"}, text) is None


@pytest.mark.parametrize(
    ("number", "text"), [(50.0, "50"), (0.3333333, "0.3333"), (12345.0, "12340"), (0.0000004, "0.0000004"), (0.0, "0")]
)
def test_a_number_is_written_without_an_exponent(number: float, text: str) -> None:
    assert plain(number, 4) == text


@pytest.mark.parametrize("text", ["2027-01-31T12:00:00Z", "2027-01-31T13:30:00+01:30", "2027-01-31T00:00:00-12:00"])
def test_a_moment_is_in_utc(text: str) -> None:
    assert moment(text) == datetime(2027, 1, 31, 12, tzinfo=UTC)
    assert moment(text).tzinfo is UTC


@pytest.mark.parametrize("text", ["", "5s", "2027-01-31", "2027-01-31T12:00:00", "2027-02-30T12:00:00Z", "tomorrow"])
def test_other_text_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        moment(text)
