"""Alerts: what operators are told of a destination that fails, once, in good time, and of its recovery."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from destinations.email.settings import Settings
from pipeline.config.settings import BreakerSpec, DestinationSettings, RetrySpec
from tests.support import shapes
from tests.support.fake_clock import START, FakeClock
from tests.support.mail_server import mail_server
from tests.support.receiver import OK, Received, Receiver, answer, receiving
from tests.support.service import QUICK, Service, eventually, holds, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}
DOWN, TOO_LARGE, GONE = answer(500), answer(413), answer(410)
HOUR = 3600.0


def options(hook: Receiver, *oncall: Receiver, **changes: Any) -> dict[str, Any]:
    """Return a service that sends to `hook`, whose breaker opens at the first failure, and alerts to the others."""
    settings = {"breaker": BreakerSpec(failures=1, deliveries=1), "waits": (1.0,) * 9, **changes}
    names = ["oncall", "second"][: len(oncall)]
    return {
        "functions": {"quick-background": sends_to("hook")},
        "destinations": {
            "hook": webhook(hook.url, **settings),
            **{name: webhook(each.url, breaker=None) for name, each in zip(names, oncall, strict=True)},
        },
        "alerts": names,
    }


def told(receiver: Receiver) -> list[str]:
    """Return the types of what a receiver was told."""
    return [orjson.loads(each.body)["type"].removeprefix("destination.") for each in receiver.requests]


def alert_of(request: Received) -> Any:
    """Return an alert as it was sent; it has the shape of a message."""
    body = orjson.loads(request.body)
    shapes.check("message", body)
    assert request.headers["x-sendoff-alert-id"] == body["data"]["alert"]["id"]
    assert not {"x-sendoff-job-id", "x-function-name", "x-call-id"} & request.headers.keys()
    return body["data"]["alert"]


async def test_a_dead_delivery_is_told_with_its_cause(tmp_path: Path) -> None:
    async with (
        receiving(TOO_LARGE) as hook,
        receiving(OK) as oncall,
        serving(tmp_path, FILES, **options(hook, oncall)) as service,
    ):
        job_id = await service.start_job("quick-background")
        (dead,) = await service.until_delivered(job_id, "dead")
        await holds(lambda: told(oncall) == ["dead_delivery"])
        alert = alert_of(oncall.requests[0])
        assert (alert["destination"], alert["kind"], alert["delivery_id"]) == ("hook", "webhook", dead.id)
        assert alert["because"].startswith("a delivery of job.succeeded is dead after 1 attempt; the last one: ")
        assert "413" in alert["because"]
        assert alert["links"]["delivery"].endswith(f"/v1/deliveries/{dead.id}")

        (listed,) = (await service.get("/v1/deliveries?destination=oncall")).json["items"]
        assert (listed["type"], listed["job_id"], listed["batch_id"]) == ("destination.dead_delivery", None, None)
        shown = (await service.get(f"/v1/deliveries/{listed['id']}")).json
        assert shown["links"].keys() == {"self"}


async def test_what_a_clock_that_was_ahead_told_keeps_nothing_from_being_told(tmp_path: Path) -> None:
    async with receiving(TOO_LARGE) as hook, receiving(OK) as oncall:
        settings = options(hook, oncall)
        async with serving(tmp_path, FILES, clock=FakeClock(START + timedelta(days=365)), **settings) as service:
            await service.until_delivered(await service.start_job("quick-background"), "dead")
            await holds(lambda: told(oncall) == ["dead_delivery"])
        async with serving(tmp_path, FILES, **settings) as service:
            await service.until_delivered(await service.start_job("quick-background"), "dead")
            await holds(lambda: told(oncall) == ["dead_delivery"] * 2)
            await service.until_delivered(await service.start_job("quick-background"), "dead")
            await service.clock.advance(60)
            assert len(told(oncall)) == 2  # and from then on once an hour


async def test_the_same_is_told_once_an_hour_and_the_first_stands_for_the_others(tmp_path: Path) -> None:
    async with (
        receiving(TOO_LARGE) as hook,
        receiving(OK) as oncall,
        serving(tmp_path, FILES, **options(hook, oncall)) as service,
    ):
        jobs = [await service.start_job("quick-background") for _ in range(20)]
        for job_id in jobs:
            await service.until_delivered(job_id, "dead")
        await holds(lambda: told(oncall) == ["dead_delivery"])
        await service.clock.advance(HOUR - 1)
        assert len(oncall.requests) == 1
        await service.clock.advance(2)
        await holds(lambda: told(oncall) == ["dead_delivery"] * 2)
        second = alert_of(oncall.requests[1])
        deliveries = [(await service.until_delivered(job_id, "dead"))[0].id for job_id in jobs]
        assert second["delivery_id"] in deliveries
        assert orjson.loads(oncall.requests[1].body)["timestamp"] < "2026-01-05T12:01"  # when it came about
        await service.clock.advance(3 * HOUR)
        assert len(oncall.requests) == 2


async def test_failing_and_recovery_are_told(tmp_path: Path) -> None:
    async with (
        receiving(DOWN, DOWN, OK) as hook,
        receiving(OK) as oncall,
        serving(tmp_path, FILES, **options(hook, oncall)) as service,
    ):
        job_id = await service.start_job("quick-background")
        await holds(lambda: told(oncall) == ["breaker_opened"])
        assert alert_of(oncall.requests[0])["because"].endswith(
            "05T12:00:00.000Z, the last one: http_error (answered 500)"
        )
        await service.clock.advance(31)
        await service.until_delivered(job_id, "retrying", attempt=2)
        assert told(oncall) == ["breaker_opened"]
        await service.clock.advance(61)
        await service.until_delivered(job_id, "delivered")
        await holds(lambda: told(oncall) == ["breaker_opened", "recovered"])


async def test_what_is_over_before_it_may_be_told_again_is_not_told(tmp_path: Path) -> None:
    async with (
        receiving(DOWN, OK, DOWN, OK) as hook,
        receiving(OK) as oncall,
        serving(tmp_path, FILES, **options(hook, oncall)) as service,
    ):
        for _ in range(2):
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, "retrying")
            await service.clock.advance(31)
            await service.until_delivered(job_id, "delivered")
        await service.clock.advance(3 * HOUR)
        await holds(lambda: told(oncall) == ["breaker_opened", "recovered"])


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_what_is_not_over_is_told_when_the_hour_is(tmp_path: Path, is_restarted: bool) -> None:
    async with receiving(DOWN, OK, DOWN) as hook, receiving(OK) as oncall:
        settings, clock = options(hook, oncall), FakeClock()
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            first = await service.start_job("quick-background")
            await service.until_delivered(first, "retrying")
            await holds(lambda: told(oncall) == ["breaker_opened"])
            await clock.advance(31)
            await service.until_delivered(first, "delivered")
            await holds(lambda: told(oncall) == ["breaker_opened", "recovered"])
            await service.until_delivered(await service.start_job("quick-background"), "retrying")
            await clock.advance(31)
            assert told(oncall) == ["breaker_opened", "recovered"]
            if not is_restarted:
                await clock.advance(HOUR)
                await holds(lambda: told(oncall) == ["breaker_opened", "recovered", "breaker_opened"])
        async with serving(tmp_path, FILES, clock=clock, **settings):
            await clock.advance(HOUR)
            await holds(lambda: told(oncall) == ["breaker_opened", "recovered", "breaker_opened"])


async def test_disabling_is_told_and_after_a_resume_the_recovery(tmp_path: Path) -> None:
    async with (
        receiving(GONE, OK) as hook,
        receiving(OK) as oncall,
        serving(tmp_path, FILES, **options(hook, oncall)) as service,
    ):
        await service.until_delivered(await service.start_job("quick-background"), "dead")
        await holds(lambda: sorted(told(oncall)) == ["dead_delivery", "disabled"])
        await service.post("/v1/destinations/hook/resume")
        await service.until_delivered(await service.start_job("quick-background"), "delivered")
        await holds(lambda: sorted(told(oncall)) == ["dead_delivery", "disabled", "recovered"])


async def test_of_itself_a_destination_is_told_nothing_but_others_are(tmp_path: Path) -> None:
    async with (
        receiving(TOO_LARGE) as hook,
        receiving(TOO_LARGE) as oncall,
        receiving(OK) as second,
        serving(tmp_path, FILES, **options(hook, oncall, second)) as service,
    ):
        await service.until_delivered(await service.start_job("quick-background"), "dead")
        await holds(lambda: len(second.requests) == 2)
        about = [alert_of(each)["destination"] for each in second.requests]
        assert about == ["hook", "oncall"]  # the alert about the first died at oncall
        assert [alert_of(each)["destination"] for each in oncall.requests] == ["hook"]


async def test_what_is_to_be_told_and_when_it_was_told_outlive_a_restart(tmp_path: Path) -> None:
    async with receiving(DOWN, OK, DOWN, OK) as hook, receiving(OK) as oncall:
        settings, clock = options(hook, oncall), FakeClock()
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            await until_over(service, clock)
            await holds(lambda: told(oncall) == ["breaker_opened", "recovered"])
            await service.until_delivered(await service.start_job("quick-background"), "retrying")
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            await clock.advance(1)
            assert len(oncall.requests) == 2
            await clock.advance(31)
            await holds(lambda: len(hook.requests) == 4)  # it is over before it was told
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            await clock.advance(2 * HOUR)
            assert len(oncall.requests) == 2


async def until_over(service: Service, clock: FakeClock) -> None:
    job_id = await service.start_job("quick-background")
    await service.until_delivered(job_id, "retrying")
    await clock.advance(31)
    await service.until_delivered(job_id, "delivered")


async def test_a_recovery_after_a_restart_is_told(tmp_path: Path) -> None:
    async with receiving(DOWN, OK) as hook, receiving(OK) as oncall:
        settings, clock = options(hook, oncall), FakeClock()
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            job_id = await service.start_job("quick-background")
            await holds(lambda: told(oncall) == ["breaker_opened"])
        async with serving(tmp_path, FILES, clock=clock, **settings) as service:
            await clock.advance(31)
            await service.until_delivered(job_id, "delivered")
            await holds(lambda: told(oncall) == ["breaker_opened", "recovered"])


async def test_without_alerts_nothing_is_kept_for_later(tmp_path: Path) -> None:
    async with receiving(TOO_LARGE) as hook, receiving(OK) as oncall:
        settings = options(hook, oncall)
        async with serving(tmp_path, FILES, **{**settings, "alerts": ()}) as service:
            await service.until_delivered(await service.start_job("quick-background"), "dead")
            assert await service.reload(**settings)
            await service.clock.advance(2 * HOUR)
            assert oncall.requests == []
            await service.until_delivered(await service.start_job("quick-background"), "dead")
            await holds(lambda: told(oncall) == ["dead_delivery"])


async def test_an_overdue_delivery_that_nobody_tried_is_told(tmp_path: Path) -> None:
    async with receiving(DOWN) as hook, receiving(OK) as oncall:
        retry = RetrySpec(waits=(1.0,) * 9, max_age=40.0)
        settings = options(hook, oncall, waits=None, retry=retry)
        async with serving(tmp_path, FILES, **settings) as service:
            job_id = await service.start_job("quick-background")
            await holds(lambda: told(oncall) == ["breaker_opened"])
            for _ in range(4):
                await service.clock.advance(31)
            await service.until_delivered(job_id, "dead")
            await holds(lambda: told(oncall) == ["breaker_opened", "dead_delivery"])


async def test_alerts_go_with_their_retention(tmp_path: Path) -> None:
    async with (
        receiving(TOO_LARGE) as hook,
        receiving(OK) as oncall,
        serving(tmp_path, FILES, **options(hook, oncall)) as service,
    ):
        await service.until_delivered(await service.start_job("quick-background"), "dead")
        (alert,) = await eventually(lambda: alerts(service))
        await service.clock.advance(29 * 24 * HOUR)
        assert (await service.get(f"/v1/deliveries/{alert}")).status == 200
        await service.clock.advance(3 * 24 * HOUR)
        await service.app.pruner.sweep()
        assert (await service.get(f"/v1/deliveries/{alert}")).status in (404, 410)
        assert len(await service.app.store.list_deliveries(before=None, most=9)) == 1  # the dead one's own, 90 d


async def alerts(service: Service) -> list[str] | None:
    """Return the alerts that were delivered, by the ids of their deliveries."""
    found = await service.app.store.list_deliveries(before=None, most=9, destination="oncall")
    return [each.id for each in found if each.state == "delivered"] or None


async def test_an_alert_is_mailed(tmp_path: Path) -> None:
    async with mail_server() as server, receiving(GONE) as hook:
        oncall = Settings(smtp=f"smtp://127.0.0.1:{server.port}", from_="s@example.com", to=("a@example.com",))
        settings = options(hook)
        settings["destinations"]["oncall"] = DestinationSettings(name="", kind="email", options=oncall)
        async with serving(tmp_path, FILES, **{**settings, "alerts": ["oncall"]}) as service:
            await service.until_delivered(await service.start_job("quick-background"), "dead")
            await holds(lambda: len(server.envelopes) == 2)
        mails = {mail["Subject"]: mail for _, _, mail in server.envelopes}
        assert mails.keys() == {"hook: dead delivery", "hook: disabled"}
        text = str(mails["hook: disabled"])
        assert "/v1/destinations/hook" in text
        assert "410" in text
