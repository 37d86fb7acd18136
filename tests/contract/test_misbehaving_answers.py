"""Receivers that answer in form: each row of the table of answers, over real sockets.

The table itself is held in full by `tests/unit/test_answers.py`; here stands what the wire adds to it.
"""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipeline.model import DeliveryReason, Outcome, Verdict
from tests.support.receiver import OK, answer, receiving
from tests.support.webhooks import opened, sending, sent

DAY_S = 86_400.0
LOCATION = "http://127.0.0.1:9/elsewhere?a=1"
REDIRECTS = [300, 301, 302, 303, 304, 305, 307, 308, 399]
FINAL = [413, 414, 415, 431, 501, 505]
RETRIED = [101, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 411, 412, 418, 421, 422, 423, 425, 426, 428, 429, 451]
RETRIED += [499, 500, 502, 503, 504, 506, 507, 508, 511, 520, 599, 600, 799, 999]


async def said(status: int, headers: str = "") -> Outcome:
    """Return what becomes of a webhook that is answered so; it is asked for once, whatever the answer."""
    has_body = status not in (101, 204, 304)
    async with receiving(answer(status, headers, b"said" if has_body else b"")) as receiver:
        outcome = await sent(receiver.url)
    assert len(receiver.requests) == 1, "no redirect is followed, and nothing is sent again"
    assert (outcome.status, outcome.remote_address) == (status, "127.0.0.1")
    assert outcome.body == (b"said" if has_body else b"")
    return outcome


@pytest.mark.parametrize("status", [200, 201, 202, 203, 204, 206, 207, 226, 299])
async def test_2xx_is_delivered_and_nothing_it_says_besides_counts(status: int) -> None:
    outcome = await said(status, "Retry-After: 30\r\nLocation: /elsewhere\r\n")
    assert (outcome.verdict, outcome.reason, outcome.message) == (Verdict.DELIVERED, None, "")
    assert (outcome.retry_after_s, outcome.pause_s) == (None, None)


@pytest.mark.parametrize("status", REDIRECTS)
async def test_3xx_is_a_failed_attempt_that_records_where_it_points(status: int) -> None:
    outcome = await said(status, f"Location: {LOCATION}\r\n")
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.REDIRECT)
    assert LOCATION in outcome.message
    assert str(status) in outcome.message
    assert ("Location", LOCATION) in outcome.headers


@pytest.mark.parametrize("status", REDIRECTS)
async def test_where_a_redirect_points_is_never_called(status: int) -> None:
    async with receiving() as target, receiving(answer(status, f"Location: {target.url}\r\n")) as receiver:
        outcome = await sent(receiver.url)
    assert outcome.reason is DeliveryReason.REDIRECT
    assert (target.connections, len(receiver.requests)) == (0, 1)


@pytest.mark.parametrize(
    "headers", ["", "Location: \r\n", "Location: //[\r\n", "Location: \xfc\x80\r\n", "Refresh: 0\r\n"]
)
async def test_3xx_that_points_nowhere_is_a_failed_attempt_too(headers: str) -> None:
    outcome = await said(302, headers)
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.REDIRECT)
    assert outcome.message.startswith("302 Found")


@pytest.mark.parametrize("status", RETRIED)
async def test_other_answers_are_failed_attempts_that_say_the_status(status: int) -> None:
    outcome = await said(status)
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR)
    assert outcome.message.startswith(str(status))
    assert (outcome.retry_after_s, outcome.patience_s) == (None, 60 if status == 429 else None)


@pytest.mark.parametrize("status", FINAL)
async def test_what_the_same_bytes_would_get_again_is_dead_at_once(status: int) -> None:
    outcome = await said(status, "Retry-After: 30\r\n")
    assert (outcome.verdict, outcome.reason) == (Verdict.PERMANENT, DeliveryReason.REJECTED)
    assert (outcome.retry_after_s, outcome.pause_s) == (None, None)


