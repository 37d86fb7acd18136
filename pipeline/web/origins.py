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
    service, headers = config.service, request.headers
    host = headers.get("Host", "")
    is_bounded = not config.keys or is_loopback(service.host)
    # Whatever X-Forwarded-Host says: a page can send that, and it may come from where the proxy is, too.
    if host and is_bounded and not _is_own(host, service.public_url):
        raise _forbidden(
            f"the Host {host!r} is not this service; set service.public_url to the address it is reached by"
        )
    if "Origin" in headers and not is_public and request.method not in _SAFE_METHODS:
        forwarded = seen(request, service).host if service.trusted_proxies else None
        _check_origin(headers["Origin"], forwarded or host, service.public_url)


@lru_cache(maxsize=256)
def _is_own(host: str, public_url: str | None) -> bool:
    return _is_known(_hostname(host), public_url)


def _check_origin(origin: str, host: str, public_url: str | None) -> None:
    try:
        site = urlsplit(origin)
    except ValueError:
        raise _forbidden(f"the Origin {origin!r} is no site") from None
    if site.netloc.lower() != host.lower() and not _is_known(site.hostname or "", public_url):
        raise _forbidden(f"the Origin {origin!r} is a foreign site")


def _forbidden(detail: str) -> ProblemError:
    return ProblemError(403, "Forbidden", detail)


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _is_known(name: str, public_url: str | None) -> bool:
    return name.lower() == urlsplit(public_url or "").hostname or is_loopback(name)
