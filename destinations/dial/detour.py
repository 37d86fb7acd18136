"""The way to a receiver that leads through a proxy: plain requests are handed to it, TLS goes through a tunnel.

For http:// the proxy gets the whole URL in the request's first line (RFC 9112, 3.2.2), for https:// it is asked to
connect (CONNECT, RFC 9110, 9.3.6), and TLS is spoken with the receiver behind it. aiohttp can do the latter; here the
connection is our own, so that it can be told who kept a request waiting. `connector` puts the guard in front: of a
proxy the address that is dialled is judged, of a receiver only what its URL says, as the proxy looks its name up.
"""

import asyncio
import ssl
from http import HTTPStatus

from yarl import URL

from destinations.dial.connection import KeptConnection, Reply
from destinations.dial.credentials import Proxy
from destinations.dial.failures import AttemptError, BlockedAddressError, reason_of, sentence_of
from pipeline import __version__
from pipeline.model import DeliveryReason


class Detour:
    """Leads connections to a proxy on to one receiver. Immutable."""

    def __init__(self, target: URL, proxy: Proxy, *, refused: str | None, tls: ssl.SSLContext | None) -> None:
        """Lead to the host of `target`, by `tls` if it is https; `refused` says why that may not be, if so."""
        self.url = URL(proxy.url)
        """Whom to dial."""
        self.name = proxy.name
        self._proxy = proxy
        self._refused = refused
        self._tls = tls
        self._host = (target.raw_host or "").rstrip(".")
        self._receiver = f"{target.host_subcomponent}:{target.port}"
        self._is_tunnel = target.scheme == "https"

    @property
    def prefix(self) -> str:
        """Return what stands before the path in a request's first line: nothing in a tunnel."""
        return "" if self._is_tunnel else f"http://{self._receiver}"

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Return what requests tell the proxy: nothing in a tunnel, where it does not see them."""
        said = None if self._is_tunnel else self._proxy.header
        return [] if said is None else [("proxy-authorization", said)]

    @property
    def speaker(self) -> str | None:
        """Return what errors call who answers requests, if that is the proxy: in a tunnel it is the receiver."""
        return None if self._is_tunnel else self.name

    def begin(self) -> None:
        """Raise BlockedAddressError where the receiver's URL names an address that may not be called."""
        if self._refused is not None:
            raise BlockedAddressError(self._refused)

    def failed(self, error: Exception) -> AttemptError:
        """Return what it means that there was no connection to the proxy."""
        return AttemptError(f"the proxy {sentence_of(error)}", reason_of(error))

    async def through(self, transport: asyncio.Transport, began: float, timeout_s: float) -> asyncio.Transport:
        """Return a connection to the receiver over one to the proxy, `timeout_s` after `began` at the latest.

        Raises AttemptError. Whoever asked closes what it handed over.
        """
        if not self._is_tunnel:
            return transport
        await self._connected(transport, began, timeout_s)
        timeout = asyncio.timeout_at(began + timeout_s)
        where = f"{self._receiver}, through {self.name}"
        try:
            async with timeout:
                return await self._secured(transport)
        except TimeoutError as error:
            if timeout.expired():
                sentence = f"no TLS within {timeout_s:g} s with {where}"
                raise AttemptError(sentence, DeliveryReason.TIMEOUT) from error
            raise AttemptError(f"{where}: {sentence_of(error)}", DeliveryReason.TIMEOUT) from error
        except ConnectionError as error:
            sentence = f"{where}: the connection was closed before TLS was agreed upon"
            raise AttemptError(sentence, DeliveryReason.CONNECTION_RESET) from error
        except OSError as error:
            raise AttemptError(f"{where}: {sentence_of(error)}", reason_of(error)) from error

    async def _connected(self, transport: asyncio.Transport, began: float, timeout_s: float) -> None:
        door = _Door(transport, lambda *_: None, self.name)
        transport.set_protocol(door)
        lines = [f"CONNECT {self._receiver} HTTP/1.1", f"host: {self._receiver}", f"user-agent: sendoff/{__version__}"]
        if said := self._proxy.header:
            lines.append(f"proxy-authorization: {said}")
        try:
            reply = await door.ask("".join(f"{line}\r\n" for line in [*lines, ""]).encode(), b"", began, timeout_s)
        except TimeoutError as error:
            sentence = f"{self.name} has not connected to {self._receiver} within {timeout_s:g} s"
            raise AttemptError(sentence, DeliveryReason.TIMEOUT) from error
        except ConnectionError as error:
            raise AttemptError(sentence_of(error), DeliveryReason.CONNECTION_RESET) from error
        except Exception as error:  # no answer to HTTP, whatever else it is
            raise AttemptError(f"{self.name}: {sentence_of(error)}", reason_of(error)) from error
        self._judge(reply)

    def _judge(self, reply: Reply) -> None:
        if reply.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            raise AttemptError(refused_by(self.name), DeliveryReason.AUTH_ERROR)
        if not 200 <= reply.status <= 299:
            phrase = next((f" {each.phrase}" for each in HTTPStatus if each == reply.status), "")
            sentence = f"{self.name} does not connect to {self._receiver}: {reply.status}{phrase}"
            raise AttemptError(sentence, DeliveryReason.HTTP_ERROR)
        if reply.body:
            raise AttemptError(f"{self.name} says more than that it has connected", DeliveryReason.HTTP_ERROR)

    async def _secured(self, transport: asyncio.Transport) -> asyncio.Transport:
        assert self._tls is not None, "a tunnel without TLS"
        # The protocol is a stand-in: whoever asked puts another in its place before anything else happens.
        secured = await asyncio.get_running_loop().start_tls(
            transport, asyncio.Protocol(), self._tls, server_hostname=self._host
        )
        if secured is None:
            raise ConnectionResetError
        return secured


def refused_by(proxy: str) -> str:
    """Return what it means that a proxy answered 407."""
    return f"{proxy} wants other credentials (407): proxy: {{url, username, password}} names them"


class _Door(KeptConnection):
    """A connection to a proxy that is asked once: its answer is a head, and what follows is the receiver's."""

    def on_headers_complete(self) -> None:
        """Hand the answer over, whatever its body would be."""
        super().on_headers_complete()
        if self._reply is not None and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._reply)