async def test_410_is_gone() -> None:
    outcome = await said(410)
    assert (outcome.verdict, outcome.reason) == (Verdict.PERMANENT, DeliveryReason.GONE)


async def test_the_list_of_what_is_final_is_the_destinations_own() -> None:
    async with receiving(answer(422), answer(413)) as receiver, opened(receiver.url, dead_on=(422,)) as destination:
        assert (await destination.send(sending())).verdict is Verdict.PERMANENT
        assert (await destination.send(sending())).verdict is Verdict.TEMPORARY


# Retry-After


def in_(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


FORMS = {
    "IMF-fixdate": lambda moment: format_datetime(moment, usegmt=True),
    "RFC 850": lambda moment: moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
    "asctime": lambda moment: moment.strftime("%a %b %e %H:%M:%S %Y"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
async def test_a_date_in_each_of_the_three_forms_is_waited_for(status: int, form: str) -> None:
    outcome = await said(status, f"Retry-After: {FORMS[form](in_(600))}\r\n")
    assert outcome.retry_after_s is not None
    assert 590 < outcome.retry_after_s <= 600
    assert outcome.pause_s == (outcome.retry_after_s if status in (429, 503) else None)


@pytest.mark.parametrize("form", FORMS)
async def test_a_date_over_a_day_ahead_is_cut_to_a_day_and_one_that_is_past_is_ignored(form: str) -> None:
    assert (await said(503, f"Retry-After: {FORMS[form](in_(3 * DAY_S))}\r\n")).retry_after_s == DAY_S
    past = await said(503, f"Retry-After: {FORMS[form](in_(-60))}\r\n")
    assert (past.retry_after_s, past.pause_s) == (None, None)
    assert any(name == "Retry-After" for name, _ in past.headers), "it is recorded all the same"


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("7", 7.0),
        ("\t 7 ", 7.0),
        ("007", 7.0),
        ("86400", DAY_S),
        ("172800", DAY_S),
        ("9" * 20, DAY_S),
        *(
            (value, None)
            for value in ("0", "-1", "+7", "1.5", "7s", "7, 9", "soon", "", "9" * 4000, "\xb2", "0x10", "1e3")
        ),
        *((value, None) for value in ("Thu, 32 Jan 2099 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "1 Jan 99999")),
    ],
)
async def test_seconds_are_waited_for_up_to_a_day_and_what_cannot_be_read_is_ignored(
    value: str, wait_s: float | None
) -> None:
    for status in (302, 404, 500):
        outcome = await said(status, f"Retry-After: {value}\r\n")
        assert (outcome.retry_after_s, outcome.pause_s) == (wait_s, None)
    unavailable, too_many = [await said(status, f"Retry-After: {value}\r\n") for status in (503, 429)]
    assert (unavailable.retry_after_s, unavailable.pause_s) == (wait_s, wait_s)
    assert (too_many.retry_after_s, too_many.pause_s) == (wait_s, wait_s)
    assert too_many.patience_s == (60 if wait_s is None else None)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ("Retry-After: 7\r\nRetry-After: 9\r\n", 7.0),
        ("retry-after: 7\r\nRETRY-AFTER: soon\r\n", 7.0),
        ("Retry-After: soon\r\nRetry-After: 7\r\n", None),
    ],
)
async def test_of_several_the_first_counts(headers: str, wait_s: float | None) -> None:
    assert (await said(500, headers)).retry_after_s == wait_s


async def test_after_each_of_them_the_connection_serves_on() -> None:
    statuses = [200, 302, 404, 410, 413, 429, 500, 503]
    async with receiving(*map(answer, statuses), OK) as receiver, opened(receiver.url) as destination:
        outcomes = [await destination.send(sending()) for _ in range(len(statuses) + 1)]
    assert [outcome.status for outcome in outcomes] == [*statuses, 200]
    assert receiver.connections == 1
