"""The one place where outbound connections come from: guarded when they are dialled, few at a time, without proxies.

What the errors mean stands in `failures`.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterable

from aiohttp import AddrInfoType, TCPConnector
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import DefaultResolver
from yarl import URL

from destinations.egress import Trust, refusal
from destinations.exchange import Exchange
from destinations.failures import BlockedAddressError, UnknownHostError

IDLE_S = 4.0
"""How long an idle connection is kept: less than the 5 s after which common servers close theirs."""


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
