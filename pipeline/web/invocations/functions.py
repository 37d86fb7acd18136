"""The function routes: what is called becomes an event, and that a job, or a call whose caller waits."""

import asyncio
import html
from typing import Any

from aiohttp import StreamReader, web

from pipeline import links
from pipeline.errors import BodyTooLargeError
from pipeline.functions import wire
from pipeline.functions.catalog import Function
from pipeline.model import Call, JobReason, RunOutcome, RunState
from pipeline.shapes import error
from pipeline.web import access
from pipeline.web.answers import replay
from pipeline.web.invocations.accepting import accept
from pipeline.web.invocations.wishes import preferences_in, refuse_wishes
from pipeline.web.parts import PARTS, Parts, base_url, client_ip
from pipeline.web.problems import ProblemError, problem
from pipeline.web.protocol import target_of


async def invoke(request: web.Request) -> web.StreamResponse:
    """Answer ANY /functions/{name}[/...] and /.netlify/functions/{name}[/...]: 202 and a job, or what it returns."""
    parts = request.app[PARTS]
    function = parts.catalog.get(request.match_info["name"])
    body = await _body(request, parts)
    invocation_id = parts.ids.new()
    event = _event(request, body, invocation_id, parts)
    preferences = preferences_in(request.headers)
    if function.is_background or preferences.is_async:
        return await accept(request, function, invocation_id, event, body, preferences)
    refuse_wishes(request.headers)
    return await _call(request, parts, function, invocation_id, event)


async def _body(request: web.Request, parts: Parts) -> bytes:
    service = parts.config.service
    if (request.content_length or 0) > service.body_limit:
        raise BodyTooLargeError(f"the body is longer than {service.body_limit} bytes")
    if request.content.is_eof():
        body = await request.read()
    else:
        try:
            async with asyncio.timeout(service.body_timeout):
                body = await _read(request.content, service.body_limit)
        except TimeoutError:
            raise ProblemError(
                408,
                "Request timeout",
                f"the body did not arrive within {service.body_timeout:g} s",
                headers={"Connection": "close"},
            ) from None
        except ConnectionError:  # there is nobody to be told
            raise ProblemError(400, "Bad body", "the connection ended within the body") from None
    if len(body) > service.body_limit:
        raise BodyTooLargeError(f"the body is longer than {service.body_limit} bytes")
    return body


async def _read(content: StreamReader, most: int) -> bytes:
    """Read to the end, or to where more than `most` bytes have come."""
    body = bytearray()
    while len(body) <= most and (chunk := await content.readany()):
        body += chunk
    return bytes(body)


def _event(request: web.Request, body: bytes, invocation_id: str, parts: Parts) -> bytes:
    target = links.without_signatures(target_of(request))
    path, _, raw_query = target.partition("?")
    return wire.event_json(
        method=request.method,
        path=path,
        raw_query=raw_query,
        raw_url=base_url(request, parts) + target,
        headers=access.passed_on(request),
        body=body,
        request_id=invocation_id,
        client_ip=client_ip(request, parts),
        peer_ip=request.remote or "",
        body_limit=parts.config.service.body_limit,
    )


async def _call(
    request: web.Request, parts: Parts, function: Function, call_id: str, event: bytes
) -> web.StreamResponse:
    settings = parts.config.functions.of(function.name)
    call = Call(
        id=call_id,
        function=function.name,
        event=event,
        timeout_s=settings.limit_s(is_background=False),
        is_background=False,
    )
    outcome = await parts.intake.call(call)
    response = _failure(request, outcome) if outcome.result is None else replay(outcome.result)
    response.headers["x-nf-request-id"] = call_id
    return response


def _failure(request: web.Request, outcome: RunOutcome) -> web.Response:
    if outcome.state is RunState.RETURNED:
        return problem(request, 503, "Not run", "the worker went away before the function ran", {"Retry-After": "1"})
    status = 500 if outcome.reason in (JobReason.ERROR, JobReason.REJECTED) else 502
    facts: dict[str, Any] = error(outcome.error) or {"errorType": "Error", "errorMessage": "", "stackTrace": []}
    if "text/html" in request.headers.get("Accept", ""):
        return web.Response(status=status, text=_page(facts), content_type="text/html")
    title = "The function failed" if status == 500 else "The function gave no valid answer"
    return problem(request, status, title, facts["errorMessage"], reason=outcome.reason, **facts)


def _page(facts: dict[str, Any]) -> str:
    trace = html.escape("\n".join(facts["stackTrace"]))
    heading = html.escape(f"{facts['errorType']}: {facts['errorMessage']}")
    return f"<!doctype html><meta charset=utf-8><title>Function failed</title><h1>{heading}</h1><pre>{trace}</pre>\n"
