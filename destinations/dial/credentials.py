"""Who a connection says it is: to a receiver by HTTP Basic, and to a proxy on the way. Pure."""

from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.config.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """A name and a password, as HTTP Basic authentication sends them (RFC 7617)."""

    username: str
    password: Secret

    @property
    def header(self) -> str:
        """Return the value of the header that carries them."""
        return "Basic " + b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A forward proxy, which is spoken to in plain HTTP."""

    url: str
    username: str | None = None
    password: Secret | None = None

    @property
    def name(self) -> str:
        """Return what errors call it."""
        return f"the proxy {urlsplit(self.url).netloc}"

    @property
    def header(self) -> str | None:
        """Return the value of `proxy-authorization`, if there is one."""
        if self.username is None or self.password is None:
            return None
        return Basic(username=self.username, password=self.password).header
