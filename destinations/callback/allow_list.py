"""Which URLs a caller may name, by the list that an operator wrote: the hosts, and the addresses they lead to. Pure.

A host that is written out is vouched for, as is the `url` of a webhook: it may lead to private addresses. What only a
pattern admits is whoever's it is: it leads to public addresses, and to networks that are allowed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from destinations.egress import Network, Trust, fault_of_host, fault_of_url, is_within, refusal_of_url

LONGEST = 2048
"""So many characters a URL may have."""
_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65_535
_ENTRY = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]|(?P<host>\*|(?:\*\.)?[^:*\[\].][^:*\[\]]*))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"|(?P<bare>[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)"  # an address of IPv6 without its brackets
)
_NO_CREDENTIALS = "a callback is called without any"
_EXPECTED = "expected a host such as api.example.com, *.example.org or *, with a port or without"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one entry of the list admits."""

    host: str
    """In lower case, an address in its usual form."""
    port: int | None
    """None: any."""
    is_pattern: bool
    """Whether it admits what stands below the host in its place; below nothing stands everything."""

    def admits(self, host: str, port: int | None) -> bool:
        """Tell whether a URL may name this host and port."""
        if self.port not in (None, port):
            return False
        if self.is_pattern:
            return not self.host or host.endswith(f".{self.host}")
        return host == self.host


class AllowList:
    """Judges URLs that callers name."""

    def __init__(self, hosts: Iterable[str], cidrs: Iterable[str]) -> None:
        """`hosts` are entries that `entry_of` takes; raises ValueError for others."""
        self._entries = tuple(map(entry_of, hosts))
        self._networks: tuple[Network, ...] = tuple(ip_network(text, strict=False) for text in cidrs)

    def refusal_of(self, url: str) -> str | None:
        """Return why nothing may be sent to `url`, in words that hold nothing of its path and query, or None.

        An address that it names is judged here, a name when it is dialled, by the addresses that it then has.
        """
        if len(url) > LONGEST:
            return f"expected a URL of at most {LONGEST} characters, got {len(url)}"
        if (fault := fault_of_url(url, instead=_NO_CREDENTIALS) or _fault_of_text(url)) is not None:
            return fault
        host, port = _host_and_port(url)
        trust = self._trust_in(host, port)
        if trust is None:
            shown = f"[{host}]" if ":" in host else host
            return f"{shown}:{port} is not among the hosts that callers may name here (allow_hosts)"
        return refusal_of_url(url, trust)

    def trust_in(self, url: str) -> Trust:
        """Return how far a URL is trusted that `refusal_of` has nothing against."""
        return self._trust_in(*_host_and_port(url)) or Trust(public_only=True)

    def _trust_in(self, host: str, port: int | None) -> Trust | None:
        admitting = [entry for entry in self._entries if entry.admits(host, port)]
        if not admitting and not (_is_address(host) and is_within(host, self._networks)):
            return None
        is_vouched_for = any(not entry.is_pattern for entry in admitting)
        return Trust(public_only=not is_vouched_for, allow_cidrs=self._networks)


def entry_of(text: str) -> Entry:
    """Return what an entry says; raises ValueError for what is none."""
    host, port = _split(text)
    is_pattern = host == "*" or host.startswith("*.")
    host = host.lower().removeprefix("*").removeprefix(".") if is_pattern else host.lower()
    if (host or not is_pattern) and (fault := fault_of_host(host)) is not None:
        raise ValueError(f'{_EXPECTED}, got "{_shown(text)}"' + ("" if host.isascii() else f": {fault}"))
    return Entry(host=_canonical(host), port=port, is_pattern=is_pattern)


def _split(text: str) -> tuple[str, int | None]:
    found = _ENTRY.fullmatch(text)
    port = None if found is None or found["port"] is None else int(found["port"])
    if found is None or port == 0 or (port or 0) > _LAST_PORT:
        raise ValueError(f'{_EXPECTED}, got "{_shown(text)}"')
    return found["bracketed"] or found["host"] or found["bare"], port


def _shown(text: str) -> str:
    """Return an entry that is none without the password that somebody may have copied with it."""
    head, _, rest = text.rpartition("@")
    return f"***@{rest}" if ":" in head else text


def _fault_of_text(url: str) -> str | None:
    return None if url.isascii() and url.isprintable() else "a URL holds printable ASCII only: encode the rest (%xx)"


def _host_and_port(url: str) -> tuple[str, int | None]:
    parts = urlsplit(url)
    return _canonical(parts.hostname or ""), parts.port or _PORTS.get(parts.scheme)


def _canonical(host: str) -> str:
    return str(ip_address(host)) if _is_address(host) else host.removesuffix(".")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
