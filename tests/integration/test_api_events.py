"""Event streams: a snapshot first, then what changes, log lines that resume, and an end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse

from pipeline.config.settings import FunctionSettings, RetrySpec
from tests.support import shapes
from tests.support.receiver import OK, answer, receiving
from tests.support.service import QUICK, WAITING, Service, eventually, sends_to, serving, webhook

TELLS = """
    import os, time
    def handler(event, context):
        print("first")
        context.progress(1, 2)
        while not os.path.exists("go"):
            time.sleep(0.005)
        print("second")
        return "done"
    """
FAILS = """
    def handler(event, context):
        print("attempt", context.attempt)
        if context.attempt == 1:
            raise ValueError("no")
    """
FILES = {
    "tells-background.py": TELLS,
    "fails-background.py": FAILS,
    "waiting-background.py": WAITING,
    "quick.py": QUICK,
}


SHAPE_OF: dict[str, dict[str, Any]] = {
    "job": {"$ref": "#/components/schemas/Job"},
    "delivery": {"$ref": "#/components/schemas/Delivery"},
    "log": {"$ref": "#/components/schemas/LogLine"},
    "batch": {"$ref": "#/components/schemas/Batch"},
    "settled": {"const": {}},
}


class Stream:
    """The events of one stream, as they come."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.pings = 0

    async def next(self) -> tuple[str, str | None, Any]:
        """Return the next event: its type, id and data."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(20):
            while line := (await self.response.content.readline()).decode():
                if line == "\n" and fields:
                    break
                if line.startswith(":"):
                    self.pings += 1
                elif line != "\n":
                    name, _, value = line.rstrip("\n").partition(": ")
                    fields[name] = value
        data = json.loads(fields["data"])
        kind = fields["event"]
        shapes.fits({"anyOf": [{"$ref": f"#/components/schemas/{name}Event"} for name in ("Job", "Batch")]}, fields)
        shapes.fits(SHAPE_OF[kind], data)
        return kind, fields.get("id"), data

    async def until(self, kind: str, **facts: Any) -> Any:
        """Read on to an event of this type with these facts, and return its data."""
        while True:
            found, _, data = await self.next()
            if found == kind and all(data[name] == value for name, value in facts.items()):
                return data

    async def rest(self) -> list[tuple[str, str | None, Any]]:
        """Return all events to the end."""
        events = []
        while not events or events[-1][0] != "settled":
            events.append(await self.next())
        assert await self.response.content.read() == b""
        return events


@asynccontextmanager
async def stream(service: Service, path: str, **headers: str) -> AsyncIterator[Stream]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with service.client.get(service.url + path, headers=named) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        assert response.headers["Cache-Control"] == "no-store"
        yield Stream(response)


async def test_a_job_is_told_first_and_then_all_that_changes_to_the_last_delivery(tmp_path: Path) -> None:
    async with receiving(answer(503), OK) as receiver:
        functions = {"tells-background": sends_to("hook")}
        hooks = {"hook": webhook(receiver.url, waits=(30.0,))}
        async with serving(tmp_path, FILES, functions=functions, destinations=hooks) as service:
            job_id = await service.start_job("tells-background")
            await service.until_begun("tells-background")
            async with stream(service, f"/v1/jobs/{job_id}/events") as events:
                kind, _, first = await events.next()
                assert (kind, first["state"]) == ("job", "running")
                if first["progress"] is None:
                    await events.until("job", progress={"done": 1, "total": 2, "note": None})
                service.go()
                await events.until("job", state="succeeded")
                await events.until("delivery", state="retrying")
                await service.clock.advance(40)
                await events.until("delivery", state="delivered")
                *_, (last, _, _) = await events.rest()
                assert last == "settled"


async def test_log_lines_have_numbers_and_a_reader_goes_on_behind_the_last_that_it_saw(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("fails-background")
        await service.until(job_id, "retrying")
        async with stream(service, f"/v1/jobs/{job_id}/events") as events:
            line = await events.until("log")
            assert (line["number"], line["text"]) == (1, "attempt 1")
        await service.clock.advance(61)
        await service.until(job_id, "succeeded")
        async with stream(service, f"/v1/jobs/{job_id}/events", Last_Event_ID="1") as events:
            found = [(number, data["text"]) for kind, number, data in await events.rest() if kind == "log"]
            assert found == [("2", "attempt 2")]
        async with stream(service, f"/v1/jobs/{job_id}/events?after=2") as events:
            assert [kind for kind, _, _ in await events.rest()] == ["job", "settled"]


async def test_a_job_that_is_over_is_told_once_and_the_stream_ends(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("fails-background", headers={"X-Job-Delay": "1h"})
        await service.post(f"/v1/jobs/{job_id}/cancel")
        async with stream(service, f"/v1/jobs/{job_id}/events") as events:
            assert [(kind, data.get("state")) for kind, _, data in await events.rest()] == [
                ("job", "cancelled"),
                ("settled", None),
            ]


async def test_a_quiet_stream_is_kept_alive(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("waiting-background", headers={"X-Job-Delay": "1h"})
        async with stream(service, f"/v1/jobs/{job_id}/events") as events:
            await events.next()
            reading = asyncio.ensure_future(events.until("job", state="cancelled"))

            async def is_kept_alive() -> bool | None:
                await service.clock.advance(15.1)
                return True if events.pings >= 3 else None

            await eventually(is_kept_alive)
            await service.post(f"/v1/jobs/{job_id}/cancel")
            await reading


async def test_readers_that_go_leave_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        before = len(asyncio.all_tasks())
        for _ in range(20):
            async with stream(service, f"/v1/jobs/{job_id}/events") as events:
                await events.next()
                events.response.close()

        async def gone() -> bool | None:
            await service.clock.advance(15.1)  # what is written to nobody shows that
            is_gone = not service.app._changes._waiting and len(asyncio.all_tasks()) <= before + 1
            return True if is_gone else None

        await eventually(gone)


async def test_a_thousand_who_wait_hear_of_a_change_and_leave_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")

        async def follow() -> str:
            async with stream(service, f"/v1/jobs/{job_id}/events") as events:
                return str((await events.until("job", state="succeeded"))["id"])

        async def poll() -> str:
            found = await service.get(f"/v1/jobs/{job_id}?wait=60")
            return str(found.json["id"] if found.json["state"] == "succeeded" else None)

        assert service.client.connector is not None
        service.client.connector._limit = 0
        waiting = [asyncio.ensure_future(each()) for _ in range(500) for each in (follow, poll)]

        async def all_wait() -> bool | None:
            # A stream subscribes twice: for the job, and for its log lines.
            return True if len(service.app._changes._waiting.get(job_id, ())) == 1500 else None

        await eventually(all_wait)
        service.go()
        assert set(await asyncio.gather(*waiting)) == {job_id}

        async def none_waits() -> bool | None:
            return None if service.app._changes._waiting else True

        await eventually(none_waits)


async def test_a_shutdown_ends_the_streams(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("waiting-background", headers={"X-Job-Delay": "1h"})
        async with stream(service, f"/v1/jobs/{job_id}/events") as events:
            await events.next()
            service.app.pool.watches.close()
            service.app._changes.notify_all()
            assert [kind for kind, _, _ in await events.rest()] == ["settled"]


async def test_a_batch_is_told_whenever_it_has_changed_until_its_end(tmp_path: Path) -> None:
    functions = {"waiting-background": FunctionSettings(concurrency=1, retry=RetrySpec(waits=()))}
    async with serving(tmp_path, FILES, functions=functions) as service:
        upload = {"function": "waiting-background", "items": [{}, {}, {}]}
        batch_id = (await service.post("/v1/batches", json=upload)).json["id"]
        await service.until_begun("waiting-background")
        async with stream(service, f"/v1/batches/{batch_id}/events") as events:
            kind, _, first = await events.next()
            assert (kind, first["state"], first["total"]) == ("batch", "running", 3)
            service.go()

            async def ends() -> list[tuple[str, str | None, Any]]:
                return await events.rest()

            rest = asyncio.ensure_future(ends())
            while not rest.done():
                await service.clock.advance(0.3)
                await asyncio.sleep(0.01)
            *_, (_, _, last), (kind, _, _) = rest.result()
            assert (last["state"], last["succeeded"], kind) == ("completed", 3, "settled")


async def test_where_to_go_on_must_be_the_number_of_a_line(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        path = f"/v1/jobs/{await service.start_job('tells-background')}/events"
        answer = await service.get(path, headers={"Last-Event-ID": "last"})
        assert (answer.status, answer.json["errors"][0]["header"]) == (400, "Last-Event-ID")
        for headers in ({}, {"Last-Event-ID": "1"}):
            answer = await service.get(f"{path}?after=-1", headers=headers)
            assert (answer.status, answer.json["errors"][0]["parameter"]) == (400, "after")
