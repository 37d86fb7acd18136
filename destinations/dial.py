"""The one place where outbound connections come from: guarded when they are dialled, few at a time, without proxies.

Here too: what the errors of an exchange mean.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterable

from aiohttp import (
    AddrInfoType,
    ClientConnectorDNSError,
    ClientError,
    ConnectionTimeoutError,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import DefaultResolver
from yarl import URL

from destinations.connection import AnswerError
from destinations.egress import Trust, refusal
from destinations.exchange import Exchange
from pipeline.model import DeliveryReason

IDLE_S = 4.0
"""How long an idle connection is kept: less than the 5 s after which common servers close theirs."""

BLOCKED = 10_000
"""The errno of a refused address, above every kernel's: only the number is left when several addresses fail."""


class UnknownHostError(OSError):
    """A name has no address."""


class BlockedAddressError(OSError):
    """The guard refused to connect to an address."""

    def __init__(self, sentence: str) -> None:
        super().__init__(BLOCKED, sentence)

    def __str__(self) -> str:
        return str(self.strerror)


def make_exchange(
    *,
    trust: Trust,
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    timeout_s: float,
    connect_timeout_s: float,
    connections: int,
    resolver: AbstractResolver | None = None,
) -> Exchange:
    """Return an exchange with a pool of its own; needs a running loop, and whoever asked closes it.

    The timeouts cover everything: `connect_timeout_s` the look-up, connection and handshake, `timeout_s` all up to the
    last byte of the answer. Without `resolver` names are looked up by aiodns, which aiohttp takes if it is installed.
    """
    return Exchange(
        TCPConnector(limit=connections, resolver=resolver, socket_factory=guarded(trust)),
        method=method,
        url=URL(url),
        headers=headers,
        timeout_s=timeout_s,
        connect_timeout_s=connect_timeout_s,
        connections=connections,
        idle_s=IDLE_S,
    )


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


async def connect(host: str, port: int, trust: Trust) -> socket.socket:
    """Return a connected socket to a host by its name or address; OSError where that cannot be."""
    loop = asyncio.get_running_loop()
    resolver = DefaultResolver()
    try:
        found = await resolver.resolve(host, port, socket.AF_UNSPEC) if not _is_literal(host) else []
    except OSError as error:
        raise UnknownHostError(error.errno, f"{host}: {error.strerror or error}") from error
    finally:
        await resolver.close()
    addresses = [(each["family"], each["host"]) for each in found] or [(_family(host), host)]
    failure: OSError = OSError(errno.EHOSTUNREACH, "the name has no address")
    for family, address in addresses:
        sock: socket.socket | None = None
        try:
            sock = guarded(trust)((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)))
            sock.setblocking(False)
            await loop.sock_connect(sock, (address, port))
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not isinstance(error, OSError):
                raise
            failure = error
        else:
            return sock
    raise failure


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


ERRORS = (ClientError, AnswerError, OSError, ValueError)
"""What an exchange raises where no answer came."""

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
        case ClientConnectorDNSError() | UnknownHostError():
            return DeliveryReason.DNS_ERROR
        case ssl.SSLError() | ssl.CertificateError():
            return DeliveryReason.TLS_ERROR
        case ConnectionResetError():
            return DeliveryReason.CONNECTION_RESET
        case AnswerError():
            return DeliveryReason.TOO_LARGE if error.is_too_long else DeliveryReason.HTTP_ERROR
        case OSError():
            return _BY_ERRNO.get(error.errno or 0, DeliveryReason.NETWORK_UNREACHABLE)
        case _:
            return DeliveryReason.HTTP_ERROR


def sentence_of(error: Exception) -> str:
    """Return what happened in a few words, at most 500 characters, for the record of the attempt."""
    match error:
        case ConnectionTimeoutError():
            text = "no connection within the time allowed"
        case TimeoutError():
            text = "no answer within the time allowed"
        case AnswerError():
            text = f"the answer cannot be read: {error}"
        case OSError() if not isinstance(error, ssl.SSLError):
            text = error.strerror or str(error)
        case _:
            text = str(error) or type(error).__name__
    return text.encode("utf-8", "replace").decode()[:500]
