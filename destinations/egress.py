"""Where outbound connections may go: decisions only. Pure; `dial` asks for each address that it is about to connect to.

The tables are our own: `ipaddress.is_global` changes between patch releases of Python, and is True for NAT64.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from yarl import URL

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


METADATA = _networks("169.254.0.0/16", "168.63.129.16/32", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128")
"""Link-local addresses, and those where clouds hand out credentials: refused whoever wrote the URL."""

_NOT_PUBLIC = _networks(
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    *("224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
    *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
)
_PUBLIC_V6 = IPv6Network("2000::/3")  # IANA has given out unicast addresses from no other block

# Forms of IPv6 with an IPv4 address in their last 32 bits: mapped, translated, compatible, NAT64 (RFC 6052).
_EMBEDDED_LAST = tuple(IPv6Network(text) for text in ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96", "64:ff9b::/96"))
_SIX_TO_FOUR = IPv6Network("2002::/16")
# Of translators of one's own (RFC 8215). What an address there leads to, only they know: it depends on their prefix.
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_LAST_32_BITS = 0xFFFF_FFFF
_LAST_56_BITS = 0xFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How far a URL is trusted: `OPERATOR` for one of the configuration, `CALLER` for one that came with a request."""

    public_only: bool
    allow_cidrs: tuple[Network, ...] = ()
    """Networks that may be reached although they are not public."""


OPERATOR = Trust(public_only=False)
CALLER = Trust(public_only=True)

_IS_METADATA = "is a link-local or metadata address, where no destination may lead"
_IS_PRIVATE = (
    "is not a public address: only a host that is written out in allow_hosts may lead there, or one to a network of "
    "allow_cidrs"
)
_REFUSAL = re.compile(rf"([0-9A-Fa-f.:]+) ({_IS_METADATA}|{_IS_PRIVATE})")


def refusal(address: Address | str, trust: Trust) -> str | None:
    """Return why no connection may be made to `address`, as a sentence, or None where it may.

    Link-local and metadata addresses are refused in every form that leads to them, whatever is allowed.
    """
    parsed = _parse(address)
    forms = _forms(parsed)
    if _is_in((*forms, *_readings(parsed)), METADATA):
        return f"{parsed} {_IS_METADATA}"
    if not trust.public_only or _is_in(forms, trust.allow_cidrs) or _is_public(parsed, forms):
        return None
    return f"{parsed} {_IS_PRIVATE}"


def told_once(sentences: str) -> str:
    """Return what is said of several addresses, one after the other, with each reason said once."""
    addresses: dict[str, list[str]] = {}
    for address, why in _REFUSAL.findall(sentences):
        addresses.setdefault(why, []).append(address)
    if not addresses:
        return sentences
    return "; ".join(
        f"{first} {why}" + (f" (likewise {', '.join(others)})" if others else "")
        for why, (first, *others) in addresses.items()
    )


def is_within(address: Address | str, networks: Iterable[Network]) -> bool:
    """Tell whether an address, in whatever form, leads into one of these networks."""
    return _is_in(_forms(_parse(address)), networks)


def _parse(address: Address | str) -> Address:
    # A zone ("fe80::1%eth0") changes the way to an address, not what the address is.
    return ip_address(address.partition("%")[0]) if isinstance(address, str) else address


