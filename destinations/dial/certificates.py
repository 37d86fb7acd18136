"""Certificates and keys in files: whether they can be read, and belong together. Pure.

Imported only where a destination shows a certificate: `cryptography` makes every start slower.
"""

import re
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


def check(certificate: bytes, key: bytes | None, password: str | None) -> None:
    """Raise ValueError, which names the option of `tls`, where a key is not that of a certificate, both in PEM.

    Without `key` it stands beside the certificate. A password that is not needed is none too many.
    """
    first = _first(certificate)
    option = "tls.certificate" if key is None else "tls.key"
    own = _key(certificate if key is None else key, password, option)
    if _public(own.public_key()) != _public(first.public_key()):
        raise ValueError(f"{option}: expected the key of the first certificate in tls.certificate, got another key")


def end_of(certificate: bytes) -> datetime:
    """Return until when a certificate is valid; of several, the first."""
    return _first(certificate).not_valid_after_utc


def _first(certificate: bytes) -> x509.Certificate:
    wanted = "tls.certificate: expected certificates in PEM (-----BEGIN CERTIFICATE-----), the one to show first"
    if b"-----BEGIN CERTIFICATE-----" not in certificate:
        raise ValueError(f"{wanted}, got a file without any")
    try:
        return x509.load_pem_x509_certificates(certificate)[0]
    except ValueError:
        raise ValueError(f"{wanted}, got some that cannot be read") from None


def _key(content: bytes, password: str | None, option: str) -> Any:
    found = _KEY.search(content)
    if found is None:
        beside = " beside the certificate, or tls.key" if option == "tls.certificate" else ""
        raise ValueError(f"{option}: expected a private key in PEM (-----BEGIN PRIVATE KEY-----){beside}, got none")
    try:
        try:
            return load_pem_private_key(found[0], None if password is None else password.encode())
        except TypeError:  # a password too many, or none where one is needed
            return load_pem_private_key(found[0], None)
    except TypeError:
        raise ValueError("tls.password: expected the password of the key, which is encrypted, got none") from None
    except ValueError:
        if password is not None and b"ENCRYPTED" in found[0]:
            raise ValueError("tls.password: expected the password of the key, got another one") from None
        raise ValueError(f"{option}: expected a private key in PEM, got one that cannot be read") from None
    except UnsupportedAlgorithm:
        raise ValueError(f"{option}: expected a private key of a kind that is known, got another") from None


def _public(key: Any) -> bytes:
    content: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return content
