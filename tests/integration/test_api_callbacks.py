"""Callbacks: the URL that a caller names hears how its own job, or batch, ended, once for each end."""

import json
from pathlib import Path
from typing import Any

from destinations.function import Settings as FunctionTarget
from pipeline.config.secret import Secret
from pipeline.config.settings import DestinationSettings, FunctionSettings, RetrySpec, Target
from tests.support.batches import BATCHES, NDJSON
from tests.support.callbacks import callback, came, deliveries, refused, to
from tests.support.callers import INVOKE, bearer, key
from tests.support.hooks import SECRET
from tests.support.receiver import OK, Receiver, answer, receiving
from tests.support.service import QUICK, WAITING, Answer, Service, eventually, sends_to, serving, webhook

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


def said(receiver: Receiver, number: int = 0) -> Any:
    return json.loads(receiver.requests[number].body)


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
