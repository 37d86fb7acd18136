"""Usage: what functions used, by function and day."""

import re
from datetime import date, timedelta

from aiohttp import web

from pipeline.model import Usage
from pipeline.web.answers import DEFAULT_LIMIT, MOST, bad_parameter, cursor, page, whole_number
from pipeline.web.parts import PARTS
from pipeline.web.views import View

_DAYS = 30
"""So many days there are without `from`, the last one included."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/usage: what each function used on each day, the newest day first; `from` and `to` are days (UTC,
    both included; the last 30 days without them), `function` is a name.
    """
    parts = request.app[PARTS]
    limit = whole_number(request, "limit", DEFAULT_LIMIT, 1, MOST)
    last = _day(request, "to") or parts.clock.now().date()
    first = _day(request, "from") or last - min(timedelta(days=_DAYS - 1), last - date.min)
    if first > last:
        raise bad_parameter("from", f"expected a day up to {last}, got {first}")
    found = await parts.store.list_usage(
        first=first, last=last, function=request.query.get("function"), after=_after(request), most=limit + 1
    )
    return page(request, [_view(each) for each in found], limit, _token(found[:limit]))


def _day(request: web.Request, name: str) -> date | None:
    text = request.query.get(name)
    if text is None:
        return None
    found = _day_of(text)
    if found is None:
        raise bad_parameter(name, f"expected a day such as 2026-01-05, got {text!r}")
    return found


def _day_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def _token(shown: list[Usage]) -> str:
    return f"{shown[-1].day} {shown[-1].function}" if shown else ""


def _after(request: web.Request) -> tuple[date, str] | None:
    found = cursor(request)
    if found is None:
        return None
    text, _, function = found.partition(" ")
    day = _day_of(text)
    if day is None:
        raise bad_parameter("cursor", "expected a next_cursor of an earlier answer")
    return day, function


def _view(usage: Usage) -> View:
    return {
        "day": usage.day.isoformat(),
        "function": usage.function,
        "invocations": usage.invocations,
        "calls": usage.calls,
        "runs": usage.runs,
        "failed": usage.failed,
        "run_time_s": usage.run_s,
        "gb_seconds": usage.gb_s,
    }
