"""The names that lists are narrowed to. One that is neither configured nor stored is a mistake, which an empty list
would hide; what has gone from the configuration stays listed for as long as anything of it is stored.
"""

from collections.abc import Awaitable, Callable, Sequence

from pipeline.web.parts import Parts
from pipeline.web.problems import ProblemError

Listed = Callable[[], Awaitable[Sequence[object]]]
"""Looks whether anything is stored of a name: whatever it is, and however it is narrowed otherwise."""


async def check_destination(parts: Parts, name: str | None, listed: Listed) -> None:
    """Raise the 404 for a destination that is not configured, and of which nothing is listed."""
    if name and name not in parts.routes and not await listed():
        raise no_destination(name)


async def check_function(parts: Parts, name: str | None, listed: Listed) -> None:
    """Raise the 404 for a function that is not there, and of which nothing is listed."""
    if name and name not in parts.catalog.functions and not await listed():
        raise ProblemError(404, "Unknown function", f"there is no function {name!r}")


def no_destination(name: str) -> ProblemError:
    """Return the 404 for a destination that is not there."""
    return ProblemError(404, "Not found", f"there is no destination {name}")
