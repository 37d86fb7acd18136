"""Certificates of an authority of the tests: those that receivers and clients show, and what can be wrong with them."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Files:
    """The files of one certificate."""

    certificate: Path
    key: Path

    @property
    def both(self) -> Path:
        """Return one file with the certificate and its key, made now."""
        path = self.certificate.with_suffix(".both.pem")
        path.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        return path

    def encrypted(self, password: str) -> Path:
        """Return a file with the key, encrypted, made now."""
        key = load_pem_private_key(self.key.read_bytes(), None)
        form = (Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
        path = self.key.with_suffix(".encrypted.pem")
        path.write_bytes(key.private_bytes(*form))
        return path


def written(certificate: trustme.LeafCert, folder: Path, name: str = "client") -> Files:
    """Write a certificate, with those between it and the root, and its key."""
    files = Files(folder / f"{name}.pem", folder / f"{name}.key")
    content = b"".join(each.bytes() for each in certificate.cert_chain_pems)
    files.certificate.write_bytes(content)
    files.key.write_bytes(certificate.private_key_pem.bytes())
    return files


def authority_in(folder: Path, authority: trustme.CA, name: str = "ca.pem") -> Path:
    """Write the certificate of an authority."""
    path = folder / name
    path.write_bytes(authority.cert_pem.bytes())
    return path


def ago(days: int) -> datetime:
    """Return the moment that many days ago by the machine's clock, which certificates are held against."""
    return datetime.now(UTC) - timedelta(days=days)


def showing(certificate: trustme.LeafCert, *, asks_by: trustme.CA | None = None) -> ssl.SSLContext:
    """Return what a receiver speaks TLS with; it asks for a certificate of `asks_by`, if that is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if asks_by is not None:
        asks_by.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def strict(context: ssl.SSLContext) -> Iterator[int]:
    """Have a receiver, on the port that is given, that refuses whoever it does not know with an alert.

    It blocks, in a thread: asyncio's servers close such connections without a word, which no other server does.
    """
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.settimeout(10)
                with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secured:
                    _answer(secured)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _answer(secured: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError):
        try:
            secured.do_handshake()
            secured.recv(2**16)
            secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except ssl.SSLError:
            secured.shutdown(socket.SHUT_WR)
            # What is not read when a socket is closed makes it a reset, which may overtake the alert.
            while socket.socket.recv(secured, 2**16):
                pass
