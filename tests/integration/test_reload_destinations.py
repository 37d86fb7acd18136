"""Reloads of destinations: what waits follows the new configuration, what is under way ends as it began."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from standardwebhooks import Webhook, WebhookVerificationError

from destinations.callback.settings import Settings as Callbacks
from destinations.dial.tls import Tls
from destinations.email.settings import Settings
from destinations.function import Settings as Functions
from pipeline.config.secret import Secret
from pipeline.config.settings import DestinationSettings, RetrySpec
from pipeline.services.deliveries.slots import IN_FLIGHT
from tests.support.certificates import HOST, authority_in, showing, written
from tests.support.fake_clock import FakeClock
from tests.support.mail_server import mail_server
from tests.support.receiver import OK, Received, Reply, answer, receiving
from tests.support.service import QUICK, WAITING, Service, holds, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}
TO_HOOK = {"quick-background": sends_to("hook")}
LATER = answer(503)
OLD, NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_YW5vdGhlciBzZWNyZXQgb2YgMjQgYnl0ZXM="


def gated(gate: asyncio.Event, content: bytes = OK) -> Reply:
    """Answer once the gate is open."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(content)
        await writer.drain()

    return reply


def is_signed(request: Received, secret: str) -> bool:
    try:
        Webhook(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


async def shown(service: Service, job_id: str) -> dict[str, object]:
    """Return the only delivery of a job as the API shows it."""
    (delivery,) = (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"]
    return dict(delivery)


async def test_an_end_after_the_reload_goes_to_a_destination_that_was_added(tmp_path: Path) -> None:
    async with receiving(OK) as receiver, serving(tmp_path, FILES | {"waiting-background.py": WAITING}) as service:
        before = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        settings = TO_HOOK | {"waiting-background": sends_to("hook")}
        assert await service.reload(functions=settings, destinations={"hook": webhook(receiver.url)})
        after = await service.start_job("quick-background")
        await service.until_delivered(after, "delivered")
        service.go()
        await service.until_delivered(before, "delivered")
        assert len(receiver.requests) == 2
        (destination,) = (await service.get("/v1/destinations")).json["items"]
        assert (destination["name"], destination["state"]) == ("hook", "active")


async def test_the_next_attempt_goes_to_the_current_url_under_the_current_secrets_and_policy(tmp_path: Path) -> None:
    async with receiving(LATER) as old, receiving(LATER, OK) as new:
        destinations = {"hook": webhook(old.url, waits=(60.0, 60.0, 60.0), secrets=(Secret(OLD),))}
        # Whether a signature is of this hour is held against the machine's clock.
        clock = FakeClock(datetime.now(UTC))
        async with serving(tmp_path, FILES, clock=clock, functions=TO_HOOK, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, "retrying")
            assert (await shown(service, job_id))["max_attempts"] == 4
            destinations = {"hook": webhook(new.url, waits=(10.0,), secrets=(Secret(NEW),))}
            assert await service.reload(functions=TO_HOOK, destinations=destinations)
            await service.clock.advance(75)
            await service.until_delivered(job_id, "dead", attempt=2)
            assert (await shown(service, job_id))["max_attempts"] == 2
            (request,) = new.requests
            assert is_signed(request, NEW)
            assert not is_signed(request, OLD)
            assert is_signed(old.requests[0], OLD)
        assert len(old.requests) == 1


async def test_a_sending_under_way_ends_with_the_old_destination_which_is_closed_after_it(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with receiving(gated(gate)) as old, receiving(OK) as new:
        destinations = {"hook": webhook(old.url)}
        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=destinations) as service:
            before = service.app.setup.routes["hook"].destination
            first = await service.start_job("quick-background")
            await holds(lambda: old.requests)
            assert await service.reload(functions=TO_HOOK, destinations={"hook": webhook(new.url)})
            second = await service.start_job("quick-background")
            await service.until_delivered(second, "delivered")
            assert (await shown(service, first))["state"] == "sending"
            assert before._exchange is not None  # type: ignore[attr-defined]
            gate.set()
            await service.until_delivered(first, "delivered")
            await holds(lambda: before._exchange is None)  # type: ignore[attr-defined]
        assert (len(old.requests), len(new.requests)) == (1, 1)


async def test_what_is_owed_to_a_removed_destination_is_held_until_it_returns(tmp_path: Path) -> None:
    async with receiving(LATER, OK) as receiver:
        destinations = {"hook": webhook(receiver.url, waits=(60.0,))}
        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, "retrying")
            waiting = asyncio.ensure_future(service.get(f"/v1/jobs/{job_id}?wait=60&until=settled"))
            await service.get(f"/v1/jobs/{job_id}")  # the one that waits has read, too
            assert await service.reload()
            assert (await waiting).json["deliveries"]["held"] == 1
            delivery = await shown(service, job_id)
            assert (delivery["state"], delivery["reason"], delivery["next_attempt_at"]) == (
                "held",
                "unconfigured",
                None,
            )
            (destination,) = (await service.get("/v1/destinations")).json["items"]
            assert (destination["state"], destination["held"]) == ("unconfigured", 1)

            await service.clock.advance(3600)  # it is due, and nobody sends it
            await service.until_delivered(job_id, "pending")
            assert (await shown(service, job_id))["state"] == "held"
            assert len(receiver.requests) == 1
            assert await service.reload(functions=TO_HOOK, destinations=destinations)
            await service.until_delivered(job_id, "delivered")
            assert len(receiver.requests) == 2


async def test_a_destination_that_this_service_never_had_has_what_waits_for_it_in_the_store(tmp_path: Path) -> None:
    async with receiving(LATER, OK) as receiver:
        destinations = {"hook": webhook(receiver.url, waits=(60.0,))}
        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, "retrying")
            due_at = service.clock.now() + timedelta(hours=1)
        async with serving(tmp_path, FILES) as service:
            service.clock.turn((due_at - service.clock.now()).total_seconds())
            await service.clock.advance(61)
            await service.until_delivered(job_id, "pending")
            assert await service.reload(functions=TO_HOOK, destinations=destinations)
            await service.until_delivered(job_id, "delivered")


