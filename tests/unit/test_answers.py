"""The table of answers, row by row, and Retry-After in all its spellings."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destinations.base import KEPT_BODY, KEPT_HEADERS
from destinations.webhook.answers import judge, retry_after_s
from destinations.webhook.settings import Settings
from pipeline.model import DeliveryReason, Outcome, Verdict

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DEAD_ON = Settings(url="http://localhost/").dead_on


def judged(status: int, **headers: str) -> Outcome:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return judge(status, named, b"", dead_on=DEAD_ON, now=NOW)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 226, 299])
def test_2xx_is_delivered(status: int) -> None:
    outcome = judged(status, Retry_After="30")
    assert (outcome.verdict, outcome.reason, outcome.message) == (Verdict.DELIVERED, None, "")
    assert outcome.retry_after_s is None


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
def test_3xx_is_a_failed_attempt_that_names_where_it_was_sent(status: int) -> None:
    outcome = judged(status, Location="https://elsewhere.example/")
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.REDIRECT)
    assert "https://elsewhere.example/" in outcome.message


def test_410_is_gone() -> None:
    outcome = judged(410, Retry_After="30")
    assert (outcome.verdict, outcome.reason, outcome.message) == (Verdict.PERMANENT, DeliveryReason.GONE, "410 Gone")
    assert outcome.retry_after_s is None


@pytest.mark.parametrize("status", [413, 414, 415, 431, 501, 505])
def test_an_answer_that_the_same_bytes_will_get_again_is_final(status: int) -> None:
    assert (judged(status).verdict, judged(status).reason) == (Verdict.PERMANENT, DeliveryReason.REJECTED)


def test_the_list_of_final_answers_is_the_destinations_own() -> None:
    assert judge(422, [], b"", dead_on=(422,), now=NOW).reason is DeliveryReason.REJECTED
    assert judge(413, [], b"", dead_on=(422,), now=NOW).verdict is Verdict.TEMPORARY
    assert judge(410, [], b"", dead_on=(410,), now=NOW).reason is DeliveryReason.GONE


@pytest.mark.parametrize(
    "status", [101, 400, 401, 403, 404, 405, 408, 409, 421, 422, 425, 429, 451, 500, 502, 503, 504, 599, 999]
)
def test_any_other_answer_is_tried_again(status: int) -> None:
    outcome = judged(status)
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR)
    assert outcome.message.startswith(str(status))


@given(status=st.integers(100, 999))
def test_every_status_has_a_verdict(status: int) -> None:
    outcome = judged(status)
    assert (outcome.verdict is Verdict.DELIVERED) == (outcome.reason is None) == (200 <= status <= 299)
    assert outcome.status == status


@pytest.mark.parametrize("status", [301, 400, 429, 500, 503])
def test_retry_after_holds_on_any_failure(status: int) -> None:
    assert judged(status, Retry_After="17").retry_after_s == 17


@pytest.mark.parametrize("value", ["soon", "-1", "0", ""])
def test_a_429_that_does_not_say_how_long_waits_a_minute(value: str) -> None:
    for outcome in (judged(429), judged(429, Retry_After=value)):
        assert (outcome.retry_after_s, outcome.patience_s) == (None, 60)
    assert judged(429, Retry_After="5").patience_s is None
    unavailable = judged(503, Retry_After=value)
    assert (unavailable.retry_after_s, unavailable.patience_s) == (None, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", 1.0),
        (" 120 ", 120.0),
        ("86400", 86_400.0),
        ("86401", 86_400.0),
        ("99999999999999999999", 86_400.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 08 Mar 2026 12:00:00 GMT", 86_400.0),
        ("Sun, 01 Mar 2026 12:00:00 GMT", None),
        ("Sun, 01 Mar 2026 11:59:59 GMT", None),
        ("0", None),
        ("00", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("0x10", None),
        ("٣", None),
        ("12, 30", None),
        ("tomorrow", None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
        ("", None),
        ("9" * 200, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_in_the_future_up_to_a_day(value: str, expected: float | None) -> None:
    assert retry_after_s(value, NOW) == expected


@given(st.text())
def test_no_retry_after_breaks_anything(value: str) -> None:
    wait_s = retry_after_s(value, NOW)
    assert wait_s is None or 0 < wait_s <= 86_400


@given(st.integers(1, 86_400))
def test_a_date_and_its_seconds_mean_the_same(seconds: int) -> None:
    moment = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_s(moment, NOW) == retry_after_s(str(seconds), NOW) == seconds


def test_what_is_kept_of_an_answer_is_bounded() -> None:
    headers = [(f"x-{number}", "v" * 1000) for number in range(100)]
    outcome = judge(500, headers, b"b" * 100_000, dead_on=(), now=NOW)
    assert len(outcome.body) == KEPT_BODY
    assert sum(len(name) + len(value) for name, value in outcome.headers) <= KEPT_HEADERS
    assert outcome.headers[0] == headers[0]


def test_a_header_that_does_not_fit_leaves_room_for_those_behind_it() -> None:
    headers = [("a", "v" * 5000), ("b", "v" * 5000), ("c", "v"), ("Location", "/there"), ("d", "v" * 3000)]
    outcome = judge(302, headers, b"", dead_on=(), now=NOW)
    assert outcome.headers == (headers[0], headers[2], headers[3], headers[4])


@pytest.mark.parametrize(
    ("status", "name", "value"),
    [(503, "Retry-After", "300"), (500, "Webhook-Delivery", "abort-message"), (302, "Location", "/there")],
)
def test_what_is_kept_of_an_answer_shows_what_was_heeded(status: int, name: str, value: str) -> None:
    padding = [(f"x-{number}", "v" * 4090) for number in range(20)]
    bare = judge(status, [(name, value)], b"", dead_on=(), now=NOW)
    outcome = judge(status, [*padding, (name, value)], b"", dead_on=(), now=NOW)
    assert outcome.headers == (padding[0], (name, value))
    assert (outcome.verdict, outcome.message) == (bare.verdict, bare.message)
    assert (outcome.retry_after_s, outcome.pause_s) == (bare.retry_after_s, bare.pause_s)


def test_bytes_that_are_no_text_are_kept_as_text_that_can_be_stored() -> None:
    outcome = judge(302, [("Location", "http://a/\udcff"), ("X-Name", "Jürgen")], b"", dead_on=(), now=NOW)
    assert outcome.headers == (("Location", "http://a/\ufffd"), ("X-Name", "Jürgen"))
    json.dumps([outcome.message, outcome.headers], ensure_ascii=False).encode()
