"""Invoking functions over HTTP: the 202 of background ones, the answers and failures of synchronous ones."""

import asyncio
import base64
import gzip
import io
from pathlib import Path

import pytest

from pipeline.config.settings import FunctionSettings
from pipeline.ids import is_id
from tests.support.pools import call
from tests.support.raw_http import raw
from tests.support.service import ECHO, PATIENCE_S, QUICK, WAITING, holds, serving

RESPONSE = """
    def handler(event, context):
        return {
            "statusCode": 201,
            "headers": {"X-One": "1", "set-cookie": "lost=1"},
            "multiValueHeaders": {"Set-Cookie": ["a=1; Path=/", "b=2"], "X-Two": ["x", "y"]},
            "body": "made by " + event["httpMethod"],
        }
    """
BINARY = """
    import base64
    def handler(event, context):
        assert event["isBase64Encoded"], event
        body = base64.b64decode(event["body"])[::-1]
        return {
            "statusCode": 200,
            "headers": {"content-type": "image/x-odd"},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
    """
STATUS = """
    def handler(event, context):
        return {"statusCode": int(event["queryStringParameters"]["status"]), "body": "text"}
    """
LENGTH = """
    def handler(event, context):
        return {"statusCode": 200, "body": str(len(event["body"] or ""))}
    """
FAILURES = """
    import os
    def handler(event, context):
        way = event["queryStringParameters"]["way"]
        if way == "raise":
            raise ValueError("<no> words")
        if way == "reject":
            context.reject("not this one")
        if way == "die":
            os._exit(7)
        answers = {"nothing": None, "text": "text"}
        return answers.get(way, {"statusCode": 999 if way == "status" else 200, "body": 7})
    """
FILES = {
    "echo.py": ECHO,
    "response.py": RESPONSE,
    "binary.py": BINARY,
    "status.py": STATUS,
    "length.py": LENGTH,
    "fails.py": FAILURES,
    "broken.py": "def handler(event, context)\n    return 1\n",
    "quick-background.py": QUICK,
    "waiting-background.py": WAITING,
    "waiting.py": WAITING,
}


# The 202


@pytest.mark.parametrize("prefix", ["/functions/", "/.netlify/functions/"])
async def test_a_background_call_is_accepted_with_its_job(tmp_path: Path, prefix: str) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        answer = await service.post(f"{prefix}quick-background/below?x=1", data=b"{}")
        job_id = answer.headers["X-Job-Id"]
        assert is_id(job_id)
        assert answer.status == 202
        assert {name: answer.headers[name] for name in (
            "Location", "Retry-After", "Cache-Control", "X-Call-Id", "x-nf-request-id", "Content-Type", "Vary",
        )} == {
            "Location": f"/v1/jobs/{job_id}",
            "Retry-After": "1",
            "Cache-Control": "no-store",
            "X-Call-Id": job_id,
            "x-nf-request-id": job_id,
            "Content-Type": "application/json",
            "Vary": "Prefer",
        }  # fmt: skip
        links = answer.json.pop("links")
        assert answer.json == {
            "id": job_id,
            "function": "quick-background",
            "state": "queued",
            "attempt": 0,
            "max_attempts": 3,
            "created_at": "2026-01-05T12:00:00.000Z",
        }
        assert links["self"] == f"{service.url}/v1/jobs/{job_id}"
        assert {name: url.removeprefix(links["self"]) for name, url in links.items()} == {
            "self": "", "result": "/result", "events": "/events", "logs": "/logs", "runs": "/runs",
            "deliveries": "/deliveries", "cancel": "/cancel",
        }  # fmt: skip
        assert (await service.job(job_id)).state == "queued"  # stored before it was answered