async def test_a_sending_to_a_removed_destination_ends_and_is_recorded(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with receiving(gated(gate), gated(gate, LATER)) as receiver:
        destinations = {"hook": webhook(receiver.url, waits=(60.0,))}
        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=destinations) as service:
            jobs = [await service.start_job("quick-background") for _ in range(2)]
            await holds(lambda: len(receiver.requests) == 2)
            assert await service.reload()
            gate.set()
            ends = {(await service.until_delivered(job_id, "delivered", "retrying"))[0].state for job_id in jobs}
            assert ends == {"delivered", "retrying"}
            for job_id in jobs:
                (delivery,) = (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"]
                assert len((await service.get(f"/v1/deliveries/{delivery['id']}")).json["attempts"]) == 1


async def test_what_waited_for_a_slot_when_its_destination_went_is_given_back_unspent(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with receiving(gated(gate)) as receiver:
        destinations = {"hook": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=destinations) as service:
            async with AsyncExitStack() as others:
                for _ in range(IN_FLIGHT):
                    await others.enter_async_context(service.app.deliverer.lanes.slots.of("hook"))
                job_id = await service.start_job("quick-background")
                await service.until_delivered(job_id, "sending")
                assert await service.reload()
                (delivery,) = await service.until_delivered(job_id, "pending")
                assert (delivery.attempt, delivery.lost) == (0, 0)
            assert await service.reload(functions=TO_HOOK, destinations=destinations)
            gate.set()
            await service.until_delivered(job_id, "delivered", attempt=1)
        assert len(receiver.requests) == 1


async def test_a_destination_that_did_not_change_keeps_its_connections(tmp_path: Path) -> None:
    async with receiving(OK) as receiver, receiving(OK) as other:
        destinations = {"hook": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=destinations) as service:
            for number in range(3):
                await service.until_delivered(await service.start_job("quick-background"), "delivered")
                assert await service.reload(
                    functions=TO_HOOK, destinations=destinations | {"other": webhook(f"{other.url}&{number}")}
                )
        assert (len(receiver.requests), receiver.connections) == (3, 1)


async def test_a_destination_s_concurrency_shrinks_and_grows(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with receiving(gated(gate)) as receiver:

        def hook(concurrency: int) -> dict[str, DestinationSettings]:
            return {"hook": webhook(receiver.url, concurrency=concurrency)}

        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=hook(2)) as service:
            jobs = [await service.start_job("quick-background") for _ in range(6)]
            await holds(lambda: len(receiver.requests) == 2)
            for job_id in jobs:
                await service.until(job_id, "succeeded")
            assert await service.reload(functions=TO_HOOK, destinations=hook(1))
            assert len(receiver.requests) == 2
            assert await service.reload(functions=TO_HOOK, destinations=hook(5))
            await holds(lambda: len(receiver.requests) == 5)
            gate.set()
            for job_id in jobs:
                await service.until_delivered(job_id, "delivered")
        assert len(receiver.requests) == 6


async def test_a_template_is_read_anew(tmp_path: Path) -> None:
    template = tmp_path / "mail.txt"
    template.write_text("before")
    async with mail_server() as server:
        mail = Settings(
            smtp=f"smtp://127.0.0.1:{server.port}", from_="s@example.com", to=("a@example.com",), text_file=template
        )
        destinations = {"hook": DestinationSettings(name="", kind="email", options=mail)}
        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=destinations) as service:
            await service.until_delivered(await service.start_job("quick-background"), "delivered")
            template.write_text("after")
            assert await service.reload(functions=TO_HOOK, destinations=destinations)
            await service.until_delivered(await service.start_job("quick-background"), "delivered")
        assert [str(mail.get_payload()).strip() for _, _, mail in server.envelopes] == ["before", "after"]


async def test_certificates_are_read_anew_though_the_yaml_stays_as_it_is(tmp_path: Path) -> None:
    authority, next_one, clients = trustme.CA(), trustme.CA(), trustme.CA()
    names: list[object] = []

    async def reply(writer: asyncio.StreamWriter) -> None:
        names.append(writer.get_extra_info("peercert")["subjectAltName"][0][1])
        writer.write(OK)

    files = written(clients.issue_cert("old@example.com"), tmp_path)
    tls = Tls(ca=authority_in(tmp_path, authority), certificate=files.certificate, key=files.key)
    context = showing(authority.issue_cert(HOST), asks_by=clients)
    async with receiving(reply, tls=context) as receiver:
        destinations = {"hook": webhook(receiver.url, waits=(60.0,), tls=tls)}
        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=destinations) as service:
            await service.until_delivered(await service.start_job("quick-background"), "delivered")
            route = service.app.setup.routes["hook"]
            assert await service.reload(functions=TO_HOOK, destinations=destinations)
            assert service.app.setup.routes["hook"] is route, "nothing has changed, and its connections are kept"
            written(clients.issue_cert("new@example.com"), tmp_path)
            assert await service.reload(functions=TO_HOOK, destinations=destinations)
            await service.until_delivered(await service.start_job("quick-background"), "delivered")
            assert names == ["old@example.com", "new@example.com"]
            files.key.write_bytes(b"none any more")
            before = service.app.setup
            assert not await service.reload(functions=TO_HOOK, destinations=destinations)
            assert service.app.setup is before
            written(clients.issue_cert("new@example.com"), tmp_path)
            authority_in(tmp_path, next_one)
            assert await service.reload(functions=TO_HOOK, destinations=destinations)
            untrusted = await service.start_job("quick-background")
            await service.until_delivered(untrusted, "retrying")
            assert (await error_of(service, untrusted))["class"] == "tls_error"


