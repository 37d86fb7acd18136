"""Addresses that must not be called: refused when they are dialled, whichever way a URL leads to them.

The positive control stands beside: without the guard the same call reaches a listener. The tables of addresses are held
in full by `tests/unit/test_egress.py`.
"""

import re
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import aiohttp
import pytest

from destinations import egress
from destinations.dial import connector, failures
from destinations.dial.failures import BlockedAddressError
from destinations.egress import CALLER, OPERATOR, Trust
from pipeline.model import DeliveryReason, Outcome, Verdict
from tests.support.internet import Internet
from tests.support.names import NameServer
from tests.support.receiver import Receiver, answer, receiving
from tests.support.serving import Service
from tests.support.webhooks import exchange_of, opened, sending, sent

PUBLIC, PUBLIC_V6 = "93.184.215.14", "2606:4700::1111"
NAME = "innocent.example"
EVERYTHING = Trust(
    public_only=True,
    allow_cidrs=(ip_network("0.0.0.0/0"), ip_network("::/0")),
)

METADATA = {
    "literal": "169.254.169.254",
    "Azure": "168.63.129.16",
    "mapped": "::ffff:169.254.169.254",
    "translated": "::ffff:0:169.254.169.254",
    "compatible": "::169.254.169.254",
    "NAT64": "64:ff9b::169.254.169.254",
    "local NAT64": "64:ff9b:1::169.254.169.254",
    "shorter local NAT64": "64:ff9b:1:a9fe:a9:fe00:808:808",
    "6to4": "2002:a9fe:a9fe::1",
    "link-local": "fe80::1",
    "AWS": "fd00:ec2::254",
    "GCP": "fd20:ce::254",
}
PRIVATE = {
    "loopback": "127.0.0.1",
    "another loopback": "127.1.2.3",
    "unspecified": "0.0.0.0",
    "10/8": "10.0.0.1",
    "172.16/12": "172.16.0.1",
    "192.168/16": "192.168.1.1",
    "shared": "100.64.0.1",
    "broadcast": "255.255.255.255",
    "v6 loopback": "::1",
    "v6 unspecified": "::",
    "unique local": "fd12::1",
    "site-local": "fec0::1",
    "mapped": "::ffff:127.0.0.1",
    "translated": "::ffff:0:127.0.0.1",
    "compatible": "::127.0.0.1",
    "NAT64": "64:ff9b::127.0.0.1",
    "local NAT64": "64:ff9b:1::10.0.0.1",
    "shorter local NAT64": "64:ff9b:1:7f00:0:100:808:808",
    "public behind local NAT64": "64:ff9b:1::8.8.8.8",
    "6to4": "2002:7f00:1::",
    "Teredo": "2001::1",
}
ZONES = ["fe80::1%eth0", "fe80::1%1", "::1%lo", "::ffff:169.254.169.254%1"]
DISGUISES = {
    "hex": "0x7f000001",
    "hex by bytes": "0x7f.0x0.0x0.0x1",
    "octal": "0177.0.0.1",
    "octal in one": "017700000001",
    "decimal": "2130706433",
    "two parts": "127.1",
    "three parts": "127.0.1",
    "leading zeros": "127.000.000.001",
    "mixed": "0x7f.0.0.01",
}
WIDE = {
    "full-width": "\uff11\uff16\uff19.\uff12\uff15\uff14.\uff11\uff16\uff19.\uff12\uff15\uff14",
    "full stops of another script": "169\u3002254\u3002169\u3002254",
    "circled": "\u2460\u2465\u2468.254.169.254",
}
ANY_TRUST = pytest.mark.parametrize("trust", [OPERATOR, CALLER, EVERYTHING], ids=["operator", "caller", "all"])


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving(answer(200, "Connection: close\r\n")) as started:
        yield started


def without_guard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(connector, "refusal", lambda *_: None)
    patch.setattr(connector, "fault_of_host", lambda _: None)


def url_of(host: str, receiver: Receiver) -> str:
    return f"http://[{host}]:{receiver.port}/" if ":" in host else f"http://{host}:{receiver.port}/"


def assert_refused(outcome: Outcome) -> None:
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.BLOCKED_ADDRESS)
    assert (outcome.status, outcome.remote_address, outcome.retry_after_s) == (None, None, None)
    assert outcome.message


async def refused_then_reached(
    url: str, trust: Trust, receiver: Receiver, internet: Internet, patch: pytest.MonkeyPatch
) -> str:
    """See a URL refused, and that without the guard it is called; return the sentence of the refusal."""
    outcome = await sent(url, trust=trust, connect_timeout=5.0)
    assert_refused(outcome)
    assert (internet.dialled, receiver.connections) == ([], 0)
    without_guard(patch)
    assert (await sent(url, trust=trust)).verdict is Verdict.DELIVERED
    assert (len(internet.dialled), receiver.connections) == (1, 1)
    return outcome.message


