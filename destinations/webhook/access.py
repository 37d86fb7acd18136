"""The settings by which a webhook gets to a protected receiver: who it says it is, its TLS, and its proxy.

What they are made into stands in `dial`: `credentials`, `tls`, and `detour` for the way through a proxy.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from destinations import egress
from destinations.dial.credentials import Basic, Proxy
from destinations.dial.tls import Tls, context_of
from pipeline.config.secret import Secret

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"[\x21-\x7e]+")


def access_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in validated options by their names: `basic`, `tls` and `proxy`, where they are given."""
    basic, tls, proxy = (options.get(name) for name in ("basic", "tls", "proxy"))
    return {
        "basic": basic and Basic(**basic),
        "tls": None if tls is None else Tls(**tls),
        "proxy": proxy and Proxy(**({"url": proxy} if isinstance(proxy, str) else proxy)),
    }


def authorization_of(basic: Basic | None, bearer: Secret | None) -> str | None:
    """Return the value of the header `authorization`, if the settings make one."""
    if basic is not None:
        return basic.header
    return None if bearer is None else f"Bearer {bearer.reveal()}"


def check_access(
    url: str,
    headers: Mapping[str, Secret],
    *,
    basic: Basic | None,
    bearer: Secret | None,
    tls: Tls | None,
    proxy: Proxy | None,
) -> None:
    """Raise ValueError, which begins with the option's name, for what cannot be. Reads the files that `tls` names."""
    if fault := next(_faults_of_credentials(headers, basic, bearer), None):
        raise ValueError(fault)
    if proxy is not None and (fault := _fault_of_proxy(proxy, headers)):
        raise ValueError(fault)
    if tls is not None:
        if url.lower().startswith("http://"):
            raise ValueError("tls: expected nothing with http://, where no certificate is asked for or shown")
        context_of(tls)


def _faults_of_credentials(headers: Mapping[str, Secret], basic: Basic | None, bearer: Secret | None) -> Iterator[str]:
    if basic is not None and bearer is not None:
        yield "bearer: expected only one of basic and bearer, as both set the header authorization"
    for name in headers:
        if name.lower() == "authorization" and (basic or bearer):
            yield f"headers.{name}: expected another header, as {'basic' if basic else 'bearer'} sets this one"
    if bearer is not None and not _TOKEN.fullmatch(bearer.reveal()):
        yield "bearer: expected the token alone, without the word Bearer, spaces, line breaks and what is not ASCII"
    if basic is not None:
        yield from _faults_of_names("basic", basic.username, basic.password)


def _faults_of_names(option: str, username: str, password: Secret) -> Iterator[str]:
    if ":" in username or _CONTROL.search(username):
        yield f"{option}.username: expected a name without colons and control characters"
    if _CONTROL.search(password.reveal()):
        yield f"{option}.password: expected a password without line breaks and other control characters"


def _fault_of_proxy(proxy: Proxy, headers: Mapping[str, Secret]) -> str | None:
    if fault := fault_of_proxy_url(proxy.url):
        return f"proxy.url: {fault}"
    if (proxy.username is None) != (proxy.password is None):
        missing = "password" if proxy.password is None else "username"
        return f"proxy.{missing}: expected a value, as username and password go together"
    for name in headers:
        if name.lower() == "proxy-authorization":
            return f"headers.{name}: expected another header; proxy: {{url, username, password}} sets this one"
    if proxy.username is None or proxy.password is None:
        return None
    return next(_faults_of_names("proxy", proxy.username, proxy.password), None)


def fault_of_proxy_url(url: str) -> str | None:
    """Return what is wrong with the URL of a proxy, or None."""
    if not url.lower().startswith("http://"):
        return "expected http://HOST:PORT; the proxy itself is spoken to without TLS"
    instead = "write proxy: {url: ..., username: ..., password: ...}"
    if (fault := egress.fault_of_url(url, instead=instead)) is not None:
        return fault
    parts = urlsplit(url)
    if parts.port is None or parts.path not in ("", "/") or parts.query or parts.fragment:
        return "expected http://HOST:PORT, with a port and no path"
    return None


def refusal_of_proxy(proxy: Proxy) -> str | None:
    """Return why no connection is made to a proxy whose address its URL tells, or None."""
    return egress.refusal_of_url(proxy.url, egress.OPERATOR)