async def error_of(service: Service, job_id: str) -> dict[str, object]:
    """Return the last error of the only delivery of a job."""
    error = (await shown(service, job_id))["last_error"]
    assert isinstance(error, dict)
    return error


async def test_a_destination_that_cannot_be_opened_is_a_fault_and_nothing_changes(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        destinations = {"hook": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=destinations) as service:
            before = service.app.setup
            mail = Settings(
                smtp="smtp://localhost", from_="s@a.example", to=("a@a.example",), ca_file=tmp_path / "none"
            )
            broken = DestinationSettings(name="", kind="email", options=mail)
            assert not await service.reload(
                {"new.py": QUICK}, destinations={"other": webhook(receiver.url), "broken": broken}
            )
            assert service.app.setup is before
            assert (await service.post("/functions/new")).status == 404
            await service.until_delivered(await service.start_job("quick-background"), "delivered")


class Incomparable(dict[str, Secret]):
    """Part of settings that break once they are compared, as those of a plug-in may."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        raise self._error


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"rate": "44100"}),
        ({}, {"breaker": True}),
        ({}, {"disable_after": "never"}),
        ({}, {"retry": RetrySpec(waits=("1s",))}),  # type: ignore[arg-type]
        ({"headers": Incomparable(ZeroDivisionError())}, {}),
        ({"headers": Incomparable(SystemExit(3))}, {}),
    ],
)
async def test_a_reload_is_all_or_nothing_whatever_settings_are(
    tmp_path: Path, before: dict[str, object], after: dict[str, object]
) -> None:
    async with receiving(OK) as receiver:
        destinations = {"hook": webhook(receiver.url, **before)}
        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=destinations) as service:
            setup = service.app.setup
            destinations = {"hook": webhook(f"{receiver.url}/new", **after), "other": webhook(receiver.url)}
            assert not await service.reload({"new.py": QUICK}, destinations=destinations)
            assert service.app.setup is setup
            assert (await service.post("/functions/new")).status == 404
            await service.until_delivered(await service.start_job("quick-background"), "delivered")
            assert len(receiver.requests) == 1


async def test_a_retry_policy_that_changed_counts_for_what_is_open(tmp_path: Path) -> None:
    async with receiving(LATER) as receiver:
        destinations = {"hook": webhook(receiver.url, waits=(60.0,))}
        async with serving(tmp_path, FILES, functions=TO_HOOK, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, "retrying")
            longer = {"hook": webhook(receiver.url, retry=RetrySpec(waits=(1.0, 1.0, 500.0)))}
            assert await service.reload(functions=TO_HOOK, destinations=longer)
            await service.clock.advance(75)
            (delivery,) = await service.until_delivered(job_id, "retrying", attempt=2)
            assert delivery.max_attempts == 4


@pytest.mark.parametrize("back", [False, True])
async def test_what_was_owed_to_the_urls_of_callers_goes_to_nobody_else(tmp_path: Path, back: bool) -> None:
    async with receiving(OK) as named, receiving(OK) as other:
        called = DestinationSettings(name="", kind="callback", options=Callbacks(allow_hosts=("127.0.0.1",)))
        replaced = {"hooks": webhook(other.url, waits=(60.0,))}
        async with serving(tmp_path, {"waiting-background.py": WAITING}, destinations={"hooks": called}) as service:
            job_id = await service.start_job("waiting-background", headers={"X-Callback-Url": named.url})
            assert await service.reload(destinations=replaced)
            service.go(job_id)
            (delivery,) = await service.until_delivered(job_id, "retrying")
            assert delivery.last_error is not None
            assert delivery.last_error.message == (
                "it was made for a destination of the type callback, and hooks is of the type webhook now"
            )
            assert (await service.get("/v1/destinations/hooks")).json["state"] == "active"
            if back:
                assert await service.reload(destinations={"hooks": called})
                await service.clock.advance(80)
                await service.until_delivered(job_id, "delivered", attempt=2)
            else:
                await service.clock.advance(80)
                await service.until_delivered(job_id, "dead", attempt=2)
            assert len(named.requests) == int(back)
        assert other.requests == []


async def test_what_was_owed_to_a_webhook_goes_to_the_function_that_it_has_become(tmp_path: Path) -> None:
    files = FILES | {"next-background.py": QUICK}
    async with receiving(answer(500)) as receiver:
        destinations = {"hook": webhook(receiver.url, waits=(60.0,))}
        async with serving(tmp_path, files, functions=TO_HOOK, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, "retrying")
            handed = DestinationSettings(name="", kind="function", options=Functions(function="next-background"))
            assert await service.reload(functions=TO_HOOK, destinations={"hook": handed})
            await service.clock.advance(80)
            await service.until_delivered(job_id, "delivered", attempt=2)
            children = (await service.get(f"/v1/jobs?parent={job_id}")).json["items"]
            assert [child["function"] for child in children] == ["next-background"]
