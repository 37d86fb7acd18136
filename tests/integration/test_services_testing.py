"""A test of a destination: one message, once, whatever else stands in the way; nothing of it is stored."""

from pathlib import Path

import orjson
import pytest

from destinations.bodies.forms import form_of
from destinations.function import Settings as FunctionTarget
from destinations.signing.signatures import sign
from pipeline.config.secret import Secret
from pipeline.config.settings import DestinationSettings
from tests.support import shapes
from tests.support.receiver import OK, answer, receiving
from tests.support.service import QUICK, WAITING, serving, webhook

FILES = {"quick-background.py": QUICK}
TEST = "/v1/destinations/hook/test"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_one_signed_post_is_sent_and_its_body_fits_the_published_schema(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        hook = webhook(receiver.url, secrets=(Secret(SECRET),))
        async with serving(tmp_path, FILES, destinations={"hook": hook}) as service:
            tested = await service.post(TEST)
        assert (tested.status, tested.json["delivered"]) == (200, True)
        (request,) = receiver.requests
        assert request.method == "POST"
        headers = request.headers
        assert headers["webhook-id"] == tested.json["message_id"]
        at = int(headers["webhook-timestamp"])
        assert headers["webhook-signature"] == sign([SECRET], headers["webhook-id"], at, request.body)
        shapes.check("message", orjson.loads(request.body))
        assert orjson.loads(request.body)["type"] == "webhook.test"


# What it tells of

PICKY = {"template": '{"text": "{{ result.title }} of {{ job.function }}", "tags": {{ job.tags }}}'}
TITLED = """
    def handler(event, context):
        if event["body"] == "fail":
            context.reject("no title")
        return {"title": "A letter"}
    """


async def test_a_template_for_other_results_is_told_what_helps_and_tested_with_one(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        hook = webhook(receiver.url, body=form_of(PICKY))
        async with serving(tmp_path, FILES, destinations={"hook": hook}) as service:
            (tried,) = (await service.post(TEST)).json["tries"]
            assert (tried["class"], receiver.requests) == ("template_error", [])
            assert "'dict object' has no attribute 'title'; the result of a test is" in tried["message"]
            assert "`result` (on the command line --data), or a job that has ended with `job_id`" in tried["message"]
            assert (await service.post(TEST, json={"result": {"title": "Mine"}})).json["delivered"] is True
            (tried,) = (await service.post(TEST, json={"result": None})).json["tries"]
            assert tried["message"] == "UndefinedError: 'None' has no attribute 'title'"
        (request,) = receiver.requests
        assert orjson.loads(request.body) == {"text": "Mine of webhook-test", "tags": []}


async def test_an_ended_job_is_told_of_again_in_every_form(tmp_path: Path) -> None:
    forms = {"hook": form_of(PICKY), "message": form_of("message"), "lambda": form_of("lambda")}
    async with receiving(OK) as receiver:
        hooks = {name: webhook(receiver.url, body=form) for name, form in forms.items()}
        files = FILES | {"titled-background.py": TITLED}
        async with serving(tmp_path, files, destinations=hooks) as service:
            job_id = await service.start_job("titled-background", headers={"X-Job-Tag": "mail"})
            failed_id = await service.start_job("titled-background", data="fail")
            await service.until(job_id, "succeeded")
            await service.until(failed_id, "failed")
            for name in forms:
                tested = await service.post(f"/v1/destinations/{name}/test", json={"job_id": job_id})
                assert (tested.status, tested.json["delivered"]) == (200, True)
            await service.post("/v1/destinations/message/test", json={"job_id": failed_id})
            assert (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"] == []
        filled, message, record, failed = [orjson.loads(request.body) for request in receiver.requests]
        assert filled == {"text": "A letter of titled-background", "tags": ["mail"]}
        for each in (message, failed):
            shapes.check("message", each)
        assert (message["type"], message["data"]["job"]["id"]) == ("webhook.test", job_id)
        assert message["data"]["result"] == {"title": "A letter"}
        assert failed["data"]["error"]["errorMessage"] == "no title"
        assert (record["requestPayload"]["httpMethod"], record["responsePayload"]["title"]) == ("POST", "A letter")


async def test_what_a_test_cannot_tell_of_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        files = FILES | {"waiting-background.py": WAITING}
        async with serving(tmp_path, files, destinations={"hook": webhook(receiver.url)}) as service:
            job_id = await service.start_job("waiting-background")
            await service.until(job_id, "running")
            open_ = await service.post(TEST, json={"job_id": job_id})
            assert (open_.status, open_.json["state"]) == (409, "running")
            await service.post(f"/v1/jobs/{job_id}/cancel")
            await service.until(job_id, "cancelled")
            cancelled = await service.post(TEST, json={"job_id": job_id})
            assert (cancelled.status, cancelled.json["state"]) == (409, "cancelled")
            unknown = await service.post(TEST, json={"job_id": "nothing"})
            assert (unknown.status, unknown.json["detail"]) == (404, "there is no job nothing")
            for document in ({"result": 1, "job_id": job_id}, {"data": 1}, {"job_id": 1}):
                assert (await service.post(TEST, json=document)).status == 400
        assert receiver.requests == []


async def test_a_paused_destination_is_tested_too_and_stays_paused(tmp_path: Path) -> None:
    async with receiving(OK) as receiver:
        async with serving(tmp_path, FILES, destinations={"hook": webhook(receiver.url)}) as service:
            await service.post("/v1/destinations/hook/pause")
            assert (await service.post(TEST)).json["delivered"] is True
            assert (await service.get("/v1/destinations/hook")).json["state"] == "paused"
        assert len(receiver.requests) == 1


async def test_a_failure_is_told_and_changes_nothing(tmp_path: Path) -> None:
    async with receiving(answer(503, "Retry-After: 3600\r\n", b"down")) as receiver:
        async with serving(tmp_path, FILES, destinations={"hook": webhook(receiver.url)}) as service:
            (tried,) = (await service.post(TEST)).json["tries"]
            shown = (await service.get("/v1/destinations/hook")).json
        assert [tried[key] for key in ("delivered", "status", "class", "body")] == [False, 503, "http_error", "down"]
        assert (shown["not_before"], shown["last_success_at"]) == (None, None)
        assert len(receiver.requests) == 1


async def test_secrets_in_the_answer_are_masked(tmp_path: Path) -> None:
    async with receiving(answer(400, body=f"got {SECRET}".encode())) as receiver:
        hook = webhook(receiver.url, secrets=(Secret(SECRET),))
        async with serving(tmp_path, FILES, destinations={"hook": hook}) as service:
            service.telemetry.mask.learn([SECRET])  # as a configuration from YAML has it learnt
            (tried,) = (await service.post(TEST)).json["tries"]
    assert tried["body"] == "got ***"


async def test_a_destination_that_raises_is_a_failed_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path, FILES, destinations={"hook": webhook("http://127.0.0.1:9/")}) as service:

        async def broken(_: object) -> None:
            raise RuntimeError("closed")

        monkeypatch.setattr(service.app.setup.routes["hook"].destination, "send", broken)
        (tried,) = (await service.post(TEST)).json["tries"]
    assert (tried["class"], tried["message"]) == ("aborted", "the destination raised RuntimeError")


async def test_what_sends_nothing_or_is_not_there_cannot_be_tested(tmp_path: Path) -> None:
    to = DestinationSettings(name="", kind="function", options=FunctionTarget(function="quick-background"))
    async with serving(tmp_path, FILES, destinations={"hook": to}) as service:
        refused = await service.post(TEST)
        assert (refused.status, refused.json["title"]) == (409, "Nothing to test")
        assert (await service.post("/v1/destinations/nobody/test")).status == 404
        assert (await service.get(TEST)).status == 405
        assert (await service.get("/v1/jobs")).json["items"] == []
