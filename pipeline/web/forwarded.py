"""Behind a proxy: who really asks, and by which address. Only what trusted proxies say is believed. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from multidict import CIMultiDictProxy

_HOST = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_SCHEMES = frozenset({"http", "https"})

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as its sender sees it; None for what only the request itself says."""

    client_ip: str
    scheme: str | None = None
    host: str | None = None


def seen(peer: str, headers: CIMultiDictProxy[str], trusted: tuple[str, ...]) -> Seen:
    """Return who asks and by which address, as far as `trusted` proxies tell.

    Of each header the last entry counts, which the proxy that connects to us has made. Of the chain of addresses it is
    the last that is no trusted proxy: what stands before it is what that client claims.
    """
    if not (trusted and _is_trusted(peer, trusted)):
        return Seen(client_ip=peer)
    scheme, host = _last(headers, "X-Forwarded-Proto"), _last(headers, "X-Forwarded-Host")
    return Seen(
        client_ip=_client(peer, headers.getall("X-Forwarded-For", []), trusted),
        scheme=scheme.lower() if scheme and scheme.lower() in _SCHEMES else None,
        host=host if host and _HOST.fullmatch(host) else None,
    )


def _client(peer: str, chains: Sequence[str], trusted: tuple[str, ...]) -> str:
    client = peer
    for entry in reversed(",".join(chains).split(",")):
        address = _address(_without_port(entry.strip()))
        if address is None:
            break
        client = str(address)
        if not _is_trusted(client, trusted):
            break
    return client


def _last(headers: CIMultiDictProxy[str], name: str) -> str | None:
    values = headers.getall(name, [])
    return values[-1].rpartition(",")[2].strip() if values else None


def _without_port(entry: str) -> str:
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # An IPv4 peer of a socket that listens on `::`.
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


@lru_cache(maxsize=1024)
def _is_trusted(peer: str, trusted: tuple[str, ...]) -> bool:
    address = _address(peer)
    return address is not None and any(address in network for network in _networks(trusted))


@lru_cache(maxsize=8)
def _networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(each, strict=False) for each in trusted)
