"""Who may ask: the Host and Origin checks that keep a web page from reaching a service on the same machine.

Keys and scopes stand here too once they exist; until then the service is reached from the loopback address only.
"""

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from pipeline.errors import SendoffError
from pipeline.web.parts import PARTS

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class ForbiddenError(SendoffError):
    """The request names a foreign Host, or comes from a page of another site."""


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Tell whether `host`, a name or an address, means this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=8)
def allowed_hosts(public_url: str | None) -> frozenset[str]:
    """Return the host names, besides loopback ones, that a request may carry."""
    public = urlsplit(public_url or "").hostname
    return frozenset({public} if public else ())


def check(request: web.Request) -> None:
    """Raise ForbiddenError for a foreign Host (DNS rebinding) or, on anything but a read, a foreign Origin."""
    parts = request.app[PARTS]
    if parts.is_insecure:
        return
    allowed = allowed_hosts(parts.config.service.public_url)
    host = request.headers.get("Host", "")
    if host and not _is_known(_hostname(host), allowed):
        raise ForbiddenError(
            f"the Host {host!r} is not this service; set service.public_url to the address it is reached by"
        )
    if request.method not in _SAFE_METHODS and (origin := request.headers.get("Origin")) is not None:
        _check_origin(origin, host, allowed)


def _check_origin(origin: str, host: str, allowed: frozenset[str]) -> None:
    try:
        site = urlsplit(origin)
    except ValueError:
        raise ForbiddenError(f"the Origin {origin!r} is no site") from None
    if site.netloc.lower() != host.lower() and not _is_known(site.hostname or "", allowed):
        raise ForbiddenError(f"the Origin {origin!r} is a foreign site")


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _is_known(name: str, allowed: frozenset[str]) -> bool:
    return name.lower() in allowed or is_loopback(name)
