"""Callbacks: the URL that a caller names hears how its own job, or batch, ended; and what may not be named is a 400."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from destinations.callback.settings import Settings
from destinations.function import Settings as FunctionTarget
from destinations.signing.ed25519 import new_pair
from pipeline.config.secret import Secret
from pipeline.config.settings import DestinationSettings, FunctionSettings, RetrySpec, Target
from tests.support.callers import INVOKE, bearer, key
from tests.support.hooks import SECRET
from tests.support.receiver import OK, Receiver, answer, receiving, silence
from tests.support.service import QUICK, WAITING, Answer, Service, eventually, holds, sends_to, serving, webhook

FAILING = """
    import os
    def handler(event, context):
        if not os.path.exists("works"):
            raise ValueError("no words")
        return "works"
    """
SHOWS = """
    def handler(event, context):
        return sorted(event["headers"])
    """
FILES = {
    "quick-background.py": QUICK,
    "failing-background.py": FAILING,
    "waiting-background.py": WAITING,
    "shows-background.py": SHOWS,
    "calm.py": QUICK,
}
ONCE = RetrySpec(waits=())
FAILS_ONCE = {"failing-background": FunctionSettings(retry=ONCE)}
BATCHES = "/v1/batches?function=quick-background"
NDJSON = {"Content-Type": "application/x-ndjson"}


def callback(*hosts: str, **options: Any) -> DestinationSettings:
    return DestinationSettings(
        name="", kind="callback", options=Settings(allow_hosts=hosts or ("127.0.0.1",), **options)
    )


def to(url: str, **headers: str) -> dict[str, str]:
    return {"X-Callback-Url": url} | headers


def said(receiver: Receiver, number: int = 0) -> Any:
    return json.loads(receiver.requests[number].body)


async def came(receiver: Receiver, count: int = 1) -> None:
    await holds(lambda: len(receiver.requests) >= count)


async def deliveries(service: Service, job_id: str) -> list[Any]:
    return list((await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"])


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving(OK) as started:
        yield started


async def refused(service: Service, url: str, path: str = "/functions/quick-background", **headers: str) -> Answer:
    """See a URL refused: nothing of it but its host is told, and nothing was made."""
    answered = await service.post(path, headers=to(url, **headers))
    assert answered.status == 400, answered
    assert answered.json["errors"][0]["header"] == "X-Callback-Url"
    assert b"hunter2" not in answered.body
    assert (await service.get("/v1/jobs")).json["items"] == []
    assert (await service.get("/v1/batches")).json["items"] == []
    return answered


# What a caller hears


async def test_a_callers_url_hears_that_its_job_succeeded(tmp_path: Path, receiver: Receiver) -> None:
    destinations = {"back": callback(secrets=(Secret(SECRET),))}
    async with serving(tmp_path, FILES, destinations=destinations) as service:
        job_id = await service.start_job("quick-background", headers=to(receiver.url))
        await service.until_delivered(job_id, "delivered")
        (request,) = receiver.requests
        assert (request.method, request.path) == ("POST", "/hooks?a=1")
        assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert request.headers["x-sendoff-destination"] == "back"
        assert request.headers["webhook-signature"].startswith("v1,")
        assert (said(receiver)["type"], said(receiver)["data"]["job"]["id"]) == ("job.succeeded", job_id)
        assert said(receiver)["data"]["result"] == {"done": True}
        (shown,) = await deliveries(service, job_id)
        assert (shown["destination"], shown["kind"], shown["state"]) == ("back", "callback", "delivered")


async def test_who_is_called_back_is_shown_from_the_first_moment_on(tmp_path: Path, receiver: Receiver) -> None:
    keys = (key("maker", INVOKE),)
    options: dict[str, Any] = {"destinations": {"back": callback()}, "keys": keys, "link_keys": (Secret("a" * 32),)}
    async with serving(tmp_path, FILES, **options) as service:

        async def shown(path: str) -> Any:
            return (await service.get(path, headers=bearer("maker"))).json

        headers = to(receiver.url) | bearer("maker")
        masked = receiver.url.replace("?a=1", "?***")
        job_id = await service.start_job("waiting-background", headers=headers)
        assert (await shown(f"/v1/jobs/{job_id}"))["callback"] == masked
        link = (await shown(f"/v1/jobs/{job_id}?share=1h"))["links"]["share"].removeprefix(service.url)
        assert (await service.get(link)).json["callback"] is None
        batch = await service.post(BATCHES, data=b"{}\n", headers=headers | NDJSON)
        batch_id = batch.headers["X-Batch-Id"]
        assert batch.json["callback"] == (await shown(f"/v1/batches/{batch_id}"))["callback"] == masked
        other = await service.start_job("quick-background", headers=bearer("maker"))
        assert (await shown(f"/v1/jobs/{other}"))["callback"] is None


async def test_it_hears_of_failure_and_of_expiry_too(tmp_path: Path, receiver: Receiver) -> None:
    functions = {**FAILS_ONCE, "waiting-background": FunctionSettings(max_age=5.0, concurrency=1)}
    async with serving(tmp_path, FILES, functions=functions, destinations={"back": callback()}) as service:
        failed = await service.start_job("failing-background", headers=to(receiver.url))
        await service.until_delivered(failed, "delivered")
        await service.start_job("waiting-background")
        expired = await service.start_job("waiting-background", headers=to(receiver.url, **{"X-Job-Priority": "9"}))
        await service.clock.advance(6)
        await service.until_delivered(expired, "delivered")
        service.go()
        jobs = [said(receiver, number)["data"]["job"] for number in range(2)]
        assert [(job["id"], job["state"]) for job in jobs] == [(failed, "failed"), (expired, "expired")]
        assert {said(receiver, number)["type"] for number in range(2)} == {"job.failed"}


async def test_it_stands_beside_what_the_function_s_settings_name(tmp_path: Path, receiver: Receiver) -> None:
    async with receiving(OK) as other:
        destinations = {"back": callback(), "hook": webhook(other.url)}
        functions = {"quick-background": sends_to("hook")}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            both = await service.start_job("quick-background", headers=to(receiver.url))
            only = await service.start_job("quick-background")
            assert len(await service.until_delivered(both, "delivered")) == 2
            assert len(await service.until_delivered(only, "delivered")) == 1
            assert (len(receiver.requests), len(other.requests)) == (1, 2)
            assert {request.headers["webhook-id"] for request in receiver.requests} < {
                request.headers["webhook-id"] for request in other.requests
            }


async def test_a_synchronous_call_takes_none_unless_it_is_made_a_job(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        assert "Prefer: respond-async" in (await refused(service, receiver.url, "/functions/calm")).json["detail"]
        job_id = await service.start_job("calm", headers=to(receiver.url, Prefer="respond-async"))
        await service.until_delivered(job_id, "delivered")
        assert said(receiver)["data"]["job"]["function"] == "calm"


async def test_the_function_does_not_see_the_url(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        job_id = await service.start_job("shows-background", headers=to(receiver.url, **{"X-Other": "seen"}))
        await service.until_delivered(job_id, "delivered")
        seen = said(receiver)["data"]["result"]
        assert "x-other" in seen
        assert "x-callback-url" not in seen
        assert receiver.url.encode() not in (await service.app.store.get_event(job_id) or b"")


async def test_a_child_does_not_inherit_it(tmp_path: Path, receiver: Receiver) -> None:
    next_one = DestinationSettings(name="", kind="function", options=FunctionTarget(function="shows-background"))
    functions = {"quick-background": FunctionSettings(on_success=(Target(to="next"),))}
    destinations = {"back": callback(), "next": next_one}
    async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
        parent = await service.start_job("quick-background", headers=to(receiver.url))
        await service.until_delivered(parent, "delivered")
        (child,) = (await service.get(f"/v1/jobs?parent={parent}")).json["items"]
        await service.until(child["id"], "succeeded")
        assert await deliveries(service, child["id"]) == []
        assert len(receiver.requests) == 1


async def test_a_cancelled_job_tells_nobody(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        job_id = await service.start_job("quick-background", headers=to(receiver.url, **{"X-Job-Delay": "1h"}))
        assert (await service.post(f"/v1/jobs/{job_id}/cancel")).status == 202
        assert await deliveries(service, job_id) == []


# Again: by a key, by retry, by replay


async def test_another_url_with_the_same_key_is_another_request(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        path, named = "/functions/quick-background", {"Idempotency-Key": "k1"}
        first = await service.post(path, headers=to(receiver.url, **named))
        again = await service.post(path, headers=to(receiver.url, **named))
        assert (first.status, again.status) == (202, 202)
        assert first.headers["X-Job-Id"] == again.headers["X-Job-Id"]
        for other in (to(receiver.url + "2", **named), named):
            assert (await service.post(path, headers=other)).status == 422
        await service.until_delivered(first.headers["X-Job-Id"], "delivered")
        assert len(receiver.requests) == 1


async def test_a_job_that_is_tried_again_tells_again_and_so_does_its_replay(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, functions=FAILS_ONCE, destinations={"back": callback()}) as service:
        job_id = await service.start_job("failing-background", headers=to(receiver.url))
        await service.until_delivered(job_id, "delivered")
        (tmp_path / "functions" / "works").touch()
        assert (await service.post(f"/v1/jobs/{job_id}/retry")).status == 202
        await came(receiver, 2)
        replayed = (await service.post(f"/v1/jobs/{job_id}/replay")).json["id"]
        await service.until_delivered(replayed, "delivered")
        told = [(said(receiver, at)["type"], said(receiver, at)["data"]["job"]["id"]) for at in range(3)]
        assert told == [("job.failed", job_id), ("job.succeeded", job_id), ("job.succeeded", replayed)]


async def test_a_dead_callback_is_replayed_as_any_delivery(tmp_path: Path) -> None:
    async with receiving(answer(500), OK) as receiver:
        destinations = {"back": callback(retry=ONCE)}
        async with serving(tmp_path, FILES, destinations=destinations) as service:
            job_id = await service.start_job("quick-background", headers=to(receiver.url))
            (dead,) = await service.until_delivered(job_id, "dead")
            assert (await service.post(f"/v1/deliveries/{dead.id}/replay")).status == 202
            await service.until_delivered(job_id, "delivered")


# Batches


async def posted(service: Service, url: str, **headers: str) -> Answer:
    body = b'{"body": 1}\n{"body": 2}\n'
    return await service.post(BATCHES, data=body, headers=to(url, **NDJSON, **headers))


async def test_a_batch_tells_its_caller_once_and_its_jobs_tell_nobody(tmp_path: Path, receiver: Receiver) -> None:
    async with receiving(OK) as other:
        unknown = {"type": "object", "properties": {"callback": {"type": "null"}, "callback_to": {"type": "null"}}}
        functions = {"quick-background": FunctionSettings(on_batch=(Target(to="hook", when=unknown),))}
        destinations = {"back": callback(), "hook": webhook(other.url)}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            url = f"{receiver.url}&token=hunter2hunter2"
            accepted = await posted(service, url)
            assert accepted.status == 202
            batch_id = accepted.headers["X-Batch-Id"]
            await came(receiver)
            await came(other)
            assert (said(receiver)["type"], said(receiver)["data"]["batch"]["id"]) == ("batch.completed", batch_id)
            assert said(receiver) == said(other)
            assert receiver.requests[0].path.endswith("token=hunter2hunter2")
            assert b"hunter2" not in other.requests[0].body

            async def all_delivered() -> Any:
                items = (await service.get(f"/v1/batches/{batch_id}/deliveries")).json["items"]
                return items if {each["state"] for each in items} == {"delivered"} else None

            assert {each["destination"] for each in await eventually(all_delivered)} == {"back", "hook"}
            for job in (await service.get(f"/v1/jobs?batch={batch_id}")).json["items"]:
                assert await deliveries(service, job["id"]) == []
            assert len(receiver.requests) == 1


async def test_a_batch_that_is_sent_again_with_another_url_is_refused(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        named = {"Idempotency-Key": "b1"}
        first = await posted(service, receiver.url, **named)
        again = await posted(service, receiver.url, **named)
        assert first.headers["X-Batch-Id"] == again.headers["X-Batch-Id"]
        other = await posted(service, receiver.url + "2", **named)
        assert (other.status, other.headers["Location"]) == (422, f"/v1/batches/{first.headers['X-Batch-Id']}")
        without = await service.post(BATCHES, data=b'{"body": 1}\n', headers=NDJSON | named)
        assert without.status == 422
        assert len((await service.get("/v1/batches")).json["items"]) == 1


async def test_a_batch_whose_url_may_not_be_named_is_not_begun(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        await refused(service, "https://other.example/?token=hunter2", BATCHES, **NDJSON)


async def test_an_item_of_a_batch_names_no_url_of_its_own(tmp_path: Path, receiver: Receiver) -> None:
    items = [{"body": 1}, {"body": 2, "headers": {"x-CALLBACK-url": f"{receiver.url}&token=hunter2"}}]
    sent = {
        "application/x-ndjson": b"\n".join(json.dumps(item).encode() for item in items),
        "application/json": json.dumps({"items": items}).encode(),
    }
    async with serving(tmp_path, FILES, destinations={"back": callback()}) as service:
        for content_type, body in sent.items():
            accepted = await service.post(BATCHES, data=body, headers={"Content-Type": content_type})
            assert (accepted.status, accepted.json["total"]) == (202, 1)
            (rejected,) = accepted.json["rejected"]
            assert (rejected["index"], rejected["pointer"]) == (1, "/headers/x-CALLBACK-url")
            assert "as a header of the request" in rejected["detail"]
            assert b"hunter2" not in accepted.body


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
