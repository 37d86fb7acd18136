"""HTTP itself: what is refused because of its form, before anybody asks what it is about.

aiohttp's parser refuses most of it; here it gets an answer like all others, and what the parser lets pass is refused.
"""

import re
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlsplit

import orjson
from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from pipeline.web.problems import TYPE, ProblemError, problem

_VERSIONS = frozenset({HttpVersion10, HttpVersion11})
_HOST = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{0,5})?")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = {"Connection": "close"}


def check(request: web.Request) -> None:
    """Raise the problem for a request that no client of ours would send, and that another server in front of this one
    may understand in another way (RFC 9112).
    """
    if request.version not in _VERSIONS:
        detail = "only HTTP/1.1 and HTTP/1.0 are spoken here"
        raise ProblemError(505, "HTTP version not supported", detail, headers=_CLOSE)
    if "Transfer-Encoding" in request.headers:
        _check_coding(request)
    if request.method == "CONNECT":
        raise ProblemError(501, "Not implemented", "this is no proxy: there is no CONNECT", headers=_CLOSE)
    if not request.raw_path.startswith("/") or "#" in request.raw_path:
        _check_target(request)


def check_host(host: str) -> None:
    """Raise the 400 for a Host that is none: links are made of it."""
    if host and not _is_host(host):
        raise _bad(f"the Host {host!r} is no name or address with a port")


def target_of(request: web.Request) -> str:
    """Return the path and query that were asked for, as they were sent; without the address of an absolute target."""
    target = request.raw_path
    if target.startswith("/"):
        return target
    _, _, rest = target.partition("://")
    found = re.search(r"[/?]", rest)
    path = rest[found.start() :] if found else "/"
    return path if path.startswith("/") else f"/{path}"


def _check_coding(request: web.Request) -> None:
    if request.version == HttpVersion10:
        raise _bad("HTTP/1.0 has no Transfer-Encoding")
    if request.headers["Transfer-Encoding"].strip().lower() != "chunked":
        detail = "the only Transfer-Encoding that is understood here is chunked"
        raise ProblemError(501, "Not implemented", detail, headers=_CLOSE)


def _check_target(request: web.Request) -> None:
    target = request.raw_path
    if "#" in target:
        raise _bad("a request's target has no fragment; write # as %23")
    if "://" in target and urlsplit(target).netloc.lower() != request.headers.get("Host", "").lower():
        raise _bad("the target names another host than the Host header")


def _bad(detail: str) -> ProblemError:
    return ProblemError(400, "Bad request", detail, headers=_CLOSE)


@lru_cache(maxsize=256)
def _is_host(host: str) -> bool:
    return _HOST.fullmatch(host) is not None


async def expect(request: web.Request) -> web.StreamResponse | None:
    """Answer an Expect header: have the body come, or refuse what is not understood."""
    if request.version != HttpVersion11:
        return None
    if request.headers["Expect"].strip().lower() != "100-continue":
        return problem(
            request, 417, "Expectation failed", "the only expectation understood here is 100-continue", _CLOSE
        )
    await request.writer.write(_CONTINUE)
    request.writer.output_size = 0  # it is not yet the answer
    return None


class Runner(web.AppRunner):
    """Runs an application whose connections answer what is no HTTP, too, with problems."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory, **made._kwargs)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what could not be handled, and close the connection.

        What a client sent is neither logged nor repeated: a key may be in it, and anybody can send any amount of it.
        """
        if not isinstance(exc, HttpProcessingError):
            super().handle_error(request, status, exc, message)  # logs it
            detail = "the service's log has more"
        elif isinstance(exc, LineTooLong):
            status, detail = 431, "the request's first line or a header is too long"
        else:
            detail = "this is no HTTP/1.1, or not the HTTP that is safe to understand in one way only"
        return _closing(status, detail)


def _closing(status: int, detail: str) -> web.Response:
    title = HTTPStatus(status).phrase.capitalize()
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": "/"}
    headers = {"Content-Type": TYPE, "Cache-Control": "no-store"}
    response = web.Response(status=status, body=orjson.dumps(body), headers=headers)
    response.force_close()
    return response
