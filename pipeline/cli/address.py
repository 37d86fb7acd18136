"""Where the service is that a command speaks to, and the key that it shows there."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.cli.failures import UsageError

_HOST, _PORT = "127.0.0.1", 8888
_YAML = "sendoff.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A service's base URL, without a slash at its end; `origin` tells in words what named it."""

    url: str
    origin: str
    key: str | None = None

    def __repr__(self) -> str:
        return f"Address({self.url})"  # without the key


def add_address(parser: argparse.ArgumentParser, *, is_inner: bool = False) -> None:
    """Add `--url`; to a command within one that has it, too, where either of them will do."""
    parser.add_argument(
        "--url",
        default=argparse.SUPPRESS if is_inner else None,
        help="the service (default: SENDOFF_URL, else that of ./sendoff.yaml, else http://127.0.0.1:8888); "
        "SENDOFF_KEY is sent as its key",
    )


def address_of(args: argparse.Namespace) -> Address:
    """Return the address that the command line, the environment or the current folder names, in this order.

    Raises UsageError for what is no URL.
    """
    return find_address(args.url, os.environ, Path.cwd())


def find_address(option: str | None, environ: Mapping[str, str], folder: Path) -> Address:
    """Return the address; what is asked comes in through the door."""
    key = environ.get("SENDOFF_KEY") or None
    if key is not None and not (key.isascii() and key.isprintable()):
        raise UsageError("SENDOFF_KEY holds what no key does: a line break, or a character beyond ASCII")
    if option is not None:
        return Address(url=_url(option, "--url"), origin="comes from --url", key=key)
    if environ.get("SENDOFF_URL"):
        return Address(url=_url(environ["SENDOFF_URL"], "SENDOFF_URL"), origin="comes from SENDOFF_URL", key=key)
    if (folder / _YAML).is_file():
        return Address(url=_of_yaml(folder / _YAML, environ), origin=f"comes from {_YAML}", key=key)
    return Address(url=f"http://{_HOST}:{_PORT}", origin="is the default", key=key)


def _url(text: str, said_by: str) -> str:
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or parts.query or parts.fragment:
        raise UsageError(f"{said_by}: expected a URL such as http://{_HOST}:{_PORT}, got {text!r}")
    if parts.username is not None:
        raise UsageError(f"{said_by}: a URL with a password in it is seen by everybody; a key belongs in SENDOFF_KEY")
    return text.rstrip("/")


def _of_yaml(path: Path, environ: Mapping[str, str]) -> str:
    """Return where a service with this configuration listens; what is wrong with the rest of it is no matter here."""
    from pipeline.config.environment import substitute  # noqa: PLC0415 - only where there is such a file
    from pipeline.config.yaml_file import read_yaml  # noqa: PLC0415
    from pipeline.errors import ConfigurationError  # noqa: PLC0415

    try:
        source = substitute(read_yaml(path.read_text("utf-8"), path.name), environ)
    except (ConfigurationError, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{path.name} cannot be read ({reason})", "Name the service with --url.") from error
    service = source.value.get("service") if isinstance(source.value, dict) else None
    service = service if isinstance(service, dict) else {}
    return f"http://{_reached(service.get('host'))}:{_port(service.get('port'))}"


def _reached(host: Any) -> str:
    """Return the host by which one that is bound to is reached from this machine."""
    if not isinstance(host, str) or not host:
        return _HOST
    try:
        bound = ip_address(host)
    except ValueError:
        return host
    if bound.is_unspecified:
        return _HOST if bound.version == 4 else "[::1]"
    return host if bound.version == 4 else f"[{host}]"


def _port(port: Any) -> int:
    text = str(port)
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65536 else _PORT
