"""A caller's `traceparent`: through the function, the webhook, the next function and its webhook, and never changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from destinations.function import Settings as FunctionTarget
from pipeline.config.settings import DestinationSettings, FunctionSettings, RetrySpec, Target
from tests.support.receiver import OK, Receiver, answer, receiving
from tests.support.service import Service, eventually, sends_to, serving, webhook

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
LATER = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-will-be"
MALFORMED = (
    "00-0-0-0",
    "0" * 300,
    TRACE.upper(),
    f"ff{TRACE[2:]}",
    f"{TRACE}-more",  # of version 00 there is no more
    f"{TRACE[:3]}{'0' * 32}{TRACE[35:]}",
    f"{TRACE[:36]}{'0' * 16}{TRACE[52:]}",
    f"{LATER} ü",
)
SHOWS = """
    def handler(event, context):
        return {"trace": event["headers"].get("traceparent"), "id": context.job_id}
    """
FAILS_FIRST = """
    def handler(event, context):
        if context.attempt == 1:
            raise ValueError("broken")
        return {"trace": event["headers"].get("traceparent"), "id": context.job_id}
    """
FILES = {"first-background.py": FAILS_FIRST, "second-background.py": SHOWS, "now.py": SHOWS}


def to(function: str) -> DestinationSettings:
    return DestinationSettings(name="", kind="function", options=FunctionTarget(function=function))


def chain(url: str) -> dict[str, Any]:
    """Return the settings of a chain: the first function, tried twice, sends to a webhook and to the second, which
    sends to a webhook.
    """
    return {
        "functions": {
            "first-background": sends_to("hook", "next", retry=RetrySpec(waits=(1.0,))),
            "second-background": sends_to("hook"),
        },
        "destinations": {"hook": webhook(url, waits=(1.0,)), "next": to("second-background")},
    }


def heard(receiver: Receiver) -> list[tuple[str, str | None, Any]]:
    """Return of each webhook the function, its trace, and the trace that its function saw."""
    return [
        (request.headers["x-function-name"], request.headers.get("traceparent"), json.loads(request.body))
        for request in receiver.requests
    ]


async def until_heard(receiver: Receiver, count: int) -> list[tuple[str, str | None, str | None]]:
    """Wait for so many webhooks; return of each the function, its trace, and the trace that its function saw."""

    async def look() -> list[tuple[str, str | None, str | None]] | None:
        found = sorted((name, trace, body["data"]["result"]["trace"]) for name, trace, body in heard(receiver))
        return found if len(found) >= count else None

    return await eventually(look)


async def run_chain(service: Service, headers: dict[str, str]) -> str:
    """Start the chain and let its first run fail; return the first job's id."""
    job_id = await service.start_job("first-background", headers=headers)
    await service.until(job_id, "retrying")
    await service.clock.advance(1.01)
    await service.until(job_id, "succeeded")
    return job_id


async def test_a_trace_goes_through_a_chain_of_functions_and_webhooks_and_through_retries(tmp_path: Path) -> None:
    async with (
        receiving(answer(503), answer(503), OK) as receiver,
        serving(tmp_path, FILES, **chain(receiver.url)) as service,
    ):
        job_id = await run_chain(service, {"traceparent": TRACE})

        async def child_of() -> str | None:
            found = (await service.get(f"/v1/jobs?parent={job_id}")).json["items"]
            return found[0]["id"] if found else None

        jobs = (job_id, await eventually(child_of))
        for each in jobs:
            await service.until_delivered(each, "retrying", "delivered")
        await service.clock.advance(1.5)
        for each in jobs:
            await service.until_delivered(each, "delivered")
        first, second = ("first-background", TRACE, TRACE), ("second-background", TRACE, TRACE)
        assert await until_heard(receiver, 4) == [first, first, second, second]


