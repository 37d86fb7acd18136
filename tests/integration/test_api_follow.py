"""Following a job's log: what is stored, then what the running run writes, until the job ends; and readers who stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse

from pipeline.config.settings import FunctionSettings, RetrySpec
from pipeline.web.resources import follow
from tests.support import shapes
from tests.support.service import PATIENCE_S, Service, eventually, holds, serving

TALKING = """
    import logging, os, time
    def handler(event, context):
        print(f"begin {context.attempt}")
        for number in range(1000):
            if os.path.exists("say"):
                print(open("say").read())
                os.unlink("say")
            if os.path.exists("go"):
                os.unlink("go")
                break
            time.sleep(0.01)
        logging.getLogger().info("last words")
        print("no line break", end="")
        if context.attempt == 1 and event["body"] == "fail":
            raise ValueError("try again")
        return 1
    """
FILES = {"talking-background.py": TALKING, "other-background.py": TALKING}


@asynccontextmanager
async def talking(tmp_path: Path, **options: Any) -> AsyncIterator[Service]:
    """Serve a function that says what it is told to."""
    settings = {"talking-background": FunctionSettings(retry=RetrySpec(waits=(5.0,)))}
    async with serving(tmp_path, FILES, functions=settings, **options) as service:
        yield service


def say(tmp_path: Path, text: str) -> None:
    """Have the run print a text."""
    folder = tmp_path / "functions"
    (folder / "new").write_text(text)
    (folder / "new").rename(folder / "say")


@asynccontextmanager
async def following(service: Service, job_id: str, query: str = "") -> AsyncIterator[ClientResponse]:
    """Follow a job."""
    async with service.client.get(f"{service.url}/v1/jobs/{job_id}/logs?follow=1{query}") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/x-ndjson"
        yield response


async def next_line(response: ClientResponse) -> dict[str, Any]:
    """Return the next log line of a stream."""
    async with asyncio.timeout(PATIENCE_S):
        line = orjson.loads(await response.content.readline())
    shapes.check("log-line", line)
    assert isinstance(line, dict)
    return line


async def rest(response: ClientResponse) -> list[dict[str, Any]]:
    """Return all lines up to the end of a stream."""
    async with asyncio.timeout(PATIENCE_S):
        return [orjson.loads(line) for line in (await response.read()).splitlines()]


async def listed(service: Service, job_id: str, query: str = "") -> list[dict[str, Any]]:
    """Return the log lines as a list."""
    items = (await service.get(f"/v1/jobs/{job_id}/logs?limit=500{query}")).json["items"]
    assert isinstance(items, list)
    return items


async def test_lines_come_as_they_are_written_and_are_the_ones_that_are_stored(tmp_path: Path) -> None:
    async with talking(tmp_path) as service:
        job_id = await service.start_job("talking-background")
        async with following(service, job_id) as stream:
            first = await next_line(stream)
            assert (first["number"], first["run"], first["stream"], first["text"]) == (1, 1, "stdout", "begin 1")
            say(tmp_path, "now")
            second = await next_line(stream)
            assert (second["number"], second["text"]) == (2, "now")
            service.go()
            lines = [first, second, *await rest(stream)]
        assert lines == await listed(service, job_id)
        assert [line["number"] for line in lines] == [1, 2, 3, 4]
        assert {line["text"]: line["level"] for line in lines}["last words"] == "info"
        assert not service.app.pool.watches._watches
        assert not service.app._changes._waiting


async def test_it_goes_on_over_the_runs_with_no_gap_and_no_line_twice(tmp_path: Path) -> None:
    async with talking(tmp_path) as service:
        job_id = await service.start_job("talking-background", data=b"fail", headers={"Content-Type": "text/plain"})
        async with following(service, job_id) as stream, following(service, job_id, "&after=2") as later:
            service.go()
            await service.until(job_id, "retrying")
            await service.clock.advance(5.01)
            await service.until(job_id, "running", run=2)
            service.go()
            lines = await rest(stream)
            assert await rest(later) == lines[2:]
        assert [line["number"] for line in lines] == [1, 2, 3, 4, 5, 6]
        assert [line["run"] for line in lines] == [1, 1, 1, 2, 2, 2]
        assert lines == await listed(service, job_id)


async def test_a_run_s_lines_are_listed_while_it_runs(tmp_path: Path) -> None:
    async with talking(tmp_path) as service:
        job_id = await service.start_job("talking-background")
        say(tmp_path, "one\ntwo\nthree")

        async def look() -> list[dict[str, Any]] | None:
            found = await listed(service, job_id)
            return found if len(found) >= 4 else None

        seen = await eventually(look)
        assert [(line["number"], line["text"]) for line in seen] == [
            (1, "begin 1"), (2, "one"), (3, "two"), (4, "three")
        ]  # fmt: skip
        assert await listed(service, job_id, "&after=2") == seen[2:]
        page = (await service.get(f"/v1/jobs/{job_id}/logs?limit=2")).json
        assert page["items"] == seen[:2]
        assert (await service.get(f"/v1/jobs/{job_id}/logs?cursor={page['next_cursor']}")).json["items"] == seen[2:]
        service.go()
        await service.until(job_id, "succeeded")
        assert (await listed(service, job_id))[:4] == seen


async def test_the_last_lines_are_those_of_the_runs_so_far(tmp_path: Path) -> None:
    async with talking(tmp_path) as service:
        job_id = await service.start_job("talking-background", data=b"fail", headers={"Content-Type": "text/plain"})
        path = f"/v1/jobs/{job_id}/logs?last="

        async def last(most: int) -> list[str]:
            return [line["text"] for line in (await service.get(f"{path}{most}")).json["items"]]

        async def has_said(text: str) -> bool | None:
            return True if await last(1) == [text] else None

        await eventually(lambda: has_said("begin 1"))
        say(tmp_path, "hello")
        await eventually(lambda: has_said("hello"))
        assert await last(2) == await last(500) == ["begin 1", "hello"]
        service.go()
        await service.until(job_id, "retrying")
        await service.clock.advance(5.1)
        await eventually(lambda: has_said("begin 2"))
        assert await last(3) == ["last words", "no line break", "begin 2"]
        service.go()
        await service.until(job_id, "succeeded")
        assert await last(2) == ["last words", "no line break"]
        numbers = [line["number"] for line in (await service.get(f"{path}500")).json["items"]]
        assert numbers == list(range(1, 8))
        assert (await service.get(f"{path}0")).status == 400


async def test_an_ended_job_is_told_to_its_end_at_once(tmp_path: Path) -> None:
    async with talking(tmp_path) as service:
        job_id = await service.start_job("talking-background")
        service.go()
        await service.until(job_id, "succeeded")
        async with following(service, job_id, "&after=1") as stream:
            assert await rest(stream) == (await listed(service, job_id))[1:]
        head = await service.ask("HEAD", f"/v1/jobs/{job_id}/logs?follow=1")
        assert head.headers["Content-Type"] == "application/x-ndjson"
        assert (await service.get(f"/v1/jobs/{job_id}/logs?follow=yes")).status == 400
        assert (await service.get(f"/v1/jobs/{job_id}/logs?after=-1")).status == 400
        for query in ("follow=1&limit=0", "last=0", "last=1&after=x", "cursor=", "cursor=%31%"):
            assert (await service.get(f"/v1/jobs/{job_id}/logs?{query}")).status == 400


async def test_a_job_that_waits_for_its_process_is_followed_from_its_first_line(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, functions={"talking-background": FunctionSettings(concurrency=1)}) as service:
        blocking = await service.start_job("talking-background")
        waiting = await service.start_job("talking-background")
        async with following(service, waiting) as stream:
            await service.until_begun("talking-background")
            service.go()
            await service.until(blocking, "succeeded")
            assert (await next_line(stream))["text"] == "begin 1"
            service.go()
            assert (await rest(stream))[-1]["text"] == "no line break"


async def test_many_lines_at_once_all_come(tmp_path: Path) -> None:
    async with talking(tmp_path) as service:
        job_id = await service.start_job("talking-background")
        async with following(service, job_id) as stream:
            await next_line(stream)
            say(tmp_path, "\n".join(f"{number} {'x' * 90}" for number in range(20_000)))
            for number in range(20_000):
                line = await next_line(stream)
                assert (line["number"], line["text"].partition(" ")[0]) == (number + 2, str(number))
            service.go()
            assert [line["number"] for line in await rest(stream)] == [20_002, 20_003]


async def test_an_empty_line_is_sent_where_there_is_nothing_to_say(tmp_path: Path) -> None:
    async with talking(tmp_path) as service:
        job_id = await service.start_job("talking-background")
        async with following(service, job_id) as stream:
            await next_line(stream)
            reading = asyncio.ensure_future(stream.content.readline())

            async def has_come() -> bytes | None:
                await service.clock.advance(follow.KEEPALIVE_S)
                return reading.result() if reading.done() else None

            assert await eventually(has_come) == b"\n"
            service.go()


async def test_a_reader_that_hangs_up_leaves_nothing_behind(tmp_path: Path) -> None:
    async with talking(tmp_path) as service:
        job_id = await service.start_job("talking-background")
        async with following(service, job_id) as stream:
            await next_line(stream)
            assert job_id in service.app.pool.watches
            stream.close()

        async def is_noticed() -> bool | None:
            await service.clock.advance(follow.KEEPALIVE_S)
            return True if job_id not in service.app.pool.watches else None

        await eventually(is_noticed)
        assert not service.app._changes._waiting
        service.go()
        await service.until(job_id, "succeeded")


async def test_a_reader_that_takes_nothing_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "PATIENCE_S", 0.2)
    async with talking(tmp_path) as service:
        job_id = await service.start_job("talking-background")
        reader, writer = await asyncio.open_connection("127.0.0.1", service.app.config.service.port, limit=1024)
        host = f"127.0.0.1:{service.app.config.service.port}"
        writer.write(f"GET /v1/jobs/{job_id}/logs?follow=1 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        await reader.readuntil(b"begin 1")
        say(tmp_path, "x" * 1_000_000 + "\n" + "y" * 7_000_000)
        await holds(lambda: job_id not in service.app.pool.watches)
        service.go()
        await service.until(job_id, "succeeded")
        writer.close()


async def test_a_stop_of_the_service_ends_the_stream_in_order(tmp_path: Path) -> None:
    async with talking(tmp_path, grace_s=0.0) as service:
        job_id = await service.start_job("talking-background")
        async with following(service, job_id) as stream:
            await next_line(stream)
            await service.app.drain(0.0, asyncio.Event())
            service.app.pool.watches.close()
            assert [line["text"] for line in await rest(stream)] == []


async def test_lines_of_runs_that_share_a_process_come_as_they_are_stored(tmp_path: Path) -> None:
    source = """
        import asyncio, os
        async def handler(event, context):
            print("begun")
            while not os.path.exists(f"go-{context.job_id}"):
                await asyncio.sleep(0.01)
            print("ended")
        """
    shared = FunctionSettings(concurrency=1, async_concurrency=2)
    async with serving(tmp_path, {"f-background.py": source}, functions={"f-background": shared}) as service:
        first, second = [await service.start_job("f-background") for _ in range(2)]
        async with following(service, first) as one, following(service, second) as other:
            for job_id in (second, first):
                service.go(job_id)
                await service.until(job_id, "succeeded")
            assert await rest(one) == await listed(service, first)
            assert await rest(other) == await listed(service, second)
        assert "ended" in [line["text"] for line in await listed(service, second)]
