"""Callbacks on the wire: each URL judged when it is called, whatever leads there; many hosts, and few connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from destinations.callback.destination import Callback
from destinations.callback.settings import OF_ONE_RECEIVER, Settings, settings_of, warn
from destinations.dial import exchanges
from destinations.dial.exchange import Exchange
from destinations.registry import builtin_kinds
from pipeline.config.secret import Secret
from pipeline.config.settings import DestinationSettings, RetrySpec
from pipeline.model import DeliveryReason, Outcome, Verdict
from schemas import load_schema
from tests.contract.test_blocked_addresses import DISGUISES, METADATA, PRIVATE, PUBLIC, PUBLIC_V6, WIDE, ZONES, url_of
from tests.support.internet import Internet
from tests.support.names import NameServer
from tests.support.receiver import OK, answer, receiving
from tests.support.service import QUICK, Service, serving
from tests.support.webhooks import sending

NAME = "innocent.example"
FILES = {"quick-background.py": QUICK}
ONCE = RetrySpec(waits=())
CLOSES = answer(200, "Connection: close\r\n")


@asynccontextmanager
async def opened(*hosts: str, **settings: Any) -> AsyncIterator[Callback]:
    destination = Callback("back", Settings(allow_hosts=hosts, **settings))
    await destination.open()
    try:
        yield destination
    finally:
        await destination.close()


async def sent(destination: Callback, url: str, **changes: Any) -> Outcome:
    return await destination.send(replace(sending(**changes), recipient=url))


def assert_refused(outcome: Outcome) -> None:
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.BLOCKED_ADDRESS)
    assert (outcome.status, outcome.remote_address) == (None, None)


# Through the whole service: refused as it is named, or as it is called; and reached where it is allowed


def served(folder: Path, *hosts: str, **settings: Any) -> Any:
    options = Settings(allow_hosts=hosts, retry=ONCE, **settings)
    return serving(folder, FILES, destinations={"back": DestinationSettings(name="", kind="callback", options=options)})


async def named(service: Service, url: str) -> int:
    return (await service.post("/functions/quick-background", headers={"X-Callback-Url": url})).status


async def called(service: Service, url: str) -> str | None:
    """Have a job name the URL; return the class of its error, None where it was delivered."""
    job_id = await service.start_job("quick-background", headers={"X-Callback-Url": url})
    (delivery,) = await service.until_delivered(job_id, "dead", "delivered")
    return None if delivery.last_error is None else str(delivery.last_error.reason)


async def test_no_form_of_an_inner_address_can_be_named(tmp_path: Path) -> None:
    forms = [*METADATA.values(), *PRIVATE.values(), *DISGUISES.values(), *WIDE.values(), *ZONES]
    forms += [zone.replace("%", "%25") for zone in ZONES]
    async with receiving(CLOSES) as receiver, served(tmp_path, "*") as service:
        for form in forms:
            assert await named(service, url_of(form, receiver)) == 400, form
        assert await named(service, service.url + "/functions/quick-background") == 400, "its own port"
        assert (await service.get("/v1/jobs")).json["items"] == []
        assert receiver.connections == 0
    async with receiving(CLOSES) as receiver, served(tmp_path / "vouched", "127.0.0.1") as service:
        assert await called(service, url_of("127.0.0.1", receiver)) is None, "somebody listens there"


async def test_a_name_that_leads_inside_is_not_called(tmp_path: Path, internet: Internet, names: NameServer) -> None:
    inside = {f"n{number}.example": to for number, to in enumerate([*METADATA.values(), *PRIVATE.values()])}
    for name, address in inside.items():
        names.lead(name, address)
    names.lead(NAME, PUBLIC)
    async with receiving(CLOSES) as receiver:
        async with served(tmp_path, "*") as service:
            for name, address in inside.items():
                assert await called(service, url_of(name, receiver)) == "blocked_address", address
            assert receiver.connections == 0
            assert await called(service, url_of(NAME, receiver)) is None
        async with served(tmp_path / "vouched", *inside) as service:
            for name, address in inside.items():
                reason = None if address in PRIVATE.values() else "blocked_address"
                assert await called(service, url_of(name, receiver)) == reason, address
        async with served(tmp_path / "network", "*.example", allow_cidrs=("10.0.0.0/8",)) as service:
            for name, address in inside.items():
                is_within = address == "10.0.0.1"
                assert await called(service, url_of(name, receiver)) == (None if is_within else "blocked_address")


async def test_the_service_itself_is_not_called_by_a_name(
    tmp_path: Path, internet: Internet, names: NameServer
) -> None:
    names.lead(NAME, "127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0")
    async with served(tmp_path, "*") as service:
        port = service.app.config.service.port
        for _ in range(3):
            assert await called(service, f"http://{NAME}:{port}/functions/quick-background") == "blocked_address"
        assert len((await service.get("/v1/jobs")).json["items"]) == 3
    async with served(tmp_path / "vouched", "127.0.0.1") as service:
        port = service.app.config.service.port
        assert await called(service, f"http://127.0.0.1:{port}/functions/quick-background") is None
        assert len((await service.get("/v1/jobs")).json["items"]) == 2, "the job, and what its callback made"


# What changes between the judgement and the call


@pytest.mark.parametrize("inside", ["127.0.0.1", "169.254.169.254", "::1", "64:ff9b::a9fe:a9fe"])
async def test_a_name_that_leads_inside_once_it_was_judged(inside: str, internet: Internet, names: NameServer) -> None:
    names.lead(NAME, (PUBLIC, PUBLIC_V6), inside)
    async with receiving(CLOSES) as receiver, opened("*") as destination:
        url = url_of(NAME, receiver)
        assert (await sent(destination, url)).verdict is Verdict.DELIVERED
        kept = destination._exchanges
        assert kept is not None
        async with kept.to(next(iter(kept._kept))) as exchange:
            exchange._connector.clear_dns_cache()
        assert_refused(await sent(destination, url))
        assert {*internet.dialled} <= {PUBLIC, PUBLIC_V6}
        assert receiver.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_inside_is_not_followed(status: int, internet: Internet) -> None:
    async with receiving() as target, receiving(answer(status, f"Location: {target.url}\r\n")) as receiver:
        async with opened("*") as destination:
            outcome = await sent(destination, url_of(PUBLIC, receiver))
        assert (outcome.reason, target.connections) == (DeliveryReason.REDIRECT, 0)
        assert internet.dialled == [PUBLIC]


async def test_a_vouched_host_lends_no_trust_to_another_on_the_same_port(internet: Internet) -> None:
    async with receiving(OK) as receiver, opened(f"127.0.0.1:{receiver.port}", "*") as destination:
        assert (await sent(destination, url_of("127.0.0.1", receiver))).verdict is Verdict.DELIVERED
        for host in ("127.0.0.2", "10.0.0.1", "169.254.169.254"):
            assert_refused(await sent(destination, url_of(host, receiver)))
        assert_refused(await sent(destination, "http://127.0.0.1:1/"))
        assert internet.dialled == ["127.0.0.1"]


@pytest.mark.parametrize("recipient", ["", "ops@example.com", "https://u:p@a.example/", "https://[::1]x/"])
async def test_a_recipient_that_is_no_url_is_a_failed_attempt(recipient: str) -> None:
    async with opened("*") as destination:
        assert_refused(await sent(destination, recipient))


# Many receivers


async def test_urls_of_one_host_share_its_connections() -> None:
    async with receiving(OK) as receiver, opened("127.0.0.1") as destination:
        assert (await sent(destination, f"http://127.0.0.1:{receiver.port}")).verdict is Verdict.DELIVERED
        assert (await sent(destination, f"http://127.0.0.1:{receiver.port}?a")).verdict is Verdict.DELIVERED
        assert (await sent(destination, f"http://127.0.0.1:{receiver.port}/b?#c?d")).verdict is Verdict.DELIVERED
        assert [request.path for request in receiver.requests] == ["/", "/?a", "/b?"]
        for number in range(20):
            url = f"http://127.0.0.1:{receiver.port}/{number}//%41/../b?t={number}&u=%2f+'#end"
            assert (await sent(destination, url)).verdict is Verdict.DELIVERED
        assert receiver.connections == 1
        assert [request.path for request in receiver.requests][-1] == "/19//%41/../b?t=19&u=%2f+'", "as it was named"


async def test_many_hosts_keep_few_connections_open(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "KEPT", 5)
    async with receiving(OK) as receiver:
        async with opened("*", connect_timeout=60.0, timeout=60.0) as destination:
            kept = destination._exchanges
            assert kept is not None
            for start in range(1, 200, 20):
                hosts = [f"93.184.215.{number}" for number in range(start, start + 20)]
                outcomes = await asyncio.gather(*(sent(destination, url_of(host, receiver)) for host in hosts))
                assert {(outcome.verdict, outcome.message) for outcome in outcomes} == {(Verdict.DELIVERED, "")}
                assert len(kept._kept) == 5
            assert len(receiver.requests) == receiver.connections == len({*internet.dialled}) == 200
            async with asyncio.timeout(10):
                while len(receiver.open) > 5:
                    await asyncio.sleep(0.005)
            again = url_of("93.184.215.200", receiver)
            assert (await sent(destination, again)).verdict is Verdict.DELIVERED
            assert receiver.connections == 200, "the one used last is kept"
        await receiver.abandoned()


async def test_an_exchange_in_use_is_not_closed_by_others(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "KEPT", 1)
    go = asyncio.Event()

    async def when_told(writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(OK)

    async with receiving(when_told) as slow, receiving(OK) as receiver, opened("*") as destination:
        waiting = asyncio.ensure_future(sent(destination, url_of(PUBLIC, slow)))
        async with asyncio.timeout(10):
            while not slow.requests:
                await asyncio.sleep(0.005)
        for number in range(1, 6):
            outcome = await sent(destination, url_of(f"93.184.215.{number}", receiver))
            assert outcome.verdict is Verdict.DELIVERED
        go.set()
        assert (await waiting).verdict is Verdict.DELIVERED


async def test_one_that_does_not_close_costs_no_request_and_keeps_no_other_open(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanges, "KEPT", 1)
    closed: list[Exchange] = []
    close = Exchange.close

    async def closes_badly(exchange: Exchange) -> None:
        closed.append(exchange)
        await close(exchange)
        raise OSError("it does not close")

    monkeypatch.setattr(Exchange, "close", closes_badly)
    async with receiving(OK) as receiver:
        async with opened("*") as destination:
            for number in range(1, 5):
                outcome = await sent(destination, url_of(f"93.184.215.{number}", receiver))
                assert outcome.verdict is Verdict.DELIVERED
            assert len(receiver.requests) == 4
        assert len({*closed}) == len(closed) == 4
        await receiver.abandoned()


async def without_tls(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(CLOSES)
    writer.close()


async def test_a_name_that_cannot_be_decoded_is_called_as_it_is_written(internet: Internet, names: NameServer) -> None:
    for name in ("xn--a", "xn--a.example", "xn--bcher-kva.example"):
        names.lead(name, PUBLIC)
    async with receiving(CLOSES) as receiver, opened("*") as destination:
        for name in ("xn--a.example", "xn--bcher-kva.example", "XN--A.example"):
            outcome = await sent(destination, url_of(name, receiver))
            assert (outcome.verdict, outcome.message) == (Verdict.DELIVERED, "")
        assert [request.headers["host"] for request in receiver.requests] == [
            f"{name}:{receiver.port}" for name in ("xn--a.example", "xn--bcher-kva.example", "xn--a.example")
        ]
        async with await asyncio.start_server(without_tls, "127.0.0.1", 0) as server:
            by_tls = await sent(destination, f"https://xn--a.example:{server.sockets[0].getsockname()[1]}/")
        assert by_tls.reason is DeliveryReason.TLS_ERROR
        unknown = await sent(destination, "https://xn--b/")
        assert (unknown.verdict, unknown.reason) == (Verdict.TEMPORARY, DeliveryReason.DNS_ERROR)
        assert "xn--b" in unknown.message


@pytest.mark.parametrize("query", ["S3CRETS3CRET#x", "t=S3CRETS3CRET", "%533CRETS3CRET", "t=%533CRETS3CRET&u=1#x"])
async def test_a_receiver_that_repeats_the_query_does_not_show_it(query: str) -> None:
    echo = answer(404, "X-Seen: S3CRETS3CRET\r\n", b"no " + query.partition("#")[0].encode() + b" or S3CRETS3CRET")
    async with receiving(echo) as receiver, opened("127.0.0.1") as destination:
        outcome = await sent(destination, f"http://127.0.0.1:{receiver.port}/?{query}")
    assert outcome.body == b"no *** or ***"
    assert ("x-seen", "***") in [(name.lower(), value) for name, value in outcome.headers]


# Settings


def test_its_settings_are_a_webhooks_less_those_of_one_receiver_and_follow_them() -> None:
    kinds = builtin_kinds()
    shared = set(kinds["webhook"].schema["properties"]) - OF_ONE_RECEIVER
    own = set(load_schema("callback")["properties"])
    assert set(kinds["callback"].schema["properties"]) == shared | own
    assert {field.name for field in fields(Settings)} - OF_ONE_RECEIVER == shared | own
    settings = settings_of({"allow_hosts": ["*"]})
    for name, option in load_schema("callback")["properties"].items():
        if "default" in option:
            assert option["default"] == (list(value) if isinstance(value := getattr(settings, name), tuple) else value)
    assert (settings.breaker, settings.disable_after) == (None, None)


@pytest.mark.parametrize("option", ["url", "breaker", "disable_after", "on_410"])
def test_what_speaks_of_one_receiver_is_not_known_and_not_told_as_known(option: str) -> None:
    assert option not in builtin_kinds()["callback"].schema["properties"]
    assert f"`{option}`" in load_schema("callback")["description"]


def test_what_cannot_work_or_is_shown_to_all_is_a_warning() -> None:
    names = ["Authorization", "proxy-authorization", "Cookie", "X-API-Key"]
    headers = {name: Secret("Bearer hunter2") for name in names} | {"X-Own": Secret("1")}
    hosts = ["a.example", "169.254.169.254", "10.0.0.1"]
    found = dict(warn(settings_of({"allow_hosts": hosts, "headers": headers, "signature": "github"}), frozenset()))
    assert list(found) == ["allow_hosts[1]", *(f"headers.{name}" for name in names), "signature"]
    assert "hunter2" not in str(found)
