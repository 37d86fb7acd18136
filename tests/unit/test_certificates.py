"""Files of certificates and keys: what is wrong with them is found when they are loaded, with its option and remedy."""

import datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from destinations.dial.tls import Tls, over
from destinations.registry import builtin_kinds
from pipeline.config import load_config
from pipeline.config.settings import Config
from pipeline.errors import ConfigurationError
from tests.support.certificates import Files, authority_in, written
from tests.support.command import sendoff

PASSWORD = "correct horse"
NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> Files:
    authority_in(tmp_path, authority)
    files = written(authority.issue_cert("sendoff@example.com"), tmp_path)
    assert (files.both.name, files.encrypted(PASSWORD).name) == ("client.both.pem", "client.encrypted.pem")
    written(authority.issue_cert("other@example.com"), tmp_path, "other")
    return files


def load(folder: Path, tls: str) -> Config:
    text = f"destinations: {{h: {{type: webhook, url: 'https://example.com/', tls: {{{tls}}}}}}}\n"
    (folder / "sendoff.yaml").write_text(text)
    return load_config(None, environ={"KEY": PASSWORD}, kinds=builtin_kinds(), cwd=folder)


@pytest.mark.parametrize(
    "tls",
    [
        "ca: ca.pem",
        "certificate: client.pem, key: client.key",
        "certificate: client.both.pem",
        "certificate: client.both.pem, key: client.both.pem",
        "certificate: client.pem, key: client.encrypted.pem, password: '${KEY}'",
        "certificate: client.pem, key: client.key, password: not needed",
        "ca: client.pem",
        "",
    ],
)
def test_files_that_serve(files: Files, tmp_path: Path, tls: str) -> None:
    assert load(tmp_path, tls).destinations["h"].options.tls is not None