# Literals and names


@ANY_TRUST
@pytest.mark.parametrize("form", METADATA)
async def test_metadata_as_a_literal(
    form: str, trust: Trust, receiver: Receiver, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(METADATA[form], receiver)
    assert "link-local or metadata" in await refused_then_reached(url, trust, receiver, internet, monkeypatch)


@ANY_TRUST
@pytest.mark.parametrize("form", METADATA)
async def test_a_name_that_leads_to_metadata(
    form: str,
    trust: Trust,
    receiver: Receiver,
    internet: Internet,
    names: NameServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names.lead(NAME, METADATA[form])
    url = url_of(NAME, receiver)
    assert "link-local or metadata" in await refused_then_reached(url, trust, receiver, internet, monkeypatch)


@pytest.mark.parametrize("form", PRIVATE)
async def test_a_private_address_as_a_callers_literal(
    form: str, receiver: Receiver, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(PRIVATE[form], receiver)
    assert "allow_cidrs" in await refused_then_reached(url, CALLER, receiver, internet, monkeypatch)


@pytest.mark.parametrize("form", PRIVATE)
async def test_a_callers_name_that_leads_to_a_private_address(
    form: str, receiver: Receiver, internet: Internet, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.lead(NAME, PRIVATE[form])
    url = url_of(NAME, receiver)
    assert "allow_cidrs" in await refused_then_reached(url, CALLER, receiver, internet, monkeypatch)


@pytest.mark.parametrize("form", PRIVATE)
async def test_private_addresses_are_called_by_the_operator_and_where_allowed(
    form: str, receiver: Receiver, internet: Internet, names: NameServer
) -> None:
    names.lead(NAME, PRIVATE[form])
    for trust in (OPERATOR, EVERYTHING):
        assert (await sent(url_of(NAME, receiver), trust=trust)).verdict is Verdict.DELIVERED
    assert receiver.connections == len(internet.dialled) == 2


@pytest.mark.parametrize("address", [PUBLIC, PUBLIC_V6, f"::ffff:{PUBLIC}", f"64:ff9b::{PUBLIC}"])
async def test_public_addresses_are_called_for_anybody(
    address: str, receiver: Receiver, internet: Internet, names: NameServer
) -> None:
    names.lead(NAME, address)
    for url in (url_of(address, receiver), url_of(NAME, receiver)):
        assert (await sent(url, trust=CALLER)).verdict is Verdict.DELIVERED
    assert receiver.connections == len(internet.dialled) == 2


@pytest.mark.parametrize("host", ZONES)
async def test_a_zone_does_not_hide_an_address(
    host: str, receiver: Receiver, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert egress.fault_of_url(url_of(host, receiver)) is not None, "such a URL is no setting to begin with"
    await refused_then_reached(url_of(host.replace("%", "%25"), receiver), CALLER, receiver, internet, monkeypatch)


@ANY_TRUST
@pytest.mark.parametrize("form", DISGUISES)
async def test_an_address_in_disguise(form: str, trust: Trust, receiver: Receiver) -> None:
    url = url_of(DISGUISES[form], receiver)
    assert egress.fault_of_url(url) is not None, "such a URL is no setting to begin with"
    assert_refused(await sent(url, trust=trust))
    assert receiver.connections == 0
    with socket.create_connection((DISGUISES[form], receiver.port)) as control:
        assert control.getpeername()[0] == "127.0.0.1", "to the system it is an address, and somebody listens there"


@ANY_TRUST
@pytest.mark.parametrize("form", WIDE)
async def test_an_address_in_wide_characters(
    form: str, trust: Trust, receiver: Receiver, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(WIDE[form], receiver)
    assert egress.fault_of_url(url) is not None, "such a URL is no setting to begin with"
    assert "link-local or metadata" in await refused_then_reached(url, trust, receiver, internet, monkeypatch)
    assert internet.dialled == ["169.254.169.254"]


# Names that change their mind, and receivers that point elsewhere


@pytest.mark.parametrize("inside", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe"])
async def test_a_name_that_leads_inside_once_it_was_judged(
    inside: str, receiver: Receiver, internet: Internet, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.lead(NAME, (PUBLIC, PUBLIC_V6), inside)
    url = url_of(NAME, receiver)
    assert egress.refusal_of_url(url, CALLER) is None
    async with opened(url, CALLER) as destination:
        assert (await destination.send(sending())).verdict is Verdict.DELIVERED
        exchange_of(destination)._connector.clear_dns_cache()
        assert_refused(await destination.send(sending()))
        assert {*internet.dialled} <= {PUBLIC, PUBLIC_V6}
        assert receiver.connections == 1
    without_guard(monkeypatch)
    assert (await sent(url, trust=CALLER)).verdict is Verdict.DELIVERED
    assert receiver.connections == 2


async def test_of_several_addresses_only_those_are_called_that_may_be(
    receiver: Receiver, internet: Internet, names: NameServer
) -> None:
    names.lead(NAME, ("169.254.169.254", "127.0.0.1", PUBLIC, "::1"))
    assert (await sent(url_of(NAME, receiver), trust=CALLER)).verdict is Verdict.DELIVERED
    assert internet.dialled == [PUBLIC]


async def test_where_none_may_be_called_none_is(receiver: Receiver, internet: Internet, names: NameServer) -> None:
    names.lead(NAME, ("169.254.169.254", "127.0.0.1", "::1", "fe80::1"))
    assert_refused(await sent(url_of(NAME, receiver), trust=CALLER))
    assert internet.dialled == []


async def test_why_is_said_once_where_a_name_has_several_addresses(
    receiver: Receiver, internet: Internet, names: NameServer
) -> None:
    names.lead(NAME, ("127.0.0.1", "::1"))
    outcome = await sent(url_of(NAME, receiver), trust=CALLER)
    assert_refused(outcome)
    assert internet.dialled == []
    assert outcome.message.count("is not a public address") == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_inside_is_not_followed(status: int, internet: Internet) -> None:
    async with receiving() as target, receiving(answer(status, f"Location: {target.url}\r\n")) as receiver:
        outcome = await sent(url_of(PUBLIC, receiver), trust=CALLER)
        assert (outcome.reason, target.connections) == (DeliveryReason.REDIRECT, 0)
        assert internet.dialled == [PUBLIC]
        assert (await sent(target.url)).verdict is Verdict.DELIVERED, "somebody listens there"


# The service itself


async def test_a_callers_url_does_not_lead_to_the_service_itself(tmp_path: Path, names: NameServer) -> None:
    names.lead(NAME, "127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0")
    with Service(tmp_path, {"hook-background.py": "def handler(event, context):\n    pass\n"}) as service:
        hosts = ["127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", *([NAME] * 3)]
        urls = [f"http://{host}:{service.port}/functions/hook-background" for host in hosts]
        for url in urls:
            assert_refused(await sent(url, trust=CALLER))
        assert service.items("/v1/jobs") == []
        reached = await sent(urls[0], trust=OPERATOR)
        assert (reached.verdict, reached.status) == (Verdict.DELIVERED, 202)


# Mail servers, which are dialled by the same guard


@ANY_TRUST
@pytest.mark.parametrize("form", METADATA)
async def test_a_mail_server_at_metadata(
    form: str, trust: Trust, receiver: Receiver, internet: Internet, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.lead(NAME, METADATA[form])
    for host in (METADATA[form], NAME):
        with pytest.raises(BlockedAddressError, match="link-local or metadata"):
            await connector.connect(host, receiver.port, trust)
    assert internet.dialled == []
    without_guard(monkeypatch)
    for host in (METADATA[form], NAME):
        (await connector.connect(host, receiver.port, trust)).close()
    assert [ip_address(each) for each in internet.dialled] == [ip_address(METADATA[form])] * 2


@pytest.mark.parametrize("form", METADATA)
async def test_a_plug_in_s_own_client_at_metadata(
    form: str, receiver: Receiver, internet: Internet, names: NameServer
) -> None:
    names.lead(NAME, METADATA[form])
    literal = f"[{METADATA[form]}]" if ":" in METADATA[form] else METADATA[form]
    # As docs/how-to/write-a-destination.md has it.
    mine = aiohttp.TCPConnector(socket_factory=connector.guarded(OPERATOR))
    async with aiohttp.ClientSession(connector=mine) as session:
        for host in (literal, NAME):
            with pytest.raises((OSError, aiohttp.ClientError)) as refused:
                await session.post(f"http://{host}:{receiver.port}/")
            assert failures.reason_of(refused.value) is DeliveryReason.BLOCKED_ADDRESS
            assert "link-local or metadata" in failures.sentence_of(refused.value)
    assert internet.dialled == []


@pytest.mark.parametrize("form", PRIVATE)
async def test_a_mail_server_at_a_private_address(
    form: str, receiver: Receiver, internet: Internet, names: NameServer
) -> None:
    names.lead(NAME, PRIVATE[form])
    for host in (PRIVATE[form], NAME):
        with pytest.raises(BlockedAddressError, match="allow_cidrs"):
            await connector.connect(host, receiver.port, CALLER)
    assert internet.dialled == []
    for host in (PRIVATE[form], NAME):
        (await connector.connect(host, receiver.port, OPERATOR)).close()


@ANY_TRUST
@pytest.mark.parametrize("form", [*DISGUISES, *WIDE])
async def test_a_mail_server_in_disguise(form: str, trust: Trust, receiver: Receiver) -> None:
    host = (DISGUISES | WIDE)[form]
    with pytest.raises(BlockedAddressError, match=f"{re.escape(host)} is not called"):
        await connector.connect(host, receiver.port, trust)
    assert receiver.connections == 0
