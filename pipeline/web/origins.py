"""The checks of Host and Origin, which keep a web page from reaching a service that its reader can reach."""

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from pipeline.config.settings import Config
from pipeline.web.parts import seen
from pipeline.web.problems import ProblemError

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Tell whether `host`, a name or an address, means this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check(request: web.Request, config: Config, *, is_public: bool) -> None:
    """Raise the 403 for a foreign Host (DNS rebinding) or, on anything but a read, for a foreign Origin.

    Where keys are asked for and the service listens on other addresses, too, its names are not known here, and a page
    that gets through has no key. `is_public` says that anyone may use the route, pages of other sites among them.
    """
    allowed = _allowed(config.service.public_url)
    host = request.headers.get("Host", "")
    forwarded = seen(request).host if config.service.trusted_proxies else None
    is_bounded = not config.keys or is_loopback(config.service.host)
    # Whatever X-Forwarded-Host says: a page can send that, and it may come from where the proxy is, too.
    if host and is_bounded and not _is_known(_hostname(host), allowed):
        raise _forbidden(
            f"the Host {host!r} is not this service; set service.public_url to the address it is reached by"
        )
    if not is_public and request.method not in _SAFE_METHODS and "Origin" in request.headers:
        _check_origin(request.headers["Origin"], forwarded or host, allowed)


@lru_cache(maxsize=8)
def _allowed(public_url: str | None) -> frozenset[str]:
    """Return the host names, besides loopback ones, that a request may carry."""
    public = urlsplit(public_url or "").hostname
    return frozenset({public} if public else ())


def _check_origin(origin: str, host: str, allowed: frozenset[str]) -> None:
    try:
        site = urlsplit(origin)
    except ValueError:
        raise _forbidden(f"the Origin {origin!r} is no site") from None
    if site.netloc.lower() != host.lower() and not _is_known(site.hostname or "", allowed):
        raise _forbidden(f"the Origin {origin!r} is a foreign site")


def _forbidden(detail: str) -> ProblemError:
    return ProblemError(403, "Forbidden", detail)


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _is_known(name: str, allowed: frozenset[str]) -> bool:
    return name.lower() in allowed or is_loopback(name)