def _forms(address: Address) -> tuple[Address, ...]:
    """Return the address and the IPv4 address that it leads to, if it does."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address in _SIX_TO_FOUR:
        return (address, IPv4Address(int(address) >> 80 & _LAST_32_BITS))
    if any(address in network for network in _EMBEDDED_LAST):
        return (address, IPv4Address(int(address) & _LAST_32_BITS))
    return (address,)


def _readings(address: Address) -> tuple[IPv4Address, ...]:
    """Return what an address may lead to by a translator of one's own: with each length of its prefix (RFC 6052, 2.2).

    These are 48, 56, 64 and 96 bits; the octet from bit 64 on is none of the address that is embedded.
    """
    if address not in _LOCAL_NAT64:
        return ()
    joined = int(address) >> 64 << 56 | int(address) & _LAST_56_BITS
    return tuple(IPv4Address(joined >> behind & _LAST_32_BITS) for behind in (40, 32, 24, 0))


def _is_in(forms: Iterable[Address], networks: Iterable[Network]) -> bool:
    return any(form in network for network in networks for form in forms)


def _is_public(address: Address, forms: tuple[Address, ...]) -> bool:
    final = forms[-1]
    if isinstance(final, IPv6Address):
        return final in _PUBLIC_V6 and not _is_in((final,), _NOT_PUBLIC)
    if isinstance(address, IPv6Address) and address in IPv6Network("::/96"):
        return False  # the compatible form is obsolete: nobody routes it, and nobody needs it
    return not _is_in((final,), _NOT_PUBLIC)


_SCHEMES = frozenset({"http", "https"})
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")  # what parsers of URLs strip or disagree about
_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")
_BRACKETED = re.compile(r"\[[^\[\]]*\](:[0-9]*)?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def fault_of_url(url: str, *, instead: str = "") -> str | None:
    """Return what is wrong with the form of `url`, or None: http or https, no credentials, a canonical host.

    `instead` says where credentials belong.
    """
    if _UNSAFE.search(url):
        return "a URL holds no spaces, control characters or backslashes"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"this is no URL: {_without_quotes(str(error))}"
    if parts.scheme not in _SCHEMES:
        return "expected a URL that begins with http:// or https://"
    if "@" in parts.netloc:
        return f"credentials do not belong in a URL; {instead}".removesuffix("; ")
    if "[" in parts.netloc and not _BRACKETED.fullmatch(parts.netloc):
        return "the host is no IPv6 address"  # parsers disagree about what stands beside the brackets
    if port == 0:
        return "port 0 cannot be connected to"
    return fault_of_host(_host(parts))


def _without_quotes(said: str) -> str:
    """Return what urllib says of a URL, but in our words where it quotes what may be, or hold, a password."""
    if "netloc" in said:
        return "its host has characters that stand for others"  # such as "\uff0f"
    if said.startswith("Port could"):
        return "what stands behind the colon of its host is no port"
    return "its host is no IPv6 address" if "'" in said else said


def refusal_of_url(url: str, trust: Trust) -> str | None:
    """Return why `url` may not be called, or None: the fault of its form, or the refusal of an address it names.

    A name is judged only when it is dialled, by the addresses that it then has.
    """
    fault = fault_of_url(url)
    if fault is not None:
        return fault
    host = _host(urlsplit(url))
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return refusal(address, trust)


def _host(parts: SplitResult) -> str:
    return parts.hostname or ""


def fault_of_host(host: str) -> str | None:
    """Return what is wrong with the form of a host, or None: a name, or an address in its usual form."""
    if not host:
        return "the URL names no host"
    if ":" in host:
        return _fault_of_ipv6(host)
    if not host.isascii():
        return f"write the host in its ASCII form, {_ascii_form(host) or 'xn--...'}"
    if not _NAME.fullmatch(host):
        return "the host is neither a name nor an address"
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) and not _is_canonical_ipv4(host):
        return "write the host's address in its usual form, four decimal numbers"
    return None


def _ascii_form(host: str) -> str | None:
    """Return a name as IDNA encodes it; None for what is none. To be told, not dialled: it may be another's name."""
    try:
        encoded = URL(f"http://{host}/").raw_host
    except ValueError:
        return None
    return encoded if encoded is not None and encoded.isascii() and "xn--" in encoded else None


def _fault_of_ipv6(host: str) -> str | None:
    try:
        address = IPv6Address(host)
    except ValueError:
        return "the host is no IPv6 address"
    return "an address with a zone cannot be called" if address.scope_id else None


def _is_canonical_ipv4(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False
