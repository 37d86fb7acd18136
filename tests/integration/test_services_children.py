"""Functions as destinations: one child for each delivery, what it is called with, and where a chain ends."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from destinations.bodies.forms import LAMBDA, RAW
from destinations.function import Settings as FunctionTarget
from pipeline.config.settings import DestinationSettings, FunctionSettings, RetrySpec
from tests.support.service import QUICK, WAITING, Service, eventually, sends_to, serving

ECHO = """
    def handler(event, context):
        return {"event": event, "parent_id": context.parent_id, "attempt": context.attempt}
    """
FAILS = """
    def handler(event, context):
        raise ValueError("broken")
    """
COLOURFUL = """
    def handler(event, context):
        return {"statusCode": 201, "headers": {"content-type": "text/plain; charset=utf-8"}, "body": "gr\\u00fcn"}
    """


def to(function: str, **options: Any) -> DestinationSettings:
    """Return a function destination."""
    return DestinationSettings(name="", kind="function", options=FunctionTarget(function=function, **options))


async def child_of(service: Service, parent_id: str) -> dict[str, Any]:
    """Wait for the one child of a job to succeed, and return it as the API shows it."""
    await service.until_delivered(parent_id, "delivered")
    (child,) = (await service.get(f"/v1/jobs?parent={parent_id}")).json["items"]
    await service.until(child["id"], "succeeded")
    shown: dict[str, Any] = (await service.get(f"/v1/jobs/{child['id']}")).json
    return shown


async def said_by(service: Service, job_id: str) -> dict[str, Any]:
    """Return what an ECHO was called with."""
    said: dict[str, Any] = (await service.get(f"/v1/jobs/{job_id}/result")).json
    return said


async def test_a_result_becomes_the_message_that_another_function_is_called_with(tmp_path: Path) -> None:
    files = {"first-background.py": QUICK, "second-background.py": ECHO}
    functions = {"first-background": sends_to("next")}
    async with serving(tmp_path, files, functions=functions, destinations={"next": to("second-background")}) as service:
        parent_id = await service.start_job("first-background")
        child = await child_of(service, parent_id)
        assert (child["function"], child["parent_id"]) == ("second-background", parent_id)
        said = await said_by(service, child["id"])
        event = said["event"]
        assert (event["httpMethod"], event["path"]) == ("POST", "/.netlify/functions/second-background")
        assert event["headers"]["content-type"] == "application/json"
        assert event["headers"]["x-sendoff-parent"] == said["parent_id"] == parent_id
        assert event["headers"]["x-nf-request-id"] == child["id"]
        assert not event["isBase64Encoded"]
        message = json.loads(event["body"])
        assert (message["type"], message["data"]["result"]) == ("job.succeeded", {"done": True})
        assert message["data"]["job"]["id"] == parent_id
        (delivery,) = (await service.get(f"/v1/jobs/{parent_id}/deliveries")).json["items"]
        assert (delivery["kind"], delivery["state"]) == ("function", "delivered")
        (attempt,) = (await service.get(f"/v1/deliveries/{delivery['id']}")).json["attempts"]
        assert (attempt["status"], attempt["headers"]["location"]) == (202, f"/v1/jobs/{child['id']}")


async def test_each_replay_of_a_delivery_has_one_further_child(tmp_path: Path) -> None:
    files = {"first-background.py": QUICK, "second-background.py": ECHO}
    functions = {"first-background": sends_to("next")}
    async with serving(tmp_path, files, functions=functions, destinations={"next": to("second-background")}) as service:
        parent_id = await service.start_job("first-background")
        (delivery,) = await service.until_delivered(parent_id, "delivered")

        async def children(count: int) -> list[dict[str, Any]]:
            """Return what the children were called with, oldest first; of them there are so many."""
            found = (await service.get(f"/v1/jobs?parent={parent_id}")).json["items"]
            assert len(found) == count
            for child in found:
                assert (child["function"], child["parent_id"]) == ("second-background", parent_id)
                await service.until(child["id"], "succeeded")
            return [await said_by(service, child["id"]) for child in reversed(found)]

        async def attempts(count: int) -> list[dict[str, Any]]:
            shown = await eventually(partial(at_attempt, service, delivery.id, count))
            return list(shown["attempts"])

        (first,) = await children(1)
        assert (await service.post(f"/v1/deliveries/{delivery.id}/replay")).status == 202
        await attempts(2)
        _, again = await children(2)
        assert again["event"]["body"] == first["event"]["body"]
        assert again["event"]["headers"]["x-sendoff-parent"] == again["parent_id"] == parent_id

        wish = {"since": "2026-01-01T00:00:00Z", "states": ["delivered"]}
        assert (await service.post("/v1/destinations/next/replay", json=wish)).status == 202
        made = await attempts(3)
        calls = await children(3)
        assert [each["trigger"] for each in made] == ["auto", "manual", "replay"]
        ids = [call["event"]["headers"]["x-nf-request-id"] for call in calls]
        assert [each["headers"]["location"] for each in made] == [f"/v1/jobs/{each}" for each in ids]


async def at_attempt(service: Service, delivery_id: str, count: int) -> dict[str, Any] | None:
    """Return a delivery once it is delivered after so many attempts."""
    shown: dict[str, Any] = (await service.get(f"/v1/deliveries/{delivery_id}")).json
    await service.clock.advance(0.1)
    return shown if (shown["state"], shown["attempt"]) == ("delivered", count) else None


async def test_a_failure_is_handed_on_too(tmp_path: Path) -> None:
    files = {"first-background.py": FAILS, "second-background.py": ECHO}
    functions = {"first-background": sends_to("next", retry=RetrySpec(waits=()))}
    async with serving(tmp_path, files, functions=functions, destinations={"next": to("second-background")}) as service:
        child = await child_of(service, await service.start_job("first-background"))
        message = json.loads((await said_by(service, child["id"]))["event"]["body"])
        assert (message["type"], message["data"]["error"]["errorMessage"]) == ("job.failed", "broken")


async def test_raw_hands_on_the_result_with_its_own_bytes_and_type(tmp_path: Path) -> None:
    files = {"first-background.py": COLOURFUL, "second-background.py": ECHO}
    async with serving(
        tmp_path,
        files,
        functions={"first-background": sends_to("next")},
        destinations={"next": to("second-background", payload=RAW)},
    ) as service:
        child = await child_of(service, await service.start_job("first-background"))
        event = (await said_by(service, child["id"]))["event"]
        assert (event["body"], event["headers"]["content-type"]) == ("grün", "text/plain; charset=utf-8")


@pytest.mark.parametrize("source", [QUICK, FAILS], ids=["succeeded", "failed"])
async def test_lambda_hands_on_the_record_that_aws_sends(tmp_path: Path, source: str) -> None:
    files = {"first-background.py": source, "second-background.py": ECHO}
    functions = {"first-background": sends_to("next", retry=RetrySpec(waits=(1.0,)))}
    async with serving(
        tmp_path, files, functions=functions, destinations={"next": to("second-background", payload=LAMBDA)}
    ) as service:
        parent_id = await service.start_job("first-background", data=b'{"n":1}', headers={"X-Own": "a"})
        if source is FAILS:
            await service.until(parent_id, "retrying")
            await service.clock.advance(1.01)
        child = await child_of(service, parent_id)
        record = json.loads((await said_by(service, child["id"]))["event"]["body"])
        parent = (await service.get(f"/v1/jobs/{parent_id}")).json
        payload = record.pop("requestPayload")
        assert (payload["headers"]["x-own"], payload["headers"]["x-nf-request-id"]) == ("a", parent_id)
        has_failed = source is FAILS
        assert record.pop("responsePayload") == (parent["error"] if has_failed else {"done": True})
        error = {"functionError": "Unhandled"} if has_failed else {}
        assert record == {
            "version": "1.0",
            "timestamp": parent["ended_at"],
            "requestContext": {
                "requestId": parent_id,
                "functionArn": "arn:sendoff:function:first-background:$LATEST",
                "condition": "RetriesExhausted" if has_failed else "Success",
                "approximateInvokeCount": 2 if has_failed else 1,
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", **error},
        }


async def test_a_large_result_is_handed_on_whole(tmp_path: Path) -> None:
    source = "def handler(event, context):\n    return 'x' * 3_000_000\n"
    files = {"first-background.py": source, "second-background.py": ECHO}
    async with serving(
        tmp_path,
        files,
        functions={"first-background": sends_to("next")},
        destinations={"next": to("second-background")},
    ) as service:
        child = await child_of(service, await service.start_job("first-background"))
        message = json.loads((await said_by(service, child["id"]))["event"]["body"])
        assert message["data"]["result"] == "x" * 3_000_000


async def test_a_function_that_calls_itself_ends_at_the_limit_of_depth(tmp_path: Path) -> None:
    async with serving(
        tmp_path,
        {"loop-background.py": QUICK},
        functions={"loop-background": sends_to("again")},
        destinations={"again": to("loop-background")},
    ) as service:
        job_id = await service.start_job("loop-background")
        for _ in range(16):
            job_id = (await child_of(service, job_id))["id"]
        (delivery,) = await service.until_delivered(job_id, "dead")
        assert (delivery.reason, delivery.attempt) == ("too_deep", 1)
        assert (await service.get(f"/v1/jobs?parent={job_id}")).json["items"] == []
        assert len((await service.get("/v1/jobs?limit=100")).json["items"]) == 17


async def test_a_full_queue_is_a_temporary_failure(tmp_path: Path) -> None:
    files = {"first-background.py": QUICK, "second-background.py": WAITING}
    functions = {"first-background": sends_to("next"), "second-background": FunctionSettings(concurrency=1)}
    destinations = {"next": to("second-background", retry=RetrySpec(waits=(5.0,)))}
    async with serving(tmp_path, files, functions=functions, destinations=destinations, queue_limit=1) as service:
        busy = await service.start_job("second-background")
        await service.until_begun("second-background")
        waiting = await service.start_job("second-background")
        parent_id = await service.start_job("first-background")
        (delivery,) = await service.until_delivered(parent_id, "retrying")
        assert delivery.last_error is not None
        assert (delivery.last_error.status, delivery.max_attempts) == (429, 2)
        assert "second-background holds 1 job, as many as it may" in delivery.last_error.message
        service.go()
        for job_id in (busy, waiting):
            await service.until(job_id, "succeeded")
        await service.clock.advance(6.1)
        await child_of(service, parent_id)


async def test_a_returned_503_is_run_again_when_it_asked_for(tmp_path: Path) -> None:
    source = """
        def handler(event, context):
            if context.attempt == 1:
                return {"statusCode": 503, "headers": {"Retry-After": "90"}, "body": "later"}
            return {"statusCode": 503, "headers": {"Retry-After": "30"}, "body": "later"}
        """
    async with serving(tmp_path, {"busy-background.py": source}) as service:
        job_id = await service.start_job("busy-background")
        for number, wait_s in ((1, 90.0), (2, 120.0)):  # the later of what it asked for and what the policy says
            job = await service.until(job_id, "retrying", run=number)
            assert (job.due_at - service.clock.now()).total_seconds() == wait_s
            await service.clock.advance(wait_s + 0.01)
        assert (await service.until(job_id, "failed")).reason == "bad_status"
