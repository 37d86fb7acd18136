"""The destination of callbacks: whom it admits, how it keeps receivers apart, what changes with its settings."""

from pathlib import Path

import pytest

from destinations.signing.ed25519 import new_pair
from pipeline.config.secret import Secret
from pipeline.config.settings import RetrySpec
from tests.support.batches import BATCHES, NDJSON
from tests.support.callbacks import callback, came, deliveries, refused, to
from tests.support.callers import INVOKE, bearer, key
from tests.support.receiver import OK, Receiver, answer, receiving, silence
from tests.support.service import QUICK, WAITING, Service, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK, "waiting-background.py": WAITING}
ONCE = RetrySpec(waits=())


# What may be named


async def test_without_a_list_none_may_be_named_and_what_to_do_is_said(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, destinations={"hook": webhook(receiver.url)}) as service:
        assert "type callback" in (await refused(service, "https://a.example/?t=hunter2")).json["detail"]


@pytest.mark.parametrize(
    "url",
    [
        *("", "a.example", "ftp://a.example/hunter2", "https://u:hunter2@127.0.0.1/", "https://b.example/?t=hunter2"),
        *("http://127.0.0.2/", "http://[::1]/", "http://0x7f000001/", "http://127.1/", "http://[fe80::1%25lo]/"),
        "http://127.0.0.1/" + "a" * 2048,
        "http://127.0.0.1/\u00fc",
    ],
)
async def test_what_may_not_be_named_is_a_400(tmp_path: Path, url: str) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        await refused(service, url)