async def test_the_202_says_queued_and_attempt_0_also_where_the_run_has_begun(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        answer = await service.post("/functions/waiting-background")
        assert (answer.json["state"], answer.json["attempt"]) == ("queued", 0)
        assert (await service.until(answer.json["id"], "running")).attempt == 1
        service.go()
        await service.until(answer.json["id"], "succeeded")


@pytest.mark.parametrize("prefer", ["return=minimal", "handling=lenient, return=minimal; x=1", 'return = "minimal"'])
async def test_prefer_minimal_gives_netlify_s_empty_body(tmp_path: Path, prefer: str) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        answer = await service.post("/functions/quick-background", headers={"Prefer": prefer})
        assert (answer.status, answer.body) == (202, b"")
        assert answer.headers["Preference-Applied"] == "return=minimal"
        assert answer.headers["Location"] == f"/v1/jobs/{answer.headers['x-nf-request-id']}"
        assert answer.headers["Vary"] == "Prefer"


async def test_an_unknown_preference_is_ignored(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        answer = await service.post("/functions/quick-background", headers={"Prefer": "return=minimalist, wait"})
        assert answer.body
        assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_any_method_makes_a_job(tmp_path: Path, method: str) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        answer = await service.ask(method, "/functions/quick-background/")
        assert answer.status == 202
        assert bool(answer.body) == (method != "HEAD")


async def test_links_are_made_from_the_public_url(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False, public_url="https://jobs.example/base/") as service:
        answer = await service.post("/functions/quick-background")
        assert answer.json["links"]["self"] == f"https://jobs.example/base/v1/jobs/{answer.json['id']}"


# Synchronous answers


async def test_a_synchronous_function_answers_its_caller_and_leaves_no_job(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        answer = await service.post("/.netlify/functions/response")
        assert (answer.status, answer.body) == (201, b"made by POST")
        assert answer.headers.getall("Set-Cookie") == ["a=1; Path=/", "b=2"]
        assert (answer.headers["X-One"], answer.headers.getall("X-Two")) == ("1", ["x", "y"])
        assert "Content-Type" not in answer.headers
        assert "Server" not in answer.headers
        assert is_id(answer.headers["x-nf-request-id"])
        assert (await service.get("/v1/jobs")).json["items"] == []


async def test_the_event_is_what_was_sent(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        answer = await service.ask(
            "PUT", "/functions/echo/below/%C3%A4?a=1&a=2", data="gr\u00fc\u00df", headers={"Content-Type": "text/plain"}
        )
        event = answer.json
        assert (event["httpMethod"], event["path"]) == ("PUT", "/functions/echo/below/%C3%A4")
        assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"]}
        assert (event["body"], event["isBase64Encoded"]) == ("gr\u00fc\u00df", False)
        assert event["rawUrl"] == f"{service.url}/functions/echo/below/%C3%A4?a=1&a=2"
        assert event["headers"]["x-nf-request-id"] == answer.headers["x-nf-request-id"]
        assert event["headers"]["client-ip"] == "127.0.0.1"


async def test_head_gets_the_headers_and_no_body(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        answer = await service.ask("HEAD", "/functions/response")
        assert (answer.status, answer.body, answer.headers["X-One"]) == (201, b"", "1")
        assert answer.headers.getall("Set-Cookie") == ["a=1; Path=/", "b=2"]
        assert (await service.get("/functions/response")).body == b"made by GET"  # the connection is in order


async def test_bytes_go_in_and_out_as_they_are(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        sent = bytes(range(256)) * 10
        answer = await service.post("/functions/binary", data=sent)
        assert (answer.body, answer.headers["Content-Type"]) == (sent[::-1], "image/x-odd")


@pytest.mark.parametrize("status", [200, 204, 304, 400, 404, 418, 500, 503, 599])
async def test_a_function_s_own_status_is_answered_whatever_it_is(tmp_path: Path, status: int) -> None:
    async with serving(tmp_path, FILES) as service:
        answer = await service.get(f"/functions/status?status={status}", is_own=True)
        assert answer.status == status
        assert answer.body == (b"" if status in (204, 304) else b"text")
        assert (await service.get("/healthz")).status == 200


# Failures of synchronous functions


@pytest.mark.parametrize(
    ("way", "status", "reason", "type_", "message"),
    [
        ("raise", 500, "error", "ValueError", "<no> words"),
        ("reject", 500, "rejected", None, "not this one"),
        ("die", 502, "crashed", "Runtime.ExitError", "the worker process ended: exit code 7"),
        ("nothing", 502, "bad_response", None, None),
        ("text", 502, "bad_response", None, None),
        ("status", 502, "bad_response", None, None),
        ("body", 502, "bad_response", None, "body must be a string, got"),
    ],
)
async def test_a_failure_is_a_problem_with_the_error(
    tmp_path: Path, way: str, status: int, reason: str, type_: str | None, message: str | None
) -> None:
    async with serving(tmp_path, FILES) as service:
        answer = await service.get(f"/functions/fails?way={way}")
        assert (answer.status, answer.json["reason"]) == (status, reason)
        assert type_ in (None, answer.json["errorType"])
        assert (message or "") in answer.json["errorMessage"]
        assert answer.json["detail"] == answer.json["errorMessage"]
        assert isinstance(answer.json["stackTrace"], list)
        assert is_id(answer.headers["x-nf-request-id"])
        if way == "raise":
            assert any("fails.py" in frame for frame in answer.json["stackTrace"])


async def test_a_function_that_does_not_load_is_a_problem_with_file_and_line(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        answer = await service.get("/functions/broken")
        assert (answer.status, answer.json["reason"]) == (500, "error")
        assert answer.json["errorType"] == "Runtime.UserCodeSyntaxError"
        assert answer.json["errorMessage"].startswith("broken.py:1: ")


async def test_a_browser_gets_a_small_page(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        accept = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
        answer = await service.get("/functions/fails?way=raise", headers=accept)
        assert (answer.status, answer.headers["Content-Type"]) == (500, "text/html; charset=utf-8")
        assert b"<h1>ValueError: &lt;no&gt; words</h1>" in answer.body
        assert b"<no>" not in answer.body
        answer = await service.get("/functions/fails?way=die", headers=accept)
        assert (answer.status, answer.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
        answer = await service.get("/functions/nothing", headers=accept)  # the service's own errors are problems
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


async def test_a_function_that_takes_too_long_is_502_in_the_words_of_netlify(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, functions={"waiting": FunctionSettings(timeout=3.0)}) as service:
        asking = asyncio.ensure_future(service.get("/functions/waiting"))
        await service.until_begun("waiting")
        await service.clock.advance(3.01)
        answer = await asking
        assert (answer.status, answer.json["reason"]) == (502, "timeout")
        assert answer.json["errorMessage"].endswith("Task timed out after 3.00 seconds")
        assert answer.headers["x-nf-request-id"] in answer.json["errorMessage"]


async def test_an_idempotency_key_is_for_jobs_only(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        for name, value in (("Idempotency-Key", "abc"), ("X-Job-Delay", "1m"), ("X-Job-Tag", "a")):
            answer = await service.post("/functions/response", headers={name: value})
            assert answer.status == 400
            assert answer.json["errors"][0]["header"] == name
            assert "respond-async" in answer.json["detail"]


async def test_a_call_that_finds_no_free_process_gives_up_after_the_function_s_own_limit(tmp_path: Path) -> None:
    settings = {"waiting": FunctionSettings(timeout=3.0, concurrency=1)}
    async with serving(tmp_path, FILES, functions=settings) as service:
        blocking = asyncio.ensure_future(service.app.pool.run(call("waiting", timeout_s=600.0)))
        await service.until_begun("waiting")
        asking = asyncio.ensure_future(service.get("/functions/waiting"))
        await holds(lambda: service.app.pool._lanes["waiting"].waiting)
        await service.clock.advance(3.01)
        answer = await asking
        assert (answer.status, answer.json["title"]) == (503, "All workers are busy")
        assert int(answer.headers["Retry-After"]) >= 1
        service.go()
        await blocking


# What is refused


@pytest.mark.parametrize("name", ["nothing", "nothing-background", "Quick-background", "quick"])
async def test_an_unknown_function_is_404_before_anything_is_queued(tmp_path: Path, name: str) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        answer = await service.post(f"/functions/{name}", data=b"x")
        assert (answer.status, answer.json["title"]) == (404, "Unknown function")
        assert (await service.get("/v1/jobs")).json["items"] == []


@pytest.mark.parametrize("name", ["a.b", "a%20b", "%C3%A4", "a" * 65, "a%0A", "quick-background%00", "a:b", "%FF"])
async def test_a_name_that_no_function_can_have_is_400(tmp_path: Path, name: str) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        assert (await service.post(f"/functions/{name}")).status == 400


MIB_6 = 6 * 1024 * 1024


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_of_six_mebibytes_passes_and_one_byte_more_does_not(tmp_path: Path, is_chunked: bool) -> None:
    async def chunks(size: int):  # type: ignore[no-untyped-def]
        for _ in range(size // MIB_6):
            yield b"x" * MIB_6
        yield b"x" * (size % MIB_6)

    async with serving(tmp_path, FILES) as service:
        for size in (MIB_6, MIB_6 + 1):
            body = chunks(size) if is_chunked else io.BytesIO(b"x" * size)
            answer = await service.post("/functions/length", data=body, headers={"Content-Type": "text/plain"})
            if size == MIB_6:
                assert (answer.status, answer.body) == (200, b"6291456")
            else:
                assert (answer.status, answer.json["title"]) == (413, "Body too large")
        binary = await service.post("/functions/length", data=io.BytesIO(b"\xff" * MIB_6))
        assert binary.body == str(len(base64.b64encode(b"\xff" * MIB_6))).encode()


async def test_a_body_that_unpacks_to_too_much_is_413_and_one_that_is_no_gzip_400(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False, body_limit=1000) as service:
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
        for body, status in ((gzip.compress(b"x" * 1000), 202), (gzip.compress(b"x" * 1001), 413), (b"plain", 400)):
            answer = await service.post("/functions/quick-background", data=body, headers=headers)
            assert answer.status == status


async def test_a_full_queue_is_429_and_loses_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False, queue_limit=2) as service:
        accepted = [await service.start_job("quick-background") for _ in range(2)]
        answer = await service.post("/functions/quick-background")
        assert (answer.status, answer.json["title"]) == (429, "Queue full")
        assert answer.json["detail"] == "the queue of quick-background holds 2 jobs, as many as it may"
        assert int(answer.headers["Retry-After"]) >= 1
        await service.start_job("waiting-background")  # the queue is the function's own
        assert await service.app.store.queued_jobs() == {"quick-background": 2, "waiting-background": 1}
        assert {(await service.job(job_id)).state for job_id in accepted} == {"queued"}


async def test_a_draining_service_takes_nothing_in_and_answers_on(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        job_id = await service.start_job("quick-background")
        await service.until(job_id, "succeeded")
        await service.app.drain(0.0, asyncio.Event())
        for function in ("quick-background", "response"):
            answer = await service.post(f"/functions/{function}")
            assert (answer.status, answer.json["title"]) == (503, "Shutting down")
            assert int(answer.headers["Retry-After"]) >= 1
        assert (await service.get(f"/v1/jobs/{job_id}")).json["state"] == "succeeded"
        assert (await service.get(f"/v1/jobs/{job_id}/result")).body == b'{"done":true}'
        ready = await service.get("/readyz")
        assert (ready.status, ready.json["status"]) == (503, "draining")
        assert (await service.get("/healthz")).status == 200


async def test_a_body_that_stalls_is_408_and_its_connection_is_given_up(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False, body_timeout=0.05) as service:
        answer = await raw(service, "POST /functions/quick-background HTTP/1.1", "Content-Length: 10", body=b"abc")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"content-type: application/problem+json" in answer.lower()
        assert b"\r\nconnection: close\r\n" in answer.lower()
        assert (await service.get("/v1/jobs")).json["items"] == []


async def test_a_body_without_an_end_is_refused_once_it_is_too_long(tmp_path: Path) -> None:
    async with serving(tmp_path, {"echo.py": ECHO}, body_limit=100_000) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.app.config.service.port)
        writer.write(b"POST /functions/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(11):
            writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"
        writer.close()
        await writer.wait_closed()
