"""Batches as they come in: three forms of upload, what is rejected, and the same key again."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData

from tests.support.batches import FILES, NDJSON, ONCE, URL, ended, lines, post, results
from tests.support.service import eventually, serving

# Forms


async def test_a_batch_of_lines_is_run_and_its_results_come_by_index(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, functions=ONCE) as service:
        items = [
            {"body": "words", "key": "a"},
            {"body": {"n": 12345678901234567890123}, "headers": {"X-Extra": "yes"}},
            {"body_base64": base64.b64encode(b"\xff\x00").decode(), "tags": ["scan"]},
            {"body": "typed", "headers": {"Content-Type": "text/csv"}},
            {},
        ]
        answer = await post(service, *items)
        assert answer.status == 202
        batch = answer.json
        assert (batch["function"], batch["total"], batch["rejected"]) == ("shows-background", 5, [])
        assert answer.headers["Location"] == f"/v1/batches/{batch['id']}"
        done = await ended(service, batch["id"])
        assert (done["state"], done["succeeded"], done["open"], done["running"]) == ("completed", 5, 0, 0)
        assert done["progress"] == {"done": 5, "total": 5, "note": None}
        found = await results(service, batch["id"])
        assert [(line["index"], line["key"], line["state"]) for line in found] == [
            (0, "a", "succeeded"), *((number, None, "succeeded") for number in range(1, 5))
        ]  # fmt: skip
        assert [(line["result"]["body"], line["result"]["type"]) for line in found] == [
            ("words", "text/plain; charset=utf-8"),
            ('{"n":12345678901234567890123}', "application/json"),
            ("base64:/wA=", "application/octet-stream"),
            ("typed", "text/csv"),
            (None, None),
        ]
        assert found[1]["result"]["extra"] == "yes"
        assert {line["result"]["batch"] for line in found} == {batch["id"]}
        assert {line["result"]["path"] for line in found} == {"/.netlify/functions/shows-background"}
        job = (await service.get(f"/v1/jobs/{found[2]['job_id']}")).json
        assert (job["batch_id"], job["tags"]) == (batch["id"], ["scan"])
        listed = (await service.get(f"/v1/jobs?batch={batch['id']}")).json["items"]
        assert len(listed) == 5


async def test_a_batch_as_one_document(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        document = {"function": "shows-background", "items": [{"body": str(number)} for number in range(450)]}
        answer = await service.post("/v1/batches", json=document)
        assert (answer.status, answer.json["total"]) == (202, 450)
        await ended(service, answer.json["id"])
        assert [line["result"]["body"] for line in await results(service, answer.json["id"])] == [
            str(number) for number in range(450)
        ]


async def test_a_batch_of_files(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        form = FormData(quote_fields=False)
        form.add_field("file", b"%PDF-1.7 \xff", filename="letters/one.pdf", content_type="application/pdf")
        form.add_field("file", b"zwei", filename="zwei.txt", content_type="text/plain")
        form.add_field("note", "no file")
        form.add_field("file", b"", filename="empty")
        answer = await service.post(URL, data=form)
        assert (answer.status, answer.json["total"]) == (202, 3)
        assert [reject["index"] for reject in answer.json["rejected"]] == [2]
        await ended(service, answer.json["id"])
        found = await results(service, answer.json["id"])
        assert [(line["index"], line["key"], line["result"]["type"]) for line in found] == [
            (0, "letters/one.pdf", "application/pdf"),
            (1, "zwei.txt", "text/plain"),
            (3, "empty", "application/octet-stream"),
        ]
        assert found[0]["result"]["body"] == "base64:" + base64.b64encode(b"%PDF-1.7 \xff").decode()


async def test_a_file_s_name_may_be_any_bytes(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        disposition = b'Content-Disposition: form-data; name="f"; filename="caf\xe9"'
        content = b"--b\r\n" + disposition + b"\r\n\r\nx\r\n--b--\r\n"
        answer = await service.post(URL, data=content, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert (answer.status, answer.json["total"], answer.json["rejected"]) == (202, 1, [])
        (job,) = (await service.get(f"/v1/jobs?batch={answer.json['id']}")).json["items"]
        assert (await service.job(job["id"])).origin.key == "caf\ufffd"


async def test_a_result_of_bytes_is_marked_as_base64(tmp_path: Path) -> None:
    scan = """
        def handler(event, context):
            return {"statusCode": 200, "body": "/wA=", "isBase64Encoded": bool(event["body"])}
    """
    async with serving(tmp_path, {"scan.py": scan}) as service:
        answer = await post(service, {"body": "bytes"}, {}, url="/v1/batches?function=scan")
        await ended(service, answer.json["id"])
        bytes_, text = await results(service, answer.json["id"])
        assert (bytes_["result"], bytes_["result_encoding"]) == ("/wA=", "base64")
        assert text["result"] == "/wA="
        assert "result_encoding" not in text


async def test_any_function_takes_a_batch(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        answer = await post(service, {}, {}, url="/v1/batches?function=quick")
        assert (await ended(service, answer.json["id"]))["succeeded"] == 2


@pytest.mark.parametrize("form", ["lines", "blank lines", "a document", "files"])
async def test_an_upload_without_items_makes_no_batch_and_says_what_to_send(tmp_path: Path, form: str) -> None:
    async with serving(tmp_path, FILES) as service:
        match form:
            case "a document":
                answer = await service.post(URL, data=b'{"items": []}', headers={"Content-Type": "application/json"})
            case "files":
                kind = {"Content-Type": "multipart/form-data; boundary=x"}
                answer = await service.post(URL, data=b"--x--\r\n", headers=kind)
            case _:
                answer = await service.post(URL, data=b"\n \n" if form == "blank lines" else b"", headers=NDJSON)
        assert (answer.status, answer.json["title"]) == (400, "No items")
        assert answer.json["detail"].startswith("there is no item in it: send NDJSON, an item such as")
        assert (await service.get("/v1/batches")).json["items"] == []


# Rejects


async def test_bad_items_are_rejected_by_their_index_and_the_others_run(tmp_path: Path) -> None:
    key = "expected a known key"
    bad: list[tuple[bytes, str]] = [
        (b'{"body": "a", "body": "b"}', "body"),
        (b"{", "JSON"),
        (b'"text"', 'expected an item such as {"body": ...}, got "text"'),
        (b'{"bdy": 1}', f'bdy: {key} (nearest: body), got "bdy"'),
        (b'{"body": 1, "body_base64": ""}', "body_base64: expected only one of body and body_base64, got both"),
        (b'{"body_base64": "%%%"}', "base64"),
        (b'{"headers": {"a b": "c"}}', "headers['a b']: expected the name of a header, got \"a b\""),
        (b'{"headers": {"a": "c\\n"}}', "headers.a: expected text of at most 8192 characters, without line breaks"),
        (b'{"tags": [""]}', "tags[0]: expected text of 1 to 100 characters, without control characters, got"),
        (b'{"key": 5}', "key: expected text of at most 500 characters, got 5"),
        (b'{"body": NaN}', "JSON"),
        (b'{"body": "\\ud800"}', "JSON"),
        (b"\xff", "JSON"),
        (b'{"body": "%b"}' % (b"x" * 1025), "1024 bytes"),
        (b'{"body": "%b"}' % (b"x" * 100_000), "line"),
    ]
    async with serving(tmp_path, FILES, body_limit=1024) as service:
        upload = b'{"body": "good"}\n\n' + b"\r\n".join(line for line, _ in bad) + b'\n{"body": "good too"}'
        answer = await service.post(URL, data=upload, headers=NDJSON)
        assert (answer.status, answer.json["total"]) == (202, 2)
        rejected = answer.json["rejected"]
        assert [reject["index"] for reject in rejected] == list(range(1, len(bad) + 1))
        for reject, (_, word) in zip(rejected, bad, strict=True):
            assert word in reject["detail"], reject
        batch = await ended(service, answer.json["id"])
        assert [line["index"] for line in await results(service, answer.json["id"])] == [0, len(bad) + 1]
        assert (batch["rejected_total"], batch["rejected"]) == (len(bad), rejected)


async def test_a_batch_tells_later_how_many_items_of_its_last_upload_were_rejected_and_of_the_first_why(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        bad = [{"key": number} for number in range(25)]
        first = await post(service, *bad, {"body": "good"}, Idempotency_Key="k")
        assert len(first.json["rejected"]) == first.json["rejected_total"] == 25
        url = f"/v1/batches/{first.json['id']}"
        batch = (await service.get(url)).json
        assert (batch["total"], batch["rejected_total"]) == (1, 25)
        assert batch["rejected"] == first.json["rejected"][:20]
        (listed,) = (await service.get("/v1/batches")).json["items"]
        assert (listed["rejected_total"], "rejected" in listed) == (25, False)
        await post(service, *({"key": str(number)} for number in range(25)), {"body": "good"}, Idempotency_Key="k")
        batch = (await service.get(url)).json
        assert (batch["total"], batch["rejected_total"], batch["rejected"]) == (26, 0, [])


async def test_more_than_ten_thousand_items_are_rejected_by_index(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        answer = await service.post(URL, data=b"{}\n" * 10_003, headers=NDJSON)
        assert (answer.status, answer.json["total"]) == (202, 10_000)
        assert [reject["index"] for reject in answer.json["rejected"]] == [10_000, 10_001, 10_002]


async def test_an_upload_of_very_many_items_that_are_none_is_broken_off(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        answer = await service.post(URL, data=b"{}\n" + b"1\n" * 40_000, headers=NDJSON)
        assert (answer.status, answer.json["title"]) == (413, "Too many items")
        (batch,) = (await service.get("/v1/batches")).json["items"]
        assert (batch["state"], batch["total"]) == ("receiving", 1)
        assert 20_000 < batch["rejected_total"] <= 20_200


@pytest.mark.parametrize(
    ("url", "content_type", "body", "status"),
    [
        ("/v1/batches", "application/x-ndjson", b"{}", 400),
        ("/v1/batches?function=nobody", "application/x-ndjson", b"{}", 404),
        ("/v1/batches?function=a%20b", "application/x-ndjson", b"{}", 400),
        (URL, "text/plain", b"{}", 415),
        (URL, "", b"{}", 415),
        (URL, "application/json", b"{", 400),
        (URL, "application/json", b"[]", 400),
        (URL, "application/json", b'{"items": {}}', 400),
        (URL, "application/json", b'{"items": [], "more": 1}', 400),
        (URL, "multipart/form-data", b"", 400),
        (URL, "multipart/form-data; boundary=x", b"--y\r\n\r\n", 400),
    ],
)
async def test_a_bad_upload_is_a_problem_and_nothing_runs(
    tmp_path: Path, url: str, content_type: str, body: bytes, status: int
) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        answer = await service.post(url, data=body, headers={"Content-Type": content_type})
        assert answer.status == status
        assert (await service.get("/v1/jobs")).json["items"] == []


@pytest.mark.parametrize("span", ["99h", "0"])
async def test_a_time_limit_of_a_batch_only_lowers_that_of_its_function(tmp_path: Path, span: str) -> None:
    async with serving(tmp_path, FILES) as service:
        answer = await service.post(URL, headers=NDJSON | {"X-Job-Timeout": span}, data=b'{"body": 1}\n')
        assert (answer.status, answer.json["title"]) == (400, "Bad header")
        assert "at most the function's own 900 s" in answer.json["detail"]
        assert (await service.get("/v1/batches")).json["items"] == []


async def test_a_full_queue_rejects_what_it_has_no_room_for(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False, queue_limit=200) as service:
        answer = await post(service, *({"body": str(number)} for number in range(250)), Idempotency_Key="k")
        assert (answer.status, answer.json["total"], len(answer.json["rejected"])) == (202, 200, 50)
        assert "queue" in answer.json["rejected"][0]["detail"]
        assert (await post(service, {})).status == 429


# Keys


async def test_a_batch_that_is_sent_again_adds_what_is_missing_and_rejects_what_differs(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        first = await post(service, {"body": "a"}, {"body": "b"}, Idempotency_Key="nightly")
        again = await post(service, {"body": "a"}, {"body": "changed"}, {"body": "c"}, Idempotency_Key="nightly")
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (again.json["id"], again.json["total"]) == (first.json["id"], 3)
        assert [reject["index"] for reject in again.json["rejected"]] == [1]
        other = await post(service, {"body": "a"}, url="/v1/batches?function=quick", Idempotency_Key="nightly")
        assert other.json["id"] != first.json["id"]


async def test_an_ended_batch_that_is_sent_again_runs_nothing_twice(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        first = await post(service, {"body": "a"}, Idempotency_Key="k")
        await ended(service, first.json["id"])
        again = await post(service, {"body": "a"}, {"body": "b"}, Idempotency_Key="k")
        assert (again.json["state"], again.json["total"]) == ("completed", 1)
        assert [reject["index"] for reject in again.json["rejected"]] == [1]


async def test_a_cut_upload_stays_open_for_an_hour_and_is_then_closed_with_what_came(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.app.config.service.port)
        head = f"POST {URL} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n"
        body = lines({"bdy": 1}, *({"body": str(number)} for number in range(199)))
        writer.write(f"{head}Content-Length: {len(body) + 100}\r\n\r\n".encode() + body)
        await writer.drain()

        async def stored() -> Any:
            found = (await service.get("/v1/batches")).json["items"]
            return found[0] if found and found[0]["succeeded"] == 199 else None

        batch = await eventually(stored)
        writer.close()
        assert batch["state"] == "receiving"
        await service.clock.advance(3599)
        assert (await service.get(f"/v1/batches/{batch['id']}")).json["state"] == "receiving"
        await service.clock.advance(1.1)
        batch = await ended(service, batch["id"])
        assert (batch["succeeded"], batch["rejected_total"], batch["rejected"][0]["pointer"]) == (199, 1, "/bdy")
        del reader
