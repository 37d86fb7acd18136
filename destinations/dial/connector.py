"""The one place where outbound connections come from: guarded when they are dialled, few at a time, and through a proxy
only where a destination names one.

What the errors mean stands in `failures`.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from aiohttp import AddrInfoType, ConnectionTimeoutError, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from destinations.dial.credentials import Proxy
from destinations.dial.detour import Detour
from destinations.dial.exchange import Exchange
from destinations.dial.failures import BlockedAddressError, UnknownHostError
from destinations.egress import OPERATOR, Trust, fault_of_host, refusal, refusal_of_url

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
    tls: ssl.SSLContext | None = None,
    proxy: Proxy | None = None,
) -> Exchange:
    """Return an exchange with a pool of its own; needs a running loop, and whoever asked closes it.

    The timeouts cover everything: `connect_timeout_s` the look-up, connection and handshake, `timeout_s` all up to the
    last byte of the answer. Without `resolver` names are looked up by aiodns, which aiohttp takes if it is installed;
    without `tls` it is spoken as aiohttp does, but not through a `proxy`. That is the operator's: `trust` judges what
    the URL says of the receiver, whose name only the proxy looks up.
    """
    target = URL(url)
    detour = None
    if proxy is not None:
        detour = Detour(target, proxy, refused=refusal_of_url(url, trust), tls=tls)
        trust = OPERATOR
    dialled, whose = (detour.url, "the proxy ") if detour else (target, "")
    host = dialled.raw_host or ""  # as it is written: `host` cannot decode every xn--
    names = _Names(resolver or DefaultResolver())

    def late(wait_s: float) -> OSError:
        if names.sought:
            return UnknownHostError(None, f"{whose}{host} was not looked up within {wait_s:g} s")
        what = "connection with TLS" if dialled.scheme == "https" else "connection"
        return ConnectionTimeoutError(f"no {what} within {wait_s:g} s to {whose}{host}:{dialled.port}")

    return Exchange(
        _Connector(
            limit=connections,
            resolver=names,
            socket_factory=guarded(trust),
            ssl=True if tls is None else tls,
        ),
        method=method,
        url=target,
        headers=headers,
        timeout_s=timeout_s,
        connect_timeout_s=connect_timeout_s,
        connections=connections,
        idle_s=IDLE_S,
        late=late,
        detour=detour,
    )


class _Connector(TCPConnector):
    """One that closes its resolver too."""

    async def close(self, *, abort_ssl: bool = False) -> None:
        await super().close(abort_ssl=abort_ssl)
        await self._resolver.close()


class _Names(AbstractResolver):
    """Look-ups: those under way are known, and what is no name but an address in disguise is refused."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver
        self.sought = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        _refuse_disguise(host)
        self.sought += 1
        try:
            return await self._resolver.resolve(host, port, family)
        finally:
            self.sought -= 1

    async def close(self) -> None:
        await self._resolver.close()


def _refuse_disguise(host: str) -> None:
    if fault := fault_of_host(host):
        raise BlockedAddressError(f"{host} is not called: {fault}")


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
    failure: OSError = OSError(errno.EHOSTUNREACH, "the name has no address")
    for family, address in await _addresses(host, port):
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
            failure = _at(error, host, port)
        else:
            return sock
    raise failure


def _at(error: OSError, host: str, port: int) -> OSError:
    """Return an error of the system's with a sentence like those of other connections; asyncio's own is for itself."""
    if isinstance(error, BlockedAddressError) or error.errno is None:
        return error
    return OSError(error.errno, f"{host}:{port}: {os.strerror(error.errno)}")


async def _addresses(host: str, port: int) -> list[tuple[int, str]]:
    try:
        literal = ip_address(host.partition("%")[0])
    except ValueError:
        _refuse_disguise(host)
    else:
        return [(socket.AF_INET6 if literal.version == 6 else socket.AF_INET, host)]
    resolver = DefaultResolver()
    try:
        found = await resolver.resolve(host, port, socket.AF_UNSPEC)
    except OSError as error:
        raise UnknownHostError(error.errno, f"{host} cannot be looked up: {error.strerror or error}") from error
    finally:
        await resolver.close()
    return [(each["family"], each["host"]) for each in found]
