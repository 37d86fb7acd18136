"""Names that lead nowhere, late, or astray: a name server on a real socket says what it should not, or nothing."""

import asyncio

import pytest

from destinations import egress
from destinations.dial import connector
from destinations.dial.failures import UnknownHostError
from pipeline.model import DeliveryReason, Verdict
from tests.support.names import CODES, SILENCE, NameServer, ask, closed_port
from tests.support.receiver import receiving
from tests.support.webhooks import SHORT_S, exchange_of, opened, sending, sent

NAME = "receiver.example"
URL = f"http://{NAME}/"


async def test_a_name_that_leads_to_a_receiver_is_called(names: NameServer) -> None:
    names.lead(NAME, "127.0.0.1")
    async with receiving() as receiver:
        assert (await sent(f"http://{NAME}:{receiver.port}/")).verdict is Verdict.DELIVERED
    assert names.asked[NAME] == 1


@pytest.mark.parametrize("answer", [*CODES, "empty", "garbage"])
async def test_a_name_without_an_address_is_a_dns_error(answer: str, names: NameServer) -> None:
    names.lead(NAME, answer)
    async with asyncio.timeout(20):
        outcome = await sent(URL)
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.DNS_ERROR)
    assert outcome.message.startswith(f"{NAME} cannot be looked up: ")
    assert (outcome.status, outcome.retry_after_s) == (None, None)
    assert names.asked[NAME]


async def test_a_name_server_that_is_not_there_is_a_dns_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, closed_port())
    async with asyncio.timeout(20):
        outcome = await sent(URL)
    assert outcome.reason is DeliveryReason.DNS_ERROR
    assert NAME in outcome.message


@pytest.mark.parametrize("settings", [{"connect_timeout": SHORT_S}, {"timeout": SHORT_S}], ids=["connect", "all"])
async def test_a_name_that_is_told_too_late_is_a_dns_error_that_says_so(
    settings: dict[str, float], names: NameServer
) -> None:
    names.lead(NAME, SILENCE)
    async with asyncio.timeout(20):
        outcome = await sent(URL, **settings)
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.DNS_ERROR)
    assert outcome.message == f"{NAME} was not looked up within {SHORT_S:g} s"


async def test_once_a_name_leads_somewhere_again_it_is_called(names: NameServer) -> None:
    names.lead(NAME, "nxdomain")
    async with receiving() as receiver, opened(f"http://{NAME}:{receiver.port}/") as destination:
        assert (await destination.send(sending())).reason is DeliveryReason.DNS_ERROR
        names.lead(NAME, "127.0.0.1")
        assert (await destination.send(sending())).verdict is Verdict.DELIVERED


async def test_many_that_wait_for_one_look_up_all_end_with_it(names: NameServer) -> None:
    names.lead(NAME, SILENCE)
    async with opened(URL, connect_timeout=SHORT_S) as destination, asyncio.timeout(20):
        outcomes = await asyncio.gather(*(destination.send(sending()) for _ in range(5)))
        assert {outcome.reason for outcome in outcomes} == {DeliveryReason.DNS_ERROR}
        assert not exchange_of(destination)._idle
    assert names.asked[NAME] == 1


@pytest.mark.parametrize("answer", ["nxdomain", "servfail", "empty"])
async def test_a_mail_server_without_an_address_is_unknown_too(answer: str, names: NameServer) -> None:
    names.lead(NAME, answer)
    with pytest.raises(UnknownHostError, match=f"{NAME} cannot be looked up: "):
        await connector.connect(NAME, 25, egress.OPERATOR)
