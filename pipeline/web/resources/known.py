"""The names that lists are narrowed to. One that is neither configured nor stored is a mistake, which an empty list
would hide; what has gone from the configuration stays listed for as long as anything of it is stored.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from difflib import get_close_matches

from aiohttp import web

from pipeline.web.access import may_list
from pipeline.web.parts import PARTS
from pipeline.web.problems import ProblemError

_LONGEST = 200
"""No name is as long; a longer text is near to none, and long to compare."""
_NEAR = 0.7
"""So much of a name must be there: of short ones any two have some letters in common."""

Listed = Callable[[], Awaitable[Sequence[object]]]
"""Looks whether anything is stored of a name: whatever it is, and however it is narrowed otherwise."""


async def check_destination(request: web.Request, name: str | None, listed: Listed) -> None:
    """Raise the 404 for a destination that is not configured, and of which nothing is listed."""
    if name and name not in request.app[PARTS].routes and not await listed():
        raise no_destination(request, name)


async def check_function(request: web.Request, name: str | None, listed: Listed) -> None:
    """Raise the 404 for a function that is not there, and of which nothing is listed."""
    functions = request.app[PARTS].catalog.functions
    if name and name not in functions and not await listed():
        detail = f"there is no function {name!r}{_meant(request, name, functions)}"
        raise ProblemError(404, "Unknown function", detail)


def no_destination(request: web.Request, name: str) -> ProblemError:
    """Return the 404 for a destination that is not there."""
    detail = f"there is no destination {name}{_meant(request, name, request.app[PARTS].routes)}"
    return ProblemError(404, "Not found", detail)


def _meant(request: web.Request, name: str, names: Iterable[str]) -> str:
    """Return the question for the nearest of the names, for who may see them all."""
    if len(name) > _LONGEST or not may_list(request):
        return ""
    near = get_close_matches(name, list(names), 1, _NEAR)
    return f"; did you mean {near[0]}?" if near else ""