async def test_a_replay_belongs_to_the_trace_of_its_job(tmp_path: Path) -> None:
    async with receiving() as receiver, serving(tmp_path, FILES, **chain(receiver.url)) as service:
        job_id = await run_chain(service, {"traceparent": TRACE})
        await until_heard(receiver, 2)
        again = (await service.post(f"/v1/jobs/{job_id}/replay")).json["id"]
        await service.until(again, "retrying")
        await service.clock.advance(1.01)
        assert {trace for _, *traces in await until_heard(receiver, 4) for trace in traces} == {TRACE}


async def test_a_round_that_an_operator_began_belongs_to_the_trace(tmp_path: Path) -> None:
    files = {"fails-background.py": "def handler(event, context): raise ValueError(event['headers']['traceparent'])"}
    settings = {"fails-background": sends_to("hook", retry=RetrySpec(waits=()))}
    async with receiving() as receiver:
        hook = {"hook": webhook(receiver.url)}
        async with serving(tmp_path, files, functions=settings, destinations=hook) as service:
            job_id = await service.start_job("fails-background", headers={"traceparent": LATER})
            await service.until(job_id, "failed")
            assert (await service.post(f"/v1/jobs/{job_id}/retry")).status == 202
            await service.until(job_id, "failed", run=2)

            async def look() -> bool | None:
                return True if len(receiver.requests) == 2 else None

            await eventually(look)
    traces = [(trace, body["data"]["error"]["errorMessage"]) for _, trace, body in heard(receiver)]
    assert traces == [(LATER, LATER)] * 2


@pytest.mark.parametrize("value", MALFORMED)
async def test_a_malformed_trace_is_passed_over(tmp_path: Path, value: str) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        job_id = await service.start_job("first-background", headers={"traceparent": value})
        assert (await service.job(job_id)).origin.traceparent is None


async def test_two_traces_are_none(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        headers = [("traceparent", TRACE), ("traceparent", OTHER)]
        job_id = await service.start_job("first-background", headers=headers)
        assert (await service.job(job_id)).origin.traceparent is None


async def test_without_a_trace_none_is_invented(tmp_path: Path) -> None:
    async with receiving() as receiver, serving(tmp_path, FILES, **chain(receiver.url)) as service:
        await run_chain(service, {})
        assert await until_heard(receiver, 2) == [("first-background", None, None), ("second-background", None, None)]


async def test_a_synchronous_function_sees_the_trace(tmp_path: Path) -> None:
    async with serving(
        tmp_path, {"now.py": "def handler(e, c): return {'statusCode': 200, 'body': repr(e)}"}
    ) as service:
        assert TRACE in (await service.get("/functions/now", headers={"traceparent": TRACE})).body.decode()


async def test_a_batch_and_its_items_belong_to_its_caller_s_trace_or_to_their_own(tmp_path: Path) -> None:
    async with receiving() as receiver:
        settings = {
            "second-background": FunctionSettings(
                on_success=(Target(to="hook"),), on_batch=(Target(to="hook"), Target(to="next"))
            )
        }
        destinations = {"hook": webhook(receiver.url), "next": to("third-background")}
        files = FILES | {"third-background.py": SHOWS}
        async with serving(tmp_path, files, functions=settings, destinations=destinations) as service:
            items = [{"body": "a"}, {"body": "b", "headers": {"Traceparent": OTHER}}]
            answered = await service.post(
                "/v1/batches", json={"function": "second-background", "items": items}, headers={"traceparent": TRACE}
            )
            assert answered.status == 202

            async def all_heard() -> bool | None:
                return True if len(receiver.requests) == 3 else None

            await eventually(all_heard)
            seen = {
                (body["type"], trace, body["data"].get("result", {}).get("trace")) for _, trace, body in heard(receiver)
            }
            of_items = {("job.succeeded", trace, trace) for trace in (TRACE, OTHER)}
            assert seen == of_items | {("batch.completed", TRACE, None)}

            async def child() -> str | None:
                found = (await service.get("/v1/jobs?function=third-background&state=succeeded")).json["items"]
                return found[0]["id"] if found else None

            result = await service.get(f"/v1/jobs/{await eventually(child)}/result")
            assert result.json["trace"] == TRACE
