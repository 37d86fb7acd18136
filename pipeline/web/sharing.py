"""Signed links in answers: the one that is asked for by `?share=`, and those of a job that is seen by such a link."""

from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from pipeline import links
from pipeline.web import access
from pipeline.web.parameters import SHARE
from pipeline.web.parts import PARTS
from pipeline.web.problems import ProblemError


class Sharing:
    """What one request is to see of links to its job: made once, so that all its answers are the same."""

    def __init__(self, request: web.Request) -> None:
        """Read `?share=`; raises the problem for one that cannot be had."""
        self._own = access.link_of(request)
        self._keys = request.app[PARTS].config.service.link_keys
        self._until = self._asked_for(request)

    def _asked_for(self, request: web.Request) -> datetime | None:
        seconds = SHARE.read(request)
        if seconds is None:
            return None
        if self._own is not None:
            raise ProblemError(403, "Forbidden", "a link makes no further links: that needs a key")
        if not self._keys:
            raise SHARE.refused("nothing signs links here: set service.link_keys")
        return request.app[PARTS].clock.now() + timedelta(seconds=seconds)

    @property
    def is_asked_for(self) -> bool:
        """Tell whether a job is shown with other links than usual."""
        return self._own is not None or self._until is not None

    def added(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return a job with the links that the request may follow."""
        found: dict[str, str] = job["links"]
        if self._own is not None:
            own = {name: links.with_signature(found[name], self._own) for name in ("self", "result")}
            # Who has a link sees no deliveries either: where else the job is heard of is not for them.
            return job | {"callback": None, "links": found | own}
        if self._until is not None:
            return job | {"links": found | {"share": links.signed(found["self"], job["id"], self._until, self._keys)}}
        return job
