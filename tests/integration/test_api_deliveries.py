"""Deliveries and destinations over HTTP: what became of each message, where it is held, and what is owed to whom."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support import samples
from tests.support.pages import pages
from tests.support.receiver import OK, answer, receiving, silence
from tests.support.service import QUICK, holds, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}
ALL_STATES = ("pending", "sending", "retrying", "held", "delivered", "dead", "skipped", "cancelled")
UNAVAILABLE = answer(503, "X-Why: busy\r\nX-Why: very\r\n", b"later \xff")


async def test_a_message_is_delivered_and_every_page_says_so(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        functions = {"quick-background": sends_to("archive")}
        destinations = {"archive": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, "delivered")

            (shown,) = (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"]
            assert shown["job_id"] == job_id
            assert (shown["type"], shown["destination"], shown["kind"], shown["recipient"]) == (
                "job.succeeded", "archive", "webhook", "",
            )  # fmt: skip
            assert (shown["state"], shown["reason"], shown["attempt"], shown["next_attempt_at"]) == (
                "delivered", None, 1, None,
            )  # fmt: skip
            assert shown["links"] == {
                "self": f"{service.url}/v1/deliveries/{shown['id']}",
                "job": f"{service.url}/v1/jobs/{job_id}",
            }
            assert (await service.get("/v1/deliveries")).json["items"] == [shown]

            alone = (await service.get(f"/v1/deliveries/{shown['id']}")).json
            (attempt,) = alone.pop("attempts")
            assert alone.pop("explain") == "Delivered at 2026-01-05T12:00:00.000Z, by attempt 1 of 12."
            assert alone == shown
            assert (attempt["number"], attempt["trigger"]) == (1, "auto")
            assert (attempt["status"], attempt["class"]) == (200, None)
            assert (attempt["body"], attempt["headers"], attempt["why"]) == ("ok", {"content-length": "2"}, "delivered")

            (request,) = receiver.requests
            assert request.headers["webhook-id"] == shown["message_id"]
            assert request.headers["x-sendoff-job-id"] == job_id
            message = orjson.loads(request.body)
            assert (message["type"], message["data"]["result"]) == ("job.succeeded", {"done": True})
            assert message["data"]["job"]["links"] == (await service.get(f"/v1/jobs/{job_id}")).json["links"]

            destination = (await service.get("/v1/destinations/archive")).json
            assert destination == {
                "name": "archive", "kind": "webhook", "state": "active", "reason": None, "since": None,
                "not_before": None, "in_flight": 0, "due": 0,
                "retrying": 0, "held": 0, "dead": 0, "last_error": None,
                "last_success_at": "2026-01-05T12:00:00.000Z", "breaker": "closed",
                "concurrency": 10, "rate": None, "spreading": None,
            }  # fmt: skip
            assert (await service.get("/v1/destinations")).json["items"] == [destination]
            assert (await service.get(f"/v1/jobs/{job_id}")).json["deliveries"]["delivered"] == 1


async def test_a_failed_attempt_shows_what_came_back(tmp_path: Path) -> None:
    async with receiving(UNAVAILABLE) as receiver:
        functions = {"quick-background": sends_to("archive")}
        destinations = {"archive": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            (delivery,) = await service.until_delivered(job_id, "retrying")
            shown = (await service.get(f"/v1/deliveries/{delivery.id}")).json
            assert (shown["state"], shown["reason"]) == ("retrying", "http_error")
            assert shown["last_error"] == {"class": "http_error", "message": "503 Service Unavailable", "status": 503}
            (attempt,) = shown["attempts"]
            assert (attempt["body"], attempt["headers"]["x-why"]) == ("later \ufffd", "busy, very")
            assert shown["next_attempt_at"] == attempt["next_attempt_at"]
            assert attempt["why"] == (
                "attempt 1 of 12 failed; the policy waits 5 s, and up to a fifth is added by chance"
            )


async def test_a_receiver_that_is_not_there_is_told(tmp_path: Path) -> None:
    async with receiving(OK) as gone:
        url = gone.url
    functions = {"quick-background": sends_to("archive")}
    async with serving(tmp_path, FILES, functions=functions, destinations={"archive": webhook(url)}) as service:
        job_id = await service.start_job("quick-background")
        (delivery,) = await service.until_delivered(job_id, "retrying")
        shown = (await service.get(f"/v1/deliveries/{delivery.id}")).json
        assert (shown["reason"], shown["last_error"]["status"]) == ("connection_refused", None)
        (attempt,) = shown["attempts"]
        assert (attempt["status"], attempt["body"], attempt["headers"]) == (None, None, {})


async def test_a_destination_shows_what_is_given_up_and_its_last_error(tmp_path: Path) -> None:
    """What the receiver refuses for good counts, too; a success, a resume and a restart leave it."""
    replies = [UNAVAILABLE, answer(413), OK]
    async with receiving(*replies) as receiver:
        options = {
            "functions": {"quick-background": sends_to("archive")},
            "destinations": {"archive": webhook(receiver.url), "other": webhook(receiver.url)},
        }
        async with serving(tmp_path, FILES, **options) as service:

            async def shown(name: str = "archive") -> Any:
                return (await service.get(f"/v1/destinations/{name}")).json

            first = await service.start_job("quick-background")
            (retrying,) = await service.until_delivered(first, "retrying")
            there = await shown()
            assert (there["retrying"], there["dead"], there["held"]) == (1, 0, 0)
            assert there["last_error"] == {
                "at": "2026-01-05T12:00:00.000Z", "delivery_id": retrying.id,
                "class": "http_error", "message": "503 Service Unavailable", "status": 503,
            }  # fmt: skip
            (dead,) = await service.until_delivered(await service.start_job("quick-background"), "dead")
            there = await shown()
            assert (there["retrying"], there["dead"], there["last_error"]["delivery_id"]) == (1, 1, dead.id)
            assert there["last_error"]["status"] == 413
            await service.until_delivered(await service.start_job("quick-background"), "delivered")
            assert (await service.post("/v1/destinations/archive/pause")).json["retrying"] == 0
            assert (await service.post("/v1/destinations/archive/resume")).json["retrying"] == 1
            other = await shown("other")
            assert (other["retrying"], other["dead"], other["last_error"]) == (0, 0, None)
            clock, before = service.clock, there["last_error"]
        async with serving(tmp_path, FILES, clock=clock, **options) as service:
            there = (await service.get("/v1/destinations/archive")).json
            assert (there["last_error"], there["dead"]) == (before, 1)
            assert there["last_success_at"] is not None


async def test_the_last_success_is_told_also_after_the_clock_was_set_back(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        functions = {"quick-background": sends_to("hook")}
        destinations = {"hook": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            for seconds, at in ((0, "12:00:00"), (-7200, "10:00:02")):
                service.clock.turn(seconds)
                await service.until_delivered(await service.start_job("quick-background"), "delivered")
                shown = (await service.get("/v1/destinations/hook")).json
                assert shown["last_success_at"] == f"2026-01-05T{at}.000Z"
                await service.clock.advance(2)


async def test_deliveries_are_listed_by_state_and_destination_page_by_page(tmp_path: Path) -> None:
    async with receiving(OK) as good, receiving(UNAVAILABLE) as bad:
        functions = {"quick-background": sends_to("good", "bad")}
        destinations = {"good": webhook(good.url), "bad": webhook(bad.url)}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            jobs = [await service.start_job("quick-background") for _ in range(3)]
            for job_id in jobs:
                await service.until_delivered(job_id, "delivered", "retrying")
            found = await pages(service, "/v1/deliveries?limit=4")
            assert len(found) == 6
            assert [each["id"] for each in found] == sorted((each["id"] for each in found), reverse=True)
            for query, state in (("destination=good", "delivered"), ("state=retrying", "retrying")):
                some = await pages(service, f"/v1/deliveries?limit=2&{query}")
                assert [each["state"] for each in some] == [state] * 3
            assert await pages(service, "/v1/deliveries?state=dead") == []
            refused = await service.get("/v1/deliveries?destination=nobody")
            assert (refused.status, refused.json["detail"]) == (404, "there is no destination nobody")
            of_job = await pages(service, f"/v1/jobs/{jobs[0]}/deliveries?limit=1")
            assert {each["destination"] for each in of_job} == {"good", "bad"}


async def test_held_deliveries_are_listed_as_held_alone(tmp_path: Path) -> None:
    """Each list has what shows that state, whatever is stored: what is paused, disabled or gone retries nothing."""
    names = ("well", "paused", "disabled", "gone")
    async with receiving(*[UNAVAILABLE] * 9) as bad, receiving(UNAVAILABLE, answer(410)) as gone_away:
        functions = {"quick-background": sends_to(*names)}
        destinations = {name: webhook((gone_away if name == "disabled" else bad).url) for name in names}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, *["retrying"] * 4)
            await service.post("/v1/destinations/paused/pause")
            await service.reload(
                functions={"quick-background": sends_to("disabled")},
                destinations={name: destinations[name] for name in names[:3]},
            )
            last = await service.start_job("quick-background")
            await service.until_delivered(last, "dead")
            found = {state: await pages(service, f"/v1/deliveries?limit=1&state={state}") for state in ALL_STATES}
            assert len(await pages(service, "/v1/deliveries?destination=gone")) == 1
            assert await pages(service, "/v1/deliveries?destination=gone&state=dead") == []
            assert {(each["destination"], each["reason"]) for each in found["held"]} == {
                ("paused", "paused"), ("disabled", "disabled"), ("gone", "unconfigured"),
            }  # fmt: skip
            assert len(found["held"]) == 3
            assert [each["destination"] for each in found["retrying"]] == ["well"]
            assert [each["job_id"] for each in found["dead"]] == [last]
            for state, items in found.items():
                assert {each["state"] for each in items} <= {state}
            assert sum(map(len, found.values())) == len(await pages(service, "/v1/deliveries")) == 5
            (one,) = await pages(service, "/v1/deliveries?state=held&destination=gone")
            assert one["destination"] == "gone"
            assert await pages(service, "/v1/deliveries?state=held&destination=well") == []
            await service.post("/v1/destinations/paused/resume")
            assert len(await pages(service, "/v1/deliveries?state=held")) == 2
            assert len(await pages(service, "/v1/deliveries?state=retrying")) == 2


@pytest.mark.parametrize("state", ["retrying", "pending"])
async def test_what_is_owed_to_a_removed_destination_is_held_until_it_is_back(tmp_path: Path, state: str) -> None:
    replies = [UNAVAILABLE, OK] if state == "retrying" else [silence, OK]
    functions = {"quick-background": sends_to("archive")}
    async with receiving(*replies) as receiver:
        destinations = {"archive": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations, grace_s=0.05) as service:
            clock, job_id = service.clock, await service.start_job("quick-background")
            await holds(lambda: receiver.requests)
            if state == "retrying":
                await service.until_delivered(job_id, "retrying")

        async with serving(tmp_path, FILES, clock=clock) as service:
            (shown,) = (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"]
            assert (shown["state"], shown["reason"], shown["next_attempt_at"]) == ("held", "unconfigured", None)
            (stored,) = await service.until_delivered(job_id, state)
            assert stored.attempt == (1 if state == "retrying" else 0)  # a sending that was given back spends none
            counts = (await service.get(f"/v1/jobs/{job_id}")).json["deliveries"]
            assert (counts["held"], sum(counts.values())) == (1, 1)
            destination = (await service.get("/v1/destinations/archive")).json
            assert (destination["state"], destination["kind"], destination["held"], destination["due"]) == (
                "unconfigured", "webhook", 1, 0,
            )  # fmt: skip
            assert [each["name"] for each in (await service.get("/v1/destinations")).json["items"]] == ["archive"]
            await clock.advance(10)
            assert (await service.get(f"/v1/deliveries/{shown['id']}")).json["state"] == "held"

        async with serving(tmp_path, FILES, clock=clock, functions=functions, destinations=destinations) as service:
            await clock.advance(10)
            (delivery,) = await service.until_delivered(job_id, "delivered")
            assert delivery.attempt == (2 if state == "retrying" else 1)


async def test_unknown_deliveries_and_destinations_are_404(tmp_path: Path) -> None:
    async with serving(tmp_path, is_started=False) as service:
        for path in (f"/v1/deliveries/{samples.new_id()}", "/v1/deliveries/x", "/v1/destinations/nobody"):
            assert (await service.get(path)).status == 404
        assert (await service.get("/v1/destinations")).json == {"items": [], "next_cursor": None}


async def test_destinations_are_listed_by_name(tmp_path: Path) -> None:
    destinations = {name: webhook("http://127.0.0.1:9/") for name in ("zebra", "ant", "Bee")}
    async with serving(tmp_path, destinations=destinations, is_started=False) as service:
        shown = (await service.get("/v1/destinations")).json["items"]
        assert [each["name"] for each in shown] == ["Bee", "ant", "zebra"]
        assert {each["last_success_at"] for each in shown} == {None}