def test_paths_are_relative_to_the_yaml(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert load(tmp_path, "ca: ca.pem").destinations["h"].options.tls == Tls(ca=tmp_path / "ca.pem")


BROKEN = "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"
BROKEN_KEY = "-----BEGIN PRIVATE KEY-----\nbm9uZQ==\n-----END PRIVATE KEY-----\n"
PEM = "expected certificates in PEM (-----BEGIN CERTIFICATE-----)"
FAULTS = {
    "ca: client.key": f"ca: {PEM}, got others that cannot be read",
    "ca: broken.pem": f"ca: {PEM}, got others that cannot be read",
    "ca: der": f"ca: {PEM}, got a file without any",
    "certificate: der, key: client.key": f"certificate: {PEM}, the one to show first, got a file without any",
    "certificate: broken.pem, key: client.key": f"certificate: {PEM}, the one to show first, got some that cannot be "
    "read",
    "certificate: client.key": f"certificate: {PEM}, the one to show first, got a file without any",
    "certificate: client.pem": "certificate: expected a private key in PEM (-----BEGIN PRIVATE KEY-----) beside the "
    "certificate, or tls.key, got none",
    "certificate: client.pem, key: client.pem": "key: expected a private key in PEM (-----BEGIN PRIVATE KEY-----), "
    "got none",
    "certificate: client.pem, key: broken.key": "key: expected a private key in PEM, got one that cannot be read",
    "certificate: client.pem, key: nowhere.key": "key: expected a file in PEM, got none: there is no FOLDER"
    "/nowhere.key",
    "certificate: client.pem, key: other.key": "key: expected the key of the first certificate in tls.certificate, "
    "got another key",
    "certificate: client.pem, key: x25519.key": "key: expected the key of the first certificate in tls.certificate, "
    "got another key",
    "certificate: client.pem, key: client.encrypted.pem": "password: expected the password of the key, which is "
    "encrypted, got none",
    "certificate: client.pem, key: client.encrypted.pem, password: wrong": "password: expected the password of the "
    "key, got another one",
    "certificate: client.pem, key: client.encrypted.pem, password: '${KEY}x'": "password: expected the password of "
    "the key, got another one",
}


@pytest.mark.parametrize("tls", FAULTS)
def test_files_that_do_not(files: Files, tmp_path: Path, tls: str) -> None:
    (tmp_path / "broken.pem").write_text(BROKEN)
    (tmp_path / "broken.key").write_text(BROKEN_KEY)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    (tmp_path / "der").write_bytes(certificate.public_bytes(Encoding.DER))
    key = x25519.X25519PrivateKey.generate()
    (tmp_path / "x25519.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, tls)
    (fault,) = caught.value.faults
    option, _, message = FAULTS[tls].partition(": ")
    assert (fault.path, fault.message) == (f"destinations.h.tls.{option}", message.replace("FOLDER", str(tmp_path)))
    assert PASSWORD not in str(fault)


def test_nobody_is_asked_for_a_password(files: Files, tmp_path: Path) -> None:
    """OpenSSL would ask the terminal, and the service wait for ever."""
    (tmp_path / "sendoff.yaml").write_text(
        "destinations: {h: {type: webhook, url: 'https://example.com/', "
        "tls: {certificate: client.pem, key: client.encrypted.pem}}}\n"
    )
    done = sendoff(tmp_path, "check")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == (
        "sendoff.yaml:1:69: destinations.h.tls.password: "
        "expected the password of the key, which is encrypted, got none\n"
    )


def test_a_file_that_may_not_be_read(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == "client.key":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(ConfigurationError, match="expected a file in PEM, got one that this user may not read: "):
        load(tmp_path, "certificate: client.pem, key: client.key")


# What is over


def ended(authority: trustme.CA, days: int) -> Any:
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    return authority.issue_cert("c@example.com", not_before=end - datetime.timedelta(days=90), not_after=end)


def test_a_certificate_that_is_over_is_a_warning(authority: trustme.CA, tmp_path: Path) -> None:
    written(ended(authority, -1), tmp_path)
    tls = "tls: {certificate: client.pem, key: client.key}"
    text = f"destinations: {{h: {{type: webhook, url: 'https://example.com/', {tls}}}}}"
    (tmp_path / "sendoff.yaml").write_text(text)
    done = sendoff(tmp_path, "check")
    assert done.returncode == 0
    warning = done.stdout.splitlines()[-1]
    assert warning.startswith("warning: sendoff.yaml:1:83: destinations.h.tls.certificate: is over since ")
    assert warning.endswith(": attempts will fail until another one is there")
    written(ended(authority, 1), tmp_path)
    assert "warning" not in sendoff(tmp_path, "check").stdout


def test_of_authorities_all_have_to_be_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = {"old": NOW - datetime.timedelta(days=1), "new": NOW + datetime.timedelta(days=1)}
    for name, end in moments.items():
        (tmp_path / name).write_bytes(_authority_until(end))
    (tmp_path / "both").write_bytes((tmp_path / "old").read_bytes() + (tmp_path / "new").read_bytes())
    assert list(over(Tls(ca=tmp_path / "old"), NOW)) == [("tls.ca", moments["old"])]
    assert list(over(Tls(ca=tmp_path / "new"), NOW)) == list(over(Tls(ca=tmp_path / "both"), NOW)) == []
    assert list(over(Tls(ca=tmp_path / "none", certificate=tmp_path / "none"), NOW)) == []


def _authority_until(end: datetime.datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(end - datetime.timedelta(days=9)).not_valid_after(end)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_proxy_at_a_blocked_address_is_a_warning(tmp_path: Path) -> None:
    text = "destinations: {h: {type: webhook, url: 'https://example.com/', proxy: 'http://169.254.169.254:3128'}}"
    (tmp_path / "sendoff.yaml").write_text(text)
    done = sendoff(tmp_path, "check")
    assert done.stdout.splitlines()[-1] == (
        "warning: sendoff.yaml:1:71: destinations.h.proxy: every attempt will be refused, as "
        "169.254.169.254 is a link-local or metadata address, where no destination may lead"
    )
