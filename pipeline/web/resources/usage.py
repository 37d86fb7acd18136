"""Usage: what functions used, by function and day."""

from datetime import date, timedelta
from functools import partial

from aiohttp import web

from pipeline.model import Usage
from pipeline.web.answers import page
from pipeline.web.parameters import FROM, FUNCTION, LIMIT, TO, USAGE_CURSOR
from pipeline.web.parts import PARTS
from pipeline.web.resources import known
from pipeline.web.views import View

_DAYS = 30
"""So many days there are without `from`, the last one included."""


async def get(request: web.Request) -> web.StreamResponse:
    """Answer GET /v1/usage: what each function used on each day, the newest day first; `from` and `to` are days (UTC,
    both included; the last 30 days without them), `function` is a name.
    """
    parts = request.app[PARTS]
    limit = LIMIT.read(request)
    last = TO.read(request) or parts.clock.now().date()
    first = FROM.read(request) or last - min(timedelta(days=_DAYS - 1), last - date.min)
    if first > last:
        raise FROM.refused(f"expected a day up to {last}, got {first}")
    function = FUNCTION.read(request)
    found = await parts.store.list_usage(
        first=first, last=last, function=function, after=USAGE_CURSOR.read(request), most=limit + 1
    )
    if not found:
        one = partial(parts.store.list_usage, first=date.min, last=date.max, function=function, most=1)
        await known.check_function(request, function, one)
    return page(request, [_view(each) for each in found], limit, _token(found[:limit]))


def _token(shown: list[Usage]) -> str:
    return f"{shown[-1].day}.{shown[-1].function}" if shown else ""


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
