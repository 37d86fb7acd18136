"""What a webhook's answer means for its delivery: the table of answers, what it asks for, what is kept. Pure."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from http import HTTPStatus

from destinations.base import KEPT_BODY, KEPT_HEADERS, PATIENCE_S
from pipeline.model import DeliveryReason, Outcome, Verdict
from pipeline.retry_after import retry_after_s

_GONE = 410
_TOO_MANY = 429
_PAUSING = frozenset({_TOO_MANY, 503})
"""With these a Retry-After speaks for the whole receiver, and not for this one message."""

_ASKING, _ABORT, _DISABLE = "webhook-delivery", "abort-message", "disable"
_RETRY_AFTER, _LOCATION = "retry-after", "location"
_HEEDED = frozenset({_ASKING, _RETRY_AFTER, _LOCATION})

Headers = Iterable[tuple[str, str]]


def judge(
    status: int,
    headers: Headers,
    body: bytes,
    *,
    dead_on: Collection[int],
    now: datetime,
    gone_disables: bool = True,
    remote_address: str | None = None,
) -> Outcome:
    """Return the outcome of an attempt that was answered; a date in Retry-After is held against `now`.

    `gone_disables` says that 410 speaks for the whole receiver. All headers count, whatever little is kept of them.
    """
    headers = [(name, value if value.isascii() else _clean(value)) for name, value in headers]
    asked = _asked_of_sender(headers)
    verdict, reason = _verdict(status, dead_on)
    if verdict is Verdict.TEMPORARY and _ABORT in asked:
        verdict, reason = Verdict.PERMANENT, DeliveryReason.REJECTED
    asked_s = _asked_s(headers, now) if verdict is Verdict.TEMPORARY else None
    return Outcome(
        verdict=verdict,
        reason=reason,
        message="" if verdict is Verdict.DELIVERED else _sentence(status, headers, asked),
        status=status,
        headers=_kept(headers),
        body=body[:KEPT_BODY],
        remote_address=remote_address,
        retry_after_s=asked_s,
        patience_s=PATIENCE_S if asked_s is None and status == _TOO_MANY else None,
        pause_s=asked_s if status in _PAUSING else None,
        disables=_disables(status, asked, gone_disables=gone_disables),
    )


def _verdict(status: int, dead_on: Collection[int]) -> tuple[Verdict, DeliveryReason | None]:
    if 200 <= status <= 299:
        return Verdict.DELIVERED, None
    if status == _GONE:
        return Verdict.PERMANENT, DeliveryReason.GONE
    if status in dead_on:
        return Verdict.PERMANENT, DeliveryReason.REJECTED
    if 300 <= status <= 399:
        return Verdict.TEMPORARY, DeliveryReason.REDIRECT
    return Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR


def _asked_of_sender(headers: Headers) -> frozenset[str]:
    """Return what the answer asks of whoever sends, in the header of Standard Webhooks for that."""
    value = _header(headers, _ASKING)
    return frozenset() if value is None else frozenset(each.strip().lower() for each in value.split(","))


def _disables(status: int, asked: Collection[str], *, gone_disables: bool) -> str:
    if status == _GONE and gone_disables:
        return "it answered 410 Gone"
    return f"its answer said {_ASKING}: {_DISABLE}" if _DISABLE in asked else ""


def _sentence(status: int, headers: Headers, asked: Collection[str]) -> str:
    try:
        said = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = str(status)
    location = _header(headers, _LOCATION)
    if _ABORT in asked:
        return f"{said}, {_ASKING}: {_ABORT}"
    if 300 <= status <= 399 and location is not None:
        return f"{said}: not followed to {location}"
    return said


def _asked_s(headers: Headers, now: datetime) -> float | None:
    value = _header(headers, _RETRY_AFTER)
    return None if value is None else retry_after_s(value, now)


def _header(headers: Headers, name: str) -> str | None:
    return next((value for key, value in headers if key.lower() == name), None)


def _kept(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return what fits, in the order of the answer; first of all those that were heeded, which explain the outcome."""
    room = KEPT_HEADERS
    fitting = set()
    for number in sorted(range(len(headers)), key=lambda number: headers[number][0].lower() not in _HEEDED):
        size = sum(map(len, headers[number]))
        if size <= room:
            room -= size
            fitting.add(number)
    return tuple(header for number, header in enumerate(headers) if number in fitting)


def _clean(value: str) -> str:
    # Bytes that are no UTF-8 arrive as lone surrogates, which neither JSON nor a database takes.
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
