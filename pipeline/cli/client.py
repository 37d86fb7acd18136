"""HTTP with a service: the only file of the commands that knows aiohttp. Every failure becomes a CommandError."""

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ssl import SSLError
from typing import Any, Self

import aiohttp
import orjson
from yarl import URL

from pipeline import __version__
from pipeline.cli.address import Address
from pipeline.cli.failures import CommandError, UnavailableError
from pipeline.cli.refusals import Answer, parsed, refusal

Query = Mapping[str, str | int | None]

CONNECT_S = 10.0
ANSWER_S = 90.0
"""So long an answer may take: longer than the service ever holds one back."""
SILENCE_S = 60.0
"""So long a stream may say nothing: the service sends a sign of life every fifteen seconds."""
PAGE = 500
_BIGGEST_PROBLEM = 1 << 20


class Client:
    """A connection with one service; used as an asynchronous context manager."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.has_link = False
        """Whether one job is seen by a signed link, and nothing else without a key."""
        self._signed: dict[str, str] = {}

    def use_link(self, job_id: str, signature: str) -> None:
        """Ask for this job, and for its result, by a signed link."""
        self.has_link = True
        self._signed = dict.fromkeys((f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/result"), signature)

    async def __aenter__(self) -> Self:
        # Bytes as they are: a result that is packed was packed by its function.
        headers = {"User-Agent": f"sendoff/{__version__}", "Accept-Encoding": "identity"}
        if self.address.key is not None:
            headers["Authorization"] = f"Bearer {self.address.key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str, query: Query | None = None) -> Any:
        """Return the JSON that a GET is answered with; CommandError for any other answer than 2xx."""
        return await self._json("GET", path, query)

    async def post(self, path: str, query: Query | None = None, *, document: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON that a POST is answered with, whose body is `document`, if there is one; CommandError for any
        other answer than 2xx.
        """
        return await self._json("POST", path, query, document)

    async def _json(
        self, method: str, path: str, query: Query | None, document: Mapping[str, Any] | None = None
    ) -> Any:
        headers = None if document is None else {"Content-Type": "application/json"}
        body = None if document is None else orjson.dumps(document)
        answer = await self.ask(method, path, query=query, headers=headers, body=body)
        if not 200 <= answer.status < 300:
            raise refusal(answer, self.address)
        return parsed(answer, self.address)

    async def items(self, path: str, most: int, query: Query | None = None) -> tuple[list[Any], str | None]:
        """Return up to `most` items of a list over its pages, and the cursor behind them, if there are more."""
        found: list[Any] = []
        cursor: str | None = None
        while True:
            limits: Query = {"limit": min(PAGE, most - len(found)), "cursor": cursor}
            page = await self.get(path, {**(query or {}), **limits})
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None or len(found) >= most:
                return found, cursor

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        body: bytes | AsyncIterable[bytes] | None = None,
        seconds: float | None = ANSWER_S,
    ) -> Answer:
        """Send a request and return the answer, whatever it is; None as `seconds` is without limit."""
        async with self._open(method, path, query, headers, body, seconds) as response:
            content = await response.read()
        return _answer(response, content)

    async def lines(self, path: str, query: Query | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a GET's answer as they come, however long that takes; CommandError for one but 200."""
        async with self._open("GET", path, query, None, None, None) as response:
            if response.status != 200:
                content = await response.content.read(_BIGGEST_PROBLEM)
                raise refusal(_answer(response, content), self.address)
            held = bytearray()
            async for chunk in response.content.iter_any():
                held += chunk
                if b"\n" in chunk:
                    *whole, rest = held.split(b"\n")
                    held = bytearray(rest)
                    for line in whole:
                        yield bytes(line)
            if held:
                yield bytes(held)

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        query: Query | None,
        headers: Mapping[str, str] | list[tuple[str, str]] | None,
        body: bytes | AsyncIterable[bytes] | None,
        seconds: float | None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(self.address.url + path, encoded=True)
        if method == "GET" and path in self._signed:
            query = {**(query or {}), "sig": self._signed[path]}
        if query:
            url = url.update_query({name: value for name, value in query.items() if value is not None})
        silence = SILENCE_S if seconds is None else None
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_S, sock_read=silence)
        try:
            async with self._session.request(
                method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False
            ) as response:
                yield response
        except CommandError:
            raise
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> UnavailableError:
        url = self.address.url
        other = f"That URL {self.address.origin}; --url or SENDOFF_URL name another."
        match error:
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | SSLError():
                return UnavailableError(f"no safe connection with {url}: {error}", other)
            case aiohttp.ClientConnectorDNSError():
                return UnavailableError(f"nobody knows where {url} is", other)
            case aiohttp.ClientConnectorError():
                reason = os.strerror(error.os_error.errno) if error.os_error.errno else str(error.os_error)
                return UnavailableError(
                    f"no service answers at {url} ({reason.lower()})", f"Start one with `sendoff serve`. {other}"
                )
            case TimeoutError():
                return UnavailableError(f"the service at {url} does not answer in time")
            case _:
                return UnavailableError(f"the service at {url} broke off the connection")


def _answer(response: aiohttp.ClientResponse, content: bytes) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(status=response.status, headers=headers, body=content)
