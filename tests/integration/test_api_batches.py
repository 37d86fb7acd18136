"""Batches by the API, once they are there: progress, results, messages, cancelling, trying again, and lists."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from destinations.email.settings import Settings as Email
from destinations.function import Settings as FunctionTarget
from pipeline.config.settings import DestinationSettings, FunctionSettings, RetrySpec, Target
from tests.support import samples, shapes
from tests.support.batches import FILES, ONCE, ended, post, results
from tests.support.mail_server import mail_server
from tests.support.receiver import OK, receiving
from tests.support.service import eventually, serving, webhook

# Progress


async def test_a_batch_shows_how_far_it_is_and_who_waits_hears_of_its_end(tmp_path: Path) -> None:
    functions = {"waiting-background": FunctionSettings(concurrency=1)}
    async with serving(tmp_path, FILES, functions=functions) as service:
        answer = await post(service, {}, {}, {}, url="/v1/batches?function=waiting-background")
        batch_id = answer.json["id"]
        await service.until_begun("waiting-background")
        running = await service.get(f"/v1/batches/{batch_id}")
        assert (running.json["state"], running.json["eta_s"]) == ("running", None)
        assert running.json["running"] >= 1
        assert running.headers["Retry-After"] == "1"
        same = {"If-None-Match": running.headers["ETag"]}
        assert (await service.get(f"/v1/batches/{batch_id}", headers=same)).status == 304
        waiting = asyncio.ensure_future(service.get(f"/v1/batches/{batch_id}?wait=60"))
        await asyncio.sleep(0.05)
        service.go()
        await service.clock.advance(1)
        await service.clock.advance(1)
        done = await waiting
        assert (done.json["state"], done.json["succeeded"]) == ("completed", 3)
        assert "Retry-After" not in done.headers


# Ends


async def test_the_end_of_a_batch_is_one_message_by_webhook_mail_and_function(tmp_path: Path) -> None:
    indexes = """
        def handler(event, context):
            open("indexed", "a").write(event["headers"]["x-sendoff-parent"] + "\\n" + event["body"] + "\\n")
            return context.parent_id
        """
    async with receiving(OK) as receiver, mail_server() as mails:
        destinations = {
            "hook": webhook(receiver.url),
            "post": DestinationSettings(
                name="",
                kind="email",
                options=Email(smtp=f"smtp://127.0.0.1:{mails.port}", from_="s@example.com", to=("ops@example.com",)),
            ),
            "index": DestinationSettings(
                name="", kind="function", options=FunctionTarget(function="indexes-background")
            ),
        }
        targets = tuple(Target(to=name) for name in destinations)
        functions = {"shows-background": FunctionSettings(retry=RetrySpec(waits=()), on_batch=targets)}
        files = FILES | {"indexes-background.py": indexes}
        async with serving(tmp_path, files, functions=functions, destinations=destinations) as service:
            answer = await post(service, {"body": "a"}, {"body": "fail", "key": "bad.pdf"}, {"body": "b"})
            batch_id = answer.json["id"]
            done = await ended(service, batch_id)
            assert (done["state"], done["succeeded"], done["failed"]) == ("completed_with_failures", 2, 1)
            settled = await service.get(f"/v1/batches/{batch_id}?wait=60&until=settled")
            assert settled.status == 200
            found = (await service.get(f"/v1/batches/{batch_id}/deliveries")).json["items"]
            assert {(each["destination"], each["state"], each["type"]) for each in found} == {
                (name, "delivered", "batch.completed") for name in destinations
            }
            assert {(each["batch_id"], each["job_id"]) for each in found} == {(batch_id, None)}

            (request,) = receiver.requests
            assert request.headers["x-sendoff-batch-id"] == batch_id
            message = json.loads(request.body)
            shapes.check("message", message)
            assert message["type"] == "batch.completed"
            assert (message["data"]["batch"]["succeeded"], message["data"]["batch"]["failed"]) == (2, 1)
            (failure,) = message["data"]["failures"]
            assert (failure["index"], failure["key"], failure["reason"]) == (1, "bad.pdf", "error")
            assert failure["error"]["errorMessage"] == "no words"

            ((_, _, mail),) = mails.envelopes
            text = mail.get_payload()[0].get_payload(decode=True).decode()  # type: ignore[union-attr,index]
            assert mail["Subject"] == "shows-background: 2 of 3 succeeded"
            assert text.splitlines()[:3] == ["      2 succeeded", "      1 failed", "      3 in all"]
            assert "  bad.pdf: error, ValueError: no words" in text.splitlines()
            assert f"/v1/batches/{batch_id}/results" in text
            assert ", after 0 ms" in text

            async def indexed() -> Any:
                path = tmp_path / "functions" / "indexed"
                return path.read_text().splitlines() if path.exists() else None

            parent, body = await eventually(indexed)
            assert parent == batch_id
            assert json.loads(body)["data"]["batch"]["id"] == batch_id


async def test_a_filter_of_on_batch_sees_the_counts(tmp_path: Path) -> None:
    only_failures = {"type": "object", "required": ["failed"], "properties": {"failed": {"minimum": 1}}}
    async with receiving(OK) as receiver:
        functions = {
            "shows-background": FunctionSettings(
                retry=RetrySpec(waits=()), on_batch=(Target(to="hook", when=only_failures),)
            )
        }
        hooks = {"hook": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=functions, destinations=hooks) as service:
            good = await post(service, {"body": "a"})
            await ended(service, good.json["id"])
            bad = await post(service, {"body": "fail"})
            await ended(service, bad.json["id"])
            states = {}
            for each in (good, bad):
                await service.get(f"/v1/batches/{each.json['id']}?wait=30&until=settled")
                (delivery,) = (await service.get(f"/v1/batches/{each.json['id']}/deliveries")).json["items"]
                states[each.json["id"]] = delivery["state"]
            assert states == {good.json["id"]: "skipped", bad.json["id"]: "delivered"}


# Cancel, retry


async def test_a_cancelled_batch_ends_what_waits_and_what_runs(tmp_path: Path) -> None:
    functions = {"waiting-background": FunctionSettings(concurrency=1)}
    async with serving(tmp_path, FILES, functions=functions) as service:
        answer = await post(service, *([{}] * 700), url="/v1/batches?function=waiting-background")
        batch_id = answer.json["id"]
        await service.until_begun("waiting-background")
        cancelled = await service.post(f"/v1/batches/{batch_id}/cancel")
        assert cancelled.status == 202
        done = await ended(service, batch_id)
        assert (done["state"], done["cancelled"]) == ("cancelled", 700)
        assert (await service.post(f"/v1/batches/{batch_id}/cancel")).status == 409
        assert {line["state"] for line in await results(service, batch_id)} == {"cancelled"}
        # The slot and the queue are free again.
        service.go()
        following = await service.start_job("waiting-background")
        await service.until(following, "succeeded")


async def test_what_failed_is_tried_again_and_the_batch_ends_once_more(tmp_path: Path) -> None:
    async with receiving(OK, OK) as receiver:
        functions = {"shows-background": FunctionSettings(retry=RetrySpec(waits=()), on_batch=(Target(to="hook"),))}
        hooks = {"hook": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=functions, destinations=hooks) as service:
            answer = await post(service, {"body": "a"}, {"body": "fail"}, {"body": "fail"})
            batch_id = answer.json["id"]
            assert (await ended(service, batch_id))["failed"] == 2
            (tmp_path / "functions" / "works").touch()
            again = await service.post(f"/v1/batches/{batch_id}/retry-failed")
            assert (again.status, again.json["state"], again.json["failed"]) == (202, "running", 0)
            done = await ended(service, batch_id)
            assert (done["state"], done["succeeded"]) == ("completed", 3)
            await service.get(f"/v1/batches/{batch_id}?wait=30&until=settled")
            assert [json.loads(each.body)["data"]["batch"]["state"] for each in receiver.requests] == [
                "completed_with_failures",
                "completed",
            ]
            assert (await service.post(f"/v1/batches/{batch_id}/retry-failed")).status == 409


async def test_results_go_on_after_an_index_and_failures_have_their_error(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, functions=ONCE) as service:
        answer = await post(service, {"body": "a"}, {"body": "fail"}, {"body": "500"})
        await ended(service, answer.json["id"])
        found = await results(service, answer.json["id"], "?after=0")
        assert [(line["index"], line["state"], line["reason"]) for line in found] == [
            (1, "failed", "error"),
            (2, "failed", "bad_status"),
        ]
        assert found[0]["error"]["errorMessage"] == "no words"
        assert found[1]["result"] == "later"  # a response that failed is a result all the same


@pytest.mark.parametrize("page", ["", "/results", "/deliveries", "/events", "/cancel", "/retry-failed"])
async def test_an_unknown_batch_is_404(tmp_path: Path, page: str) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        method = "POST" if page in ("/cancel", "/retry-failed") else "GET"
        assert (await service.ask(method, f"/v1/batches/{samples.new_id()}{page}")).status == 404


async def test_batches_are_listed_newest_first_by_pages(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        made = [(await post(service, {})).json["id"] for _ in range(3)]
        first = await service.get("/v1/batches?limit=2")
        assert [each["id"] for each in first.json["items"]] == [made[2], made[1]]
        rest = await service.get(f"/v1/batches?limit=2&cursor={first.json['next_cursor']}")
        assert [each["id"] for each in rest.json["items"]] == [made[0]]
        assert (await service.get("/v1/batches?state=completed")).json["items"] == []
        assert len((await service.get("/v1/batches?function=shows-background&state=running")).json["items"]) == 3
        assert (await service.get("/v1/batches?function=quick")).json["items"] == []
        refused = await service.get("/v1/batches?function=nobody")
        assert (refused.status, refused.json["detail"]) == (404, "there is no function 'nobody'")
