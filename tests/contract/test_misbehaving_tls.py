"""Receivers whose TLS nobody should trust, or that speak none; the sender trusts a single authority."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trustme

from tests.support.certificates import ago
from tests.support.receiver import OK, Receiver, listening, receiving
from tests.support.sender import Sender, sender
from tests.support.webhooks import SHORT_S

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def process(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    trusted = Path(tmp_path_factory.mktemp("trusted"), "authority.pem")
    authority.cert_pem.write_to_path(str(trusted))
    with sender(trusted) as started:
        yield started


def showing(certificate: trustme.LeafCert) -> AbstractAsyncContextManager[Receiver]:
    """Have a receiver that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return receiving(tls=context)


async def test_a_receiver_that_can_be_trusted_is_called(authority: trustme.CA, process: Sender) -> None:
    async with showing(authority.issue_cert(HOST)) as receiver:
        assert (await process.send(receiver.url)).verdict == "delivered"
    assert len(receiver.requests) == 1


async def test_one_whose_certificate_is_expired_is_not(authority: trustme.CA, process: Sender) -> None:
    async with showing(authority.issue_cert(HOST, not_before=ago(60), not_after=ago(30))) as receiver:
        await _refused(receiver, process, "has expired")


async def test_one_whose_certificate_is_not_valid_yet_is_not(authority: trustme.CA, process: Sender) -> None:
    async with showing(authority.issue_cert(HOST, not_before=ago(-30), not_after=ago(-60))) as receiver:
        await _refused(receiver, process, "not yet valid")


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "receiver.example"])
async def test_one_whose_certificate_is_anothers_is_not(host: str, authority: trustme.CA, process: Sender) -> None:
    async with showing(authority.issue_cert(host)) as receiver:
        await _refused(receiver, process, "mismatch")


async def test_one_whose_authority_nobody_knows_is_not(process: Sender) -> None:
    async with showing(trustme.CA().issue_cert(HOST)) as receiver:
        await _refused(receiver, process, "unable to get local issuer certificate")


async def test_one_that_vouches_for_itself_is_not(process: Sender, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    itself = trustme.CA()
    for pem in (itself.cert_pem, itself.private_key_pem):
        pem.write_to_path(str(tmp_path / "itself.pem"), append=True)
    context.load_cert_chain(tmp_path / "itself.pem")
    async with receiving(tls=context) as receiver:
        await _refused(receiver, process, "self-signed")


async def _refused(receiver: Receiver, process: Sender, sentence: str) -> None:
    told = await process.send(receiver.url, timeout=20.0)
    assert (told.verdict, told.reason, told.status, told.retry_after_s) == ("temporary", "tls_error", None, None)
    assert told.message.startswith(f"{HOST}:{receiver.port}: ")
    assert sentence in told.message
    assert receiver.requests == [], "not a byte of the request is sent"


# No TLS at all


@pytest.mark.parametrize("said", [OK, b"220 mail.example ESMTP\r\n", b"\x00" * 100])
async def test_a_receiver_that_speaks_no_tls_is_a_tls_error(said: bytes, process: Sender) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read(2**16)

    async with listening(serve) as port:
        told = await process.send(f"https://{HOST}:{port}/", timeout=20.0)
    assert (told.verdict, told.reason) == ("temporary", "tls_error")
    assert told.message == f"{HOST}:{port}: what answers there speaks no TLS"


async def test_a_receiver_that_closes_instead_of_agreeing_is_a_reset(process: Sender) -> None:
    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with listening(serve) as port:
        told = await process.send(f"https://{HOST}:{port}/", timeout=20.0)
    assert (told.verdict, told.reason) == ("temporary", "connection_reset")
    assert f"{HOST}:{port}" in told.message


async def test_a_receiver_that_never_agrees_is_a_timeout(process: Sender) -> None:
    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(2**16):
            pass

    async with listening(serve) as port:
        told = await process.send(f"https://{HOST}:{port}/", timeout=20.0, connect_timeout=SHORT_S)
    assert (told.verdict, told.reason, told.patience_s) == ("temporary", "timeout", 60)
    assert told.message == f"no connection with TLS within {SHORT_S:g} s to {HOST}:{port}"
