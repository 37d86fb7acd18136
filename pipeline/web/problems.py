"""Errors as answers: RFC 9457 problems, and the one table that says which error is which status."""

import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson
from aiohttp import web

from pipeline import errors
from pipeline.web.parts import PARTS

TYPE = "application/problem+json"

_BUSY: Mapping[str, str] = MappingProxyType({"Retry-After": "5"})
_NONE: Mapping[str, str] = MappingProxyType({})

STATUS: Mapping[type[Exception], tuple[int, str, Mapping[str, str]]] = MappingProxyType(
    {
        errors.BadNameError: (400, "Bad function name", _NONE),
        errors.BadBodyError: (400, "Bad body", _NONE),
        errors.UnknownFunctionError: (404, "Unknown function", _NONE),
        errors.BodyTooLargeError: (413, "Body too large", _NONE),
        errors.QueueFullError: (429, "Queue full", _BUSY),
        errors.BusyError: (503, "All workers are busy", _BUSY),
        errors.DrainingError: (503, "Shutting down", _BUSY),
        errors.GuardError: (503, "No worker can be started", _BUSY),
        errors.StoreFullError: (503, "Disk full", _BUSY),
        errors.StoreBusyError: (503, "Store locked", _BUSY),
        errors.StoreWaitError: (503, "Store unavailable", _BUSY),
        # Not 503, which says that nothing was stored.
        errors.StoreUnsureError: (500, "Store failed", _NONE),
        errors.StoreError: (503, "Store unavailable", _BUSY),
    }
)
"""What each error of Sendoff's own is in HTTP: status, title, headers."""


class ProblemError(Exception):
    """A problem to be answered as it is."""

    def __init__(
        self, status: int, title: str, detail: str, *, headers: Mapping[str, str] = _NONE, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = headers
        self.members = members


def problem(
    request: web.Request, status: int, title: str, detail: str, headers: Mapping[str, str] = _NONE, **members: Any
) -> web.Response:
    """Return a problem as an answer."""
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.rel_url.raw_path,
    } | members
    telemetry = request.app[PARTS].telemetry
    telemetry.emit("problem.answered", status=status, path=request.path)
    masked = telemetry.mask.value(body)
    response = web.Response(
        status=status, body=orjson.dumps(masked), headers={"Content-Type": TYPE, "Cache-Control": "no-store", **headers}
    )
    if headers.get("Connection") == "close":
        response.force_close()  # the header alone would have what comes behind be answered, too
    return response


def other_type(request: web.Request, *known: str) -> ProblemError:
    """Return the 415 for a body whose Content-Type is none of those that are known."""
    got = request.headers.get("Content-Type")
    wanted = " or ".join(f"`Content-Type: {each}`" for each in known)
    detail = f"expected the header {wanted} with this body, got {'none' if got is None else repr(got)}"
    return ProblemError(415, "Unsupported media type", detail, errors=[{"detail": detail, "header": "Content-Type"}])


def answer_to(request: web.Request, raised: Exception) -> web.StreamResponse:
    """Return the answer to a request that whatever was raised brings about."""
    if isinstance(raised, ProblemError):
        return problem(request, raised.status, raised.title, raised.detail, raised.headers, **raised.members)
    if isinstance(raised, web.HTTPException):
        return _of_aiohttp(request, raised)
    if isinstance(raised, errors.SendoffError):
        return _of_sendoff(request, raised)
    return _unexpected(request, raised)  # the last net: the caller gets an id and nothing else, the log gets the rest


def _of_aiohttp(request: web.Request, raised: web.HTTPException) -> web.StreamResponse:
    if raised.status < 400:
        raise raised
    allow = {"Allow": raised.headers["Allow"]} if "Allow" in raised.headers else {}
    details = {
        404: f"nothing is at {request.path}",
        405: f"{request.method} is not for {request.path}; allowed: {allow.get('Allow')}",
    }
    return problem(
        request, raised.status, raised.reason, details.get(raised.status, raised.text or raised.reason), allow
    )


def _of_sendoff(request: web.Request, raised: errors.SendoffError) -> web.Response:
    for kind in type(raised).__mro__:
        if (found := STATUS.get(kind)) is not None:
            status, title, headers = found
            return problem(request, status, title, str(raised), headers)
    return _unexpected(request, raised)


def _unexpected(request: web.Request, raised: Exception) -> web.Response:
    error_id = secrets.token_hex(8)
    request.app[PARTS].telemetry.failed("request.failed", raised, id=error_id, path=request.path)
    return problem(request, 500, "Internal error", f"error {error_id}; the service's log has more", id=error_id)
