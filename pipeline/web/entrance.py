"""The entrance: every request passes here before a handler sees it, and whatever is raised leaves as a problem."""

from aiohttp import web
from aiohttp.typedefs import Handler

from pipeline.web.access import admit
from pipeline.web.problems import answer_to


@web.middleware
async def enter(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a request by its handler, if it may come there, and by a problem if it may not, or if that fails."""
    try:
        if (checking := admit(request)) is not None:
            await checking
        return await handler(request)
    except Exception as raised:
        return answer_to(request, raised)
