"""TLS with a receiver: whom it trusts, and which certificate it shows, as files of the configuration say.

Certificates are always verified; there is no setting that ends that. What is wrong with a certificate and its key is
found out in `certificates`, which is imported only where there is one.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.config.files import found_instead
from pipeline.config.secret import Secret

_ALPN = ("http/1.1",)  # as aiohttp's own contexts offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files of one destination's TLS, in PEM."""

    ca: Path | None = None
    """Whom to trust, in the place of the system's authorities."""
    certificate: Path | None = None
    """What to show, the authorities between it and its root behind it."""
    key: Path | None = None
    """The certificate's private key; None: it stands in the same file."""
    password: Secret | None = None
    """What the key is encrypted with."""


def context_of(tls: Tls | None) -> ssl.SSLContext:
    """Return what to speak TLS with; reads the files.

    Raises ValueError for a file that cannot be used; its text begins with the option, such as `tls.ca: `.
    """
    if tls is None:
        context = ssl.create_default_context()
    else:
        context = ssl.create_default_context(cafile=tls.ca and _authorities(tls.ca))
        _show(context, tls)
    if tls is not None and tls.ca is not None:
        # A receiver's own certificate serves, too, or that of an authority below the root: as from Python 3.13 on.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(_ALPN)
    return context


def over(tls: Tls, now: datetime) -> Iterator[tuple[str, datetime]]:
    """Yield the options whose certificates are valid no more, and since when; nothing of files that cannot be read."""
    try:
        if tls.ca is not None:
            found = ssl.create_default_context(cafile=tls.ca).get_ca_certs()
            ends = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in found]
            if ends and max(ends) <= now.timestamp():
                yield "tls.ca", datetime.fromtimestamp(max(ends), UTC)
        if tls.certificate is not None:
            from destinations.dial.certificates import end_of  # noqa: PLC0415 - cryptography makes every start slower

            if (end := end_of(tls.certificate.read_bytes())) <= now:
                yield "tls.certificate", end
    except (OSError, ValueError):  # gone, or changed, since they were checked
        return


def _authorities(path: Path) -> Path:
    content = _read("tls.ca", path)
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"tls.ca: {_expected(content)}") from None
    return path


def _show(context: ssl.SSLContext, tls: Tls) -> None:
    if tls.certificate is None:
        for option in ("key", "password"):
            if getattr(tls, option) is not None:
                raise ValueError(f"tls.{option}: expected tls.certificate beside it, got none")
        return
    from destinations.dial.certificates import check  # noqa: PLC0415 - cryptography makes every start slower

    certificate = _read("tls.certificate", tls.certificate)
    key = None if tls.key is None else _read("tls.key", tls.key)
    password = None if tls.password is None else tls.password.reveal()
    check(certificate, key, password)
    try:
        # A function, lest OpenSSL ask the terminal.
        context.load_cert_chain(tls.certificate, tls.key, lambda: password or "")
    except (OSError, ValueError) as error:
        said = str(getattr(error, "reason", None) or error).lower().replace("_", " ")
        raise ValueError(f"tls.certificate: expected one that TLS can use with its key, got: {said}") from None


def _read(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no path that there could be
        raise ValueError(f"{option}: expected a file in PEM, got {found_instead(path, error)}") from None


def _expected(content: bytes) -> str:
    wanted = "expected certificates in PEM (-----BEGIN CERTIFICATE-----)"
    if b"-----BEGIN " not in content:
        return f"{wanted}, got a file without any"
    return f"{wanted}, got others that cannot be read"