async def test_two_urls_are_a_400(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        twice = [("X-Callback-Url", receiver.url), ("X-Callback-Url", receiver.url)]
        answered = await service.post("/functions/quick-background", headers=twice)
        assert answered.status == 400
        assert "got 2" in answered.json["detail"]


async def test_a_key_that_may_invoke_may_name_one(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, keys=(key("maker", INVOKE),), destinations={"back": callback()}) as service:
        job_id = await service.start_job("quick-background", headers=to(receiver.url, **bearer("maker")))
        await service.until_delivered(job_id, "delivered")
        listed = await service.get(f"/v1/jobs/{job_id}/deliveries", headers=bearer("maker"))
        assert listed.json["items"][0]["state"] == "delivered"


async def test_the_query_is_shown_to_nobody(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    receiver.replies = [answer(404, "X-Seen: /hooks?token=hunter2hunter2\r\n", b"no /hooks?token=hunter2hunter2")]
    async with serving(tmp_path, FILES, destinations={"back": callback(retry=ONCE)}) as service:
        url = receiver.url.replace("a=1", "token=hunter2hunter2")
        job_id = await service.start_job("quick-background", headers=to(url))
        (dead,) = await service.until_delivered(job_id, "dead")
        assert receiver.requests[0].path == "/hooks?token=hunter2hunter2"
        listed, one = await deliveries(service, job_id), await service.get(f"/v1/deliveries/{dead.id}")
        assert listed[0]["recipient"] == one.json["recipient"] == f"http://127.0.0.1:{receiver.port}/hooks?***"
        for path in (
            f"/v1/jobs/{job_id}",
            f"/v1/deliveries/{dead.id}",
            "/v1/deliveries",
            "/metrics",
            "/v1/destinations",
        ):
            assert b"hunter2" not in (await service.get(path)).body
        assert one.json["attempts"][0]["body"] == "no /hooks?***"
        assert "hunter2" not in caplog.text


async def test_what_its_receivers_verify_with_is_public(tmp_path: Path, receiver: Receiver) -> None:
    secret, public = new_pair()
    async with serving(tmp_path, FILES, destinations={"back": callback(secrets=(Secret(secret),))}) as service:
        told = await service.get("/.well-known/webhook-keys?destination=back")
        assert told.json == {"keys": [{"key": public, "until": None}]}
        job_id = await service.start_job("quick-background", headers=to(receiver.url))
        await service.until_delivered(job_id, "delivered")
        assert receiver.requests[0].headers["webhook-signature"].startswith("v1a,")


# One receiver's affairs are not another's


@pytest.mark.parametrize(
    "reply",
    [answer(410), answer(500, "webhook-delivery: disable\r\n"), answer(200, "webhook-delivery: disable\r\n")],
    ids=["410", "disable", "taken, and disable"],
)
async def test_who_wants_nothing_any_more_ends_its_own_delivery_only(tmp_path: Path, reply: bytes) -> None:
    async with (
        receiving(reply) as over,
        receiving(OK) as other,
        serving(tmp_path, FILES, destinations={"back": callback()}) as service,
    ):
        first = await service.start_job("quick-background", headers=to(over.url))
        await service.until_delivered(first, "dead", "delivered")
        second = await service.start_job("quick-background", headers=to(other.url))
        await service.until_delivered(second, "delivered")
        assert (await service.get("/v1/destinations/back")).json["state"] == "active"
        assert len(over.requests) == 1


async def test_retry_after_defers_its_own_delivery_only(tmp_path: Path) -> None:
    async with receiving(answer(503, "Retry-After: 600\r\n"), OK) as busy, receiving(OK) as other:
        destinations = {"back": callback(retry=RetrySpec(waits=(1.0,)))}
        async with serving(tmp_path, FILES, destinations=destinations) as service:
            first = await service.start_job("quick-background", headers=to(busy.url))
            (waiting,) = await service.until_delivered(first, "retrying")
            assert (waiting.due_at - service.clock.now()).total_seconds() >= 600
            shown = (await service.get("/v1/destinations/back")).json
            assert (shown["not_before"], shown["breaker"]) == (None, "closed")
            second = await service.start_job("quick-background", headers=to(other.url))
            await service.until_delivered(second, "delivered")
            await service.clock.advance(800)
            await service.until_delivered(first, "delivered")


async def test_failures_of_some_open_no_breaker_for_the_others(tmp_path: Path) -> None:
    async with (
        receiving(answer(500)) as failing,
        receiving(OK) as other,
        serving(tmp_path, FILES, destinations={"back": callback()}) as service,
    ):
        for _ in range(12):
            await service.until_delivered(
                await service.start_job("quick-background", headers=to(failing.url)), "retrying"
            )
        await service.clock.advance(1)
        assert (await service.get("/v1/destinations/back")).json["breaker"] == "closed"
        job_id = await service.start_job("quick-background", headers=to(other.url))
        await service.until_delivered(job_id, "delivered")


async def test_a_receiver_that_never_answers_keeps_no_other_waiting(tmp_path: Path) -> None:
    async with (
        receiving(silence) as slow,
        receiving(OK) as other,
        serving(tmp_path, FILES, destinations={"back": callback()}) as service,
    ):
        for _ in range(20):
            await service.start_job("quick-background", headers=to(slow.url))
        await came(slow, 20)
        job_id = await service.start_job("quick-background", headers=to(other.url))
        await service.until_delivered(job_id, "delivered")
        assert len(slow.open) == 20, "they are waited for still"


# The configuration changes meanwhile


async def test_without_the_destination_it_is_held_and_goes_on_when_it_is_back(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        job_id = await service.start_job("waiting-background", headers=to(receiver.url))
        assert await service.reload()
        service.go()
        await service.until(job_id, "succeeded")
        (held,) = await deliveries(service, job_id)
        assert (held["destination"], held["kind"], held["state"]) == ("back", "callback", "held")
        assert held["reason"] == "unconfigured"
        assert not receiver.requests
        await refused_now(service, receiver.url)
        assert await service.reload(destinations={"back": callback()})
        await service.until_delivered(job_id, "delivered")
        assert len(receiver.requests) == 1


async def refused_now(service: Service, url: str) -> None:
    assert (await service.post("/functions/quick-background", headers=to(url))).status == 400


async def test_what_was_accepted_once_is_so_again_whatever_the_list_says_by_then(
    tmp_path: Path, receiver: Receiver
) -> None:
    named = to(receiver.url, **{"Idempotency-Key": "k1"})
    job, batch = "/functions/quick-background", {"path": BATCHES, "data": b'{"body": 1}\n{"body": 2}\n'}
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        first = await service.post(job, headers=named)
        begun = await service.post(BATCHES, data=b'{"body": 1}\n', headers=named | NDJSON)
        assert (first.status, begun.status) == (202, 202)
        for destinations in ({"back": callback("a.example")}, {}):
            assert await service.reload(destinations=destinations)
            again = await service.post(job, headers=named)
            assert (again.status, again.headers["Idempotency-Replayed"]) == (202, "true")
            assert again.headers["X-Job-Id"] == first.headers["X-Job-Id"]
            resumed = await service.post(**batch, headers=named | NDJSON)
            assert (resumed.status, resumed.headers["Idempotency-Replayed"]) == (202, "true")
            assert resumed.headers["X-Batch-Id"] == begun.headers["X-Batch-Id"]
            assert (await service.post(job, headers=named, data=b"other")).status == 422
            assert (await service.post(job, headers=to(receiver.url + "2", **{"Idempotency-Key": "k1"}))).status == 422
            assert (await service.post(job, headers=to(receiver.url, **{"Idempotency-Key": "k2"}))).status == 400
            fresh = NDJSON | to(receiver.url, **{"Idempotency-Key": "k2"})
            assert (await service.post(**batch, headers=fresh)).status == 400
        assert len((await service.get("/v1/batches")).json["items"]) == 1


async def test_where_another_one_is_there_by_the_end_it_goes_there(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        job_id = await service.start_job("waiting-background", headers=to(receiver.url))
        assert await service.reload(destinations={"other": callback()})
        service.go()
        (sent,) = await service.until_delivered(job_id, "delivered")
        assert sent.destination == "other"


async def test_what_the_list_does_not_admit_any_more_is_not_called(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback(retry=RetrySpec(waits=(1.0,)))}) as service:
        job_id = await service.start_job("waiting-background", headers=to(receiver.url))
        assert await service.reload(destinations={"back": callback("a.example", retry=RetrySpec(waits=(1.0,)))})
        service.go()
        (waiting,) = await service.until_delivered(job_id, "retrying")
        assert waiting.last_error is not None
        assert waiting.last_error.reason == "blocked_address"
        assert "allow_hosts" in waiting.last_error.message
        assert not receiver.requests
        assert await service.reload(destinations={"back": callback()})
        await service.clock.advance(2)
        await service.until_delivered(job_id, "delivered")


async def test_two_such_destinations_are_a_fault_and_so_is_one_that_a_function_names(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        assert not await service.reload(destinations={"back": callback(), "other": callback()})
        functions = {"quick-background": sends_to("back")}
        assert not await service.reload(functions=functions, destinations={"back": callback()})
        assert not await service.reload(alerts=("back",), destinations={"back": callback()})
        assert service.app.config.destinations.keys() == {"back"}


# What may be asked of the destination


async def test_it_has_nothing_to_be_tested_and_misses_nothing(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        await service.until_delivered(
            await service.start_job("quick-background", headers=to(receiver.url)), "delivered"
        )
        await service.until(await service.start_job("quick-background"), "succeeded")
        tested = await service.post("/v1/destinations/back/test")
        assert (tested.status, tested.json["title"]) == (409, "Nothing to test")
        assert "X-Callback-Url" in tested.json["detail"]
        document = {"since": "2020-01-01T00:00:00Z", "states": ["missing", "delivered"], "dry_run": True}
        counted = await service.post("/v1/destinations/back/replay", json=document)
        assert counted.json["states"] == {"delivered": 1, "missing": 0}


async def test_paused_it_holds_what_comes(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        assert (await service.post("/v1/destinations/back/pause")).status == 202
        job_id = await service.start_job("quick-background", headers=to(receiver.url))
        await service.until(job_id, "succeeded")
        (held,) = await deliveries(service, job_id)
        assert held["state"] == "held"
        assert (await service.post("/v1/destinations/back/resume")).status == 202
        await service.until_delivered(job_id, "delivered")
