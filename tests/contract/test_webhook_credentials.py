"""Who a webhook says it is, and whom it trusts: Basic, bearer, own authorities, client certificates; real sockets."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from destinations.dial.credentials import Basic
from destinations.dial.tls import Tls
from pipeline.config.secret import Secret
from pipeline.model import DeliveryReason, Outcome, Verdict
from tests.support.certificates import HOST, authority_in, showing, strict, written
from tests.support.loops import LOOPS
from tests.support.receiver import OK, answer, receiving
from tests.support.webhooks import opened, sending, sent

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


# Headers


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({"basic": Basic(username="Aladdin", password=Secret("open sesame"))}, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ({"basic": Basic(username="test", password=Secret("123£"))}, "Basic dGVzdDoxMjPCow=="),  # RFC 7617, 2.1
        ({"bearer": Secret("mF_9.B5f-4.1JqM")}, "Bearer mF_9.B5f-4.1JqM"),
        ({"headers": {"Authorization": Secret("Digest own")}}, "Digest own"),
        ({}, None),
    ],
)
async def test_credentials_are_sent_with_every_attempt(settings: dict[str, Any], header: str | None) -> None:
    async with receiving(answer(401), OK) as receiver, opened(receiver.url, **settings) as destination:
        refused = await destination.send(sending())
        assert (refused.verdict, refused.reason, refused.status) == (
            Verdict.TEMPORARY,
            DeliveryReason.HTTP_ERROR,
            401,
        )
        for _ in range(2):
            assert (await destination.send(sending())).verdict is Verdict.DELIVERED
    assert [request.headers.get("authorization") for request in receiver.requests] == [header] * 3
    assert all(request.header_names.count("authorization") <= 1 for request in receiver.requests)


async def test_credentials_do_not_follow_a_redirect() -> None:
    async with receiving() as target, receiving(answer(307, f"Location: {target.url}\r\n")) as receiver:
        outcome = await sent(receiver.url, bearer=Secret("t0ken"))
    assert (outcome.reason, target.connections) == (DeliveryReason.REDIRECT, 0)


# Own authorities


async def test_a_receiver_of_an_own_authority_is_called(authority: trustme.CA, tmp_path: Path) -> None:
    ca = authority_in(tmp_path, authority)
    async with receiving(tls=showing(authority.issue_cert(HOST))) as receiver:
        assert_tls_error(await sent(receiver.url), "unable to get local issuer certificate")
        async with opened(receiver.url, tls=Tls(ca=ca)) as destination:
            for _ in range(2):
                assert (await destination.send(sending())).verdict is Verdict.DELIVERED
    assert (receiver.connections, len(receiver.requests)) == (1, 2)


async def test_an_own_authority_counts_in_the_place_of_the_systems(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = trustme.CA()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority_in(tmp_path, other, "system.pem")))
    async with receiving(tls=showing(other.issue_cert(HOST))) as receiver:
        assert (await sent(receiver.url, tls=Tls())).verdict is Verdict.DELIVERED, "the system trusts it"
        outcome = await sent(receiver.url, tls=Tls(ca=authority_in(tmp_path, authority)))
    assert_tls_error(outcome, "unable to get local issuer certificate")


async def test_a_receivers_own_certificate_serves_as_the_authority(tmp_path: Path) -> None:
    itself = trustme.CA()
    leaf = itself.issue_cert(HOST)
    pinned = written(leaf, tmp_path, "receiver").certificate
    async with receiving(tls=showing(leaf)) as receiver:
        assert (await sent(receiver.url, tls=Tls(ca=pinned))).verdict is Verdict.DELIVERED
    async with receiving(tls=showing(itself.issue_cert(HOST))) as receiver:
        assert_tls_error(await sent(receiver.url, tls=Tls(ca=pinned)), "unable to get local issuer certificate")


async def test_an_own_authority_does_not_make_another_name_right(authority: trustme.CA, tmp_path: Path) -> None:
    async with receiving(tls=showing(authority.issue_cert("receiver.example"))) as receiver:
        assert_tls_error(await sent(receiver.url, tls=Tls(ca=authority_in(tmp_path, authority))), "mismatch")
    past = datetime.now(UTC) - timedelta(days=1)
    expired = authority.issue_cert(HOST, not_before=past - timedelta(days=1), not_after=past)
    async with receiving(tls=showing(expired)) as receiver:
        assert_tls_error(await sent(receiver.url, tls=Tls(ca=authority_in(tmp_path, authority))), "has expired")


async def test_what_is_agreed_upon_is_as_without_settings(authority: trustme.CA, tmp_path: Path) -> None:
    told: list[tuple[str | None, str | None]] = []
    context = showing(authority.issue_cert("localhost", HOST))
    context.set_alpn_protocols(["h2", "http/1.1"])
    names: list[str | None] = []
    context.sni_callback = lambda _, name, __: names.append(name)

    async def reply(writer: asyncio.StreamWriter) -> None:
        tls = writer.get_extra_info("ssl_object")
        told.append((tls.selected_alpn_protocol(), tls.version()))
        writer.write(OK)

    ca = authority_in(tmp_path, authority)
    async with receiving(reply, tls=context) as receiver:
        for host in (HOST, "localhost"):
            url = receiver.url.replace(HOST, host)
            assert (await sent(url, tls=Tls(ca=ca))).verdict is Verdict.DELIVERED
    assert told == [("http/1.1", "TLSv1.3")] * 2
    assert names == [None, "localhost"]


# Client certificates


@LOOPS
@VERSIONS
def test_a_receiver_that_asks_for_a_certificate_is_shown_it(
    loop: Callable[[], asyncio.AbstractEventLoop], version: ssl.TLSVersion, authority: trustme.CA, tmp_path: Path
) -> None:
    clients = trustme.CA()
    files = written(clients.issue_cert("sendoff@example.com"), tmp_path)
    context = showing(authority.issue_cert(HOST), asks_by=clients)
    context.maximum_version = version
    ca = authority_in(tmp_path, authority)
    shown: list[object] = []

    async def reply(writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("peercert")["subjectAltName"])
        writer.write(OK)

    async def call() -> None:
        async with receiving(reply, tls=context) as receiver:
            password = "correct horse"
            for tls in (
                Tls(ca=ca, certificate=files.certificate, key=files.key),
                Tls(ca=ca, certificate=files.both),
                Tls(ca=ca, certificate=files.both, password=Secret("not needed")),
                Tls(ca=ca, certificate=files.certificate, key=files.encrypted(password), password=Secret(password)),
            ):
                assert (await sent(receiver.url, tls=tls)).verdict is Verdict.DELIVERED
            assert shown == [(("email", "sendoff@example.com"),)] * 4

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(call())


@LOOPS
@VERSIONS
def test_a_receiver_that_does_not_know_the_certificate_is_a_tls_error(
    loop: Callable[[], asyncio.AbstractEventLoop], version: ssl.TLSVersion, authority: trustme.CA, tmp_path: Path
) -> None:
    clients = trustme.CA()
    context = showing(authority.issue_cert(HOST), asks_by=clients)
    context.maximum_version = version
    ca = authority_in(tmp_path, authority)
    known = written(clients.issue_cert("sendoff@example.com"), tmp_path)
    stranger = written(trustme.CA().issue_cert("stranger@example.com"), tmp_path, "stranger")

    async def call(port: int) -> None:
        url = f"https://{HOST}:{port}/"
        tls = Tls(ca=ca, certificate=known.certificate, key=known.key)
        assert (await sent(url, tls=tls)).verdict is Verdict.DELIVERED
        none = await sent(url, tls=Tls(ca=ca))
        another = await sent(url, tls=Tls(ca=ca, certificate=stranger.certificate, key=stranger.key))
        for outcome in (none, another):
            assert (outcome.verdict, outcome.status) == (Verdict.TEMPORARY, None)
            assert outcome.reason is DeliveryReason.TLS_ERROR, outcome.message
        if version is ssl.TLSVersion.TLSv1_3:
            assert none.message == "no TLS without a certificate, which tls.certificate names: certificate required"
        else:
            assert none.message == f"{HOST}:{port}: what answers there ends TLS: handshake failure"
        assert another.message.endswith("what answers there ends TLS: unknown ca")

    with strict(context) as port, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(call(port))


def assert_tls_error(outcome: Outcome, sentence: str) -> None:
    assert (outcome.verdict, outcome.reason, outcome.status) == (Verdict.TEMPORARY, DeliveryReason.TLS_ERROR, None)
    assert sentence in outcome.message
    assert outcome.message.startswith(f"{HOST}:")
