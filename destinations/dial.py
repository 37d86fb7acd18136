"""The one place where outbound HTTP clients are made: guarded at the dial, bounded, without cookies or proxies.

Here too: what the errors of such a client mean.
"""

import errno
import socket
import ssl
from asyncio import Transport
from collections.abc import Callable

from aiohttp import (
    AddrInfoType,
    ClientConnectionResetError,
    ClientConnectorDNSError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.http_exceptions import LineTooLong

from destinations.egress import Trust, refusal
from pipeline.model import DeliveryReason

IDLE_S = 4.0
"""How long an idle connection is kept: less than the 5 s after which common servers close theirs."""

BLOCKED = 10_000
"""The errno of a refused address, above every kernel's: only the number is left when several addresses fail."""


class BlockedAddressError(OSError):
    """The guard refused to connect to an address."""

    def __init__(self, sentence: str) -> None:
        super().__init__(BLOCKED, sentence)

    def __str__(self) -> str:
        return str(self.strerror)


def make_client(
    *,
    trust: Trust,
    timeout_s: float,
    connect_timeout_s: float,
    connections: int,
    resolver: AbstractResolver | None = None,
) -> ClientSession:
    """Return a client with a pool of its own; needs a running loop, and whoever asked closes it.

    The timeouts cover everything: `connect_timeout_s` the look-up, connection and handshake, `timeout_s` all up to the
    last byte of the answer. Without `resolver` names are looked up by aiodns, which aiohttp takes if it is installed.
    """
    client = ClientSession(
        connector=TCPConnector(
            limit=connections, keepalive_timeout=IDLE_S, resolver=resolver, socket_factory=guarded(trust)
        ),
        timeout=ClientTimeout(total=timeout_s, connect=connect_timeout_s),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        response_class=Answer,
    )
    # aiohttp would send a PUT a second time when a kept connection fails, also after its bytes had left.
    client._retry_connection = False
    return client


def guarded(trust: Trust) -> Callable[[AddrInfoType], socket.socket]:
    """Return a socket factory that raises BlockedAddressError for an address that `trust` does not reach.

    It sees every address at the moment it is dialled: literals (of which a resolver knows nothing), answers of DNS,
    refills of the pool.
    """

    def make_socket(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        sentence = refusal(str(address[0]), trust)
        if sentence is not None:
            raise BlockedAddressError(sentence)
        return socket.socket(family, kind, protocol)

    return make_socket


class Answer(ClientResponse):
    """An answer that remembers who gave it: its connection may be back in the pool before anybody can ask."""

    remote_address: str | None = None

    async def start(self, connection: Connection) -> ClientResponse:
        if connection.transport is not None:
            self.remote_address = _address(connection.transport)
        return await super().start(connection)


def _address(transport: Transport) -> str | None:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else None


_BY_ERRNO = {
    BLOCKED: DeliveryReason.BLOCKED_ADDRESS,
    errno.ECONNREFUSED: DeliveryReason.CONNECTION_REFUSED,
    errno.ECONNRESET: DeliveryReason.CONNECTION_RESET,
    errno.ECONNABORTED: DeliveryReason.CONNECTION_RESET,
    errno.EPIPE: DeliveryReason.CONNECTION_RESET,
    errno.ETIMEDOUT: DeliveryReason.TIMEOUT,
}


def reason_of(error: Exception) -> DeliveryReason:
    """Return the class of a request that failed before the status of an answer was there."""
    match error:
        case TimeoutError():
            return DeliveryReason.TIMEOUT
        case ClientConnectorDNSError():
            return DeliveryReason.DNS_ERROR
        case ssl.SSLError() | ssl.CertificateError():
            return DeliveryReason.TLS_ERROR
        case ServerDisconnectedError() | ConnectionResetError():
            return DeliveryReason.CONNECTION_RESET
        case ClientResponseError():
            return DeliveryReason.TOO_LARGE if _is_too_long(error) else DeliveryReason.HTTP_ERROR
        case OSError() if isinstance(error.__cause__, ConnectionResetError):  # while the body was written
            return DeliveryReason.CONNECTION_RESET
        case OSError():
            return _BY_ERRNO.get(error.errno or 0, DeliveryReason.NETWORK_UNREACHABLE)
        case _:
            return DeliveryReason.HTTP_ERROR


def was_unsent(error: Exception) -> bool:
    """Tell whether a request failed before a byte of it was written: a kept connection turned out to be closed.

    aiohttp says so by words alone; under other words the attempt fails like any other, and the schedule makes it again.
    """
    cause = error.__cause__
    return isinstance(cause, ClientConnectionResetError) and str(cause) == "Cannot write to closing transport"


def sentence_of(error: Exception) -> str:
    """Return what happened in a few words, at most 500 characters, for the record of the attempt."""
    match error:
        case ConnectionTimeoutError():
            text = "no connection within the time allowed"
        case TimeoutError():
            text = "no answer within the time allowed"
        case ClientResponseError():
            text = f"the answer cannot be read: {error.message}"
        case OSError() if not isinstance(error, ssl.SSLError):
            text = error.strerror or str(error)
        case _:
            text = str(error) or type(error).__name__
    return text.encode("utf-8", "replace").decode()[:500]


def _is_too_long(error: ClientResponseError) -> bool:
    """Tell whether an answer's head broke a limit: aiohttp says so by a class two causes deep, or only in words."""
    cause = error.__cause__ and error.__cause__.__cause__
    return isinstance(cause, LineTooLong) or error.message.startswith("Too many headers")
