"""Signed links: how one is had, what it shows, and where it leads nowhere."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from destinations.email.settings import Settings as Email
from pipeline.config.secret import Secret
from pipeline.config.settings import Access, DestinationSettings, FunctionSettings, KeySettings, Target
from tests.support import samples
from tests.support.callers import CALLERS, bearer
from tests.support.mail_server import mail_server
from tests.support.receiver import OK, receiving
from tests.support.service import ECHO, QUICK, Service, sends_to, serving, webhook

OLD, NEW = Secret("lk_" + "o" * 43), Secret("lk_" + "n" * 43)
LARGE = """
    def handler(event, context):
        return "x" * 5000
    """
FILES = {"quick-background.py": QUICK, "large-background.py": LARGE, "echo.py": ECHO}


@asynccontextmanager
async def sharing(
    tmp_path: Path, keys: tuple[KeySettings, ...] = CALLERS, link_keys: tuple[Secret, ...] = (OLD,), **options: Any
) -> AsyncIterator[Service]:
    """Run a service that signs links."""
    async with serving(tmp_path, FILES, keys=keys, link_keys=link_keys, **options) as service:
        yield service


async def made(service: Service) -> str:
    job_id = await service.start_job("quick-background", headers=bearer("maker"))
    await service.until(job_id, "succeeded")
    return job_id


async def shared(service: Service, job_id: str, lasts: str = "1h", caller: str = "maker") -> str:
    """Ask for a link; return its path with the signature."""
    answer = await service.get(f"/v1/jobs/{job_id}?share={lasts}", headers=bearer(caller))
    assert answer.status == 200
    link = answer.json["links"]["share"]
    assert link.startswith(f"{service.url}/v1/jobs/{job_id}?sig=v1.")
    return str(link.removeprefix(service.url))


async def test_a_link_shows_a_job_and_its_result_without_a_key(tmp_path: Path) -> None:
    async with sharing(tmp_path) as service:
        job_id = await made(service)
        link = await shared(service, job_id)
        job = await service.get(link)
        assert (job.status, job.json["state"]) == (200, "succeeded")
        assert job.json["links"]["self"] == service.url + link
        result = await service.get(job.json["links"]["result"].removeprefix(service.url))
        assert (result.status, result.body) == (200, b'{"done":true}')
        assert "share" not in job.json["links"]
        for asked in ("HEAD", "GET"):
            assert (await service.ask(asked, f"{link}&wait=1")).status == 200
        assert (await service.get(link, headers={"If-None-Match": job.headers["ETag"]})).status == 304


async def test_a_link_is_good_for_nothing_else(tmp_path: Path) -> None:
    async with sharing(tmp_path) as service:
        job_id, other = await made(service), await made(service)
        sig = urlsplit(await shared(service, job_id)).query
        for path in ("runs", "logs", "deliveries"):
            assert (await service.get(f"/v1/jobs/{job_id}/{path}?{sig}")).status == 401
        for path in ("jobs", "deliveries", "destinations", "functions"):
            assert (await service.get(f"/v1/{path}?{sig}")).status == 401
        assert (await service.post(f"/functions/quick-background?{sig}")).status == 401
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert (await service.ask(method, f"/v1/jobs/{job_id}?{sig}")).status in (401, 403, 405)
        for path in ("", "/result"):
            answer = await service.get(f"/v1/jobs/{other}{path}?{sig}")
            assert (answer.status, answer.json["title"]) == (403, "Bad link")
            assert "another job" in answer.json["detail"]
        assert (await service.get(f"/v1/jobs/{job_id}?{sig}&share=1h")).status == 403


@pytest.mark.parametrize("sig", ["", "x", "v1.1.x", "v1.99999999999." + "A" * 43, "%00", "%FF"])
async def test_a_link_that_was_changed_is_403_and_says_so(tmp_path: Path, sig: str) -> None:
    async with sharing(tmp_path, is_started=False) as service:
        answer = await service.get(f"/v1/jobs/{samples.new_id()}?sig={sig}")
        assert (answer.status, answer.json["title"]) == (403, "Bad link")
        assert "changed" in answer.json["detail"]


async def test_a_link_expires(tmp_path: Path) -> None:
    async with sharing(tmp_path) as service:
        link = await shared(service, await made(service), "90s")
        await service.clock.advance(89)
        assert (await service.get(link)).status == 200
        await service.clock.advance(1)
        answer = await service.get(link)
        assert answer.status == 403
        assert answer.json["detail"].startswith("the link has expired at 2026-01-05T12:01:")


async def test_a_key_counts_more_than_a_link(tmp_path: Path) -> None:
    async with sharing(tmp_path) as service:
        job_id = await made(service)
        link = await shared(service, job_id)
        for caller, status in (("maker", 200), ("reader", 200), ("stranger", 404), ("wrong", 401), ("expired", 401)):
            assert (await service.get(link, headers=bearer(caller))).status == status, caller
        assert (await service.get(f"{link}x", headers=bearer("maker"))).status == 200


async def test_the_keys_of_links_are_replaced_one_after_the_other(tmp_path: Path) -> None:
    async with sharing(tmp_path) as service:
        job_id = await made(service)
        before = await shared(service, job_id)
        assert await service.reload(keys=CALLERS, link_keys=(NEW, OLD))
        after = await shared(service, job_id)
        assert before != after
        assert [(await service.get(link)).status for link in (before, after)] == [200, 200]
        assert await service.reload(keys=CALLERS, link_keys=(NEW,))
        assert [(await service.get(link)).status for link in (before, after)] == [403, 200]


@pytest.mark.parametrize("lasts", ["", "0s", "31d", "1", "1w", "-1h", "1e3s", "999999999d", "%00", "1h1h"])
async def test_a_link_lasts_for_a_second_to_thirty_days(tmp_path: Path, lasts: str) -> None:
    async with sharing(tmp_path, is_started=False) as service:
        job_id = await service.start_job("quick-background", headers=bearer("maker"))
        answer = await service.get(f"/v1/jobs/{job_id}?share={lasts}", headers=bearer("maker"))
        assert (answer.status, answer.json["errors"][0]["parameter"]) == (400, "share")


async def test_who_may_not_see_a_job_cannot_share_it(tmp_path: Path) -> None:
    async with sharing(tmp_path) as service:
        job_id = await made(service)
        for caller, status in (("stranger", 404), ("operator", 403), ("wrong", 401)):
            assert (await service.get(f"/v1/jobs/{job_id}?share=1h", headers=bearer(caller))).status == status
        assert await shared(service, job_id, caller="reader")


async def test_without_a_key_to_sign_there_are_no_links(tmp_path: Path) -> None:
    async with sharing(tmp_path, link_keys=()) as service:
        answer = await service.get(f"/v1/jobs/{await made(service)}?share=1h", headers=bearer("maker"))
        assert answer.status == 400
        assert "service.link_keys" in answer.json["detail"]


async def test_the_service_s_own_signatures_are_not_passed_on(tmp_path: Path) -> None:
    async with sharing(tmp_path, keys=()) as service:
        job_id = await made(service)
        sig = urlsplit(await shared(service, job_id)).query
        event = (await service.get(f"/functions/echo/x?a=1&{sig}&sig=mine")).json
        assert (event["rawQuery"], event["queryStringParameters"]) == ("a=1&sig=mine", {"a": "1", "sig": "mine"})
        assert event["rawUrl"] == f"{service.url}/functions/echo/x?a=1&sig=mine"


@pytest.mark.parametrize(("keys", "link_keys"), [(CALLERS, (OLD,)), ((), (OLD,)), (CALLERS, ())])
async def test_a_result_too_large_for_a_message_is_a_link_that_its_receiver_can_follow(
    tmp_path: Path, keys: tuple[KeySettings, ...], link_keys: tuple[Secret, ...]
) -> None:
    async with receiving(OK) as receiver:
        options = {
            "functions": {"large-background": sends_to("hook")},
            "destinations": {"hook": webhook(receiver.url, inline_limit=1024)},
        }
        async with sharing(tmp_path, keys, link_keys, link_expiry=3600.0, **options) as service:
            job_id = await service.start_job("large-background", headers=bearer("maker"))
            await service.until_delivered(job_id, "delivered")
            (request,) = receiver.requests
            url = json.loads(request.body)["data"]["result_url"]
            plain = f"http://127.0.0.1:{service.app.config.service.port}/v1/jobs/{job_id}/result"
            if not (keys and link_keys):
                assert url == plain
                return
            assert url.startswith(f"{plain}?sig=v1.")
            path = url.removeprefix(service.url)
            assert len((await service.get(path)).json) == 5000
            await service.clock.advance(3599)
            assert (await service.get(path)).status == 200
            await service.clock.advance(2)
            assert (await service.get(path)).status == 403


@pytest.mark.parametrize(("keys", "link_keys"), [(CALLERS, (OLD,)), ((), (OLD,)), (CALLERS, ())])
async def test_the_results_of_a_batch_are_a_link_that_its_receiver_can_follow(
    tmp_path: Path, keys: tuple[KeySettings, ...], link_keys: tuple[Secret, ...]
) -> None:
    async with receiving(OK) as receiver:
        options = {
            "functions": {"quick-background": FunctionSettings(on_batch=(Target(to="hook"),))},
            "destinations": {"hook": webhook(receiver.url)},
        }
        async with sharing(tmp_path, keys, link_keys, link_expiry=3600.0, **options) as service:
            document = {"function": "quick-background", "items": [{"body": "a"}, {"body": "b"}]}
            batch_id = (await service.post("/v1/batches", json=document, headers=bearer("maker"))).json["id"]
            own = f"/v1/batches/{batch_id}"
            await service.get(f"{own}?wait=30&until=settled", headers=bearer("maker"))
            (request,) = receiver.requests
            path = json.loads(request.body)["data"]["results_url"].removeprefix(service.url)
            if not (keys and link_keys):
                assert path == f"{own}/results"
                return
            results = await service.get(path)
            assert [json.loads(line)["result"] for line in results.body.splitlines()] == [{"done": True}] * 2
            sig = urlsplit(path).query
            for other in (own, f"{own}/events", f"{own}/deliveries", "/v1/batches"):
                assert (await service.get(f"{other}?{sig}")).status == 401, other
            job_id = json.loads(results.body.splitlines()[0])["job_id"]
            for other in (f"/v1/jobs/{job_id}/result", f"/v1/jobs/{batch_id}", f"/v1/batches/{job_id}/results"):
                assert (await service.get(f"{other}?{sig}")).status == 403, other
            of_job = urlsplit(await shared(service, job_id)).query
            refused = await service.get(f"{own}/results?{of_job}")
            assert (refused.status, "another batch" in refused.json["detail"]) == (403, True)
            await service.clock.advance(3601)
            assert (await service.get(path)).status == 403


@pytest.mark.parametrize("keys", [CALLERS, ()])
async def test_the_links_of_a_mail_can_be_followed_by_its_reader(tmp_path: Path, keys: tuple[KeySettings, ...]) -> None:
    async with mail_server() as mails:
        address = f"smtp://127.0.0.1:{mails.port}"
        text = "{{ job.links.self }} {{ job.links.result }} {{ job.links.logs }}"
        post = Email(smtp=address, from_="s@example.com", to=("a@example.com",), text=text)
        options = {
            "functions": {"quick-background": sends_to("post")},
            "destinations": {"post": DestinationSettings(name="", kind="email", options=post)},
        }
        async with sharing(tmp_path, keys, **options) as service:
            job_id = await service.start_job("quick-background", headers=bearer("maker"))
            await service.until_delivered(job_id, "delivered")
            ((_, _, mail),) = mails.envelopes
            status, result, logs = mail.get_payload(decode=True).decode().split()  # type: ignore[union-attr]
            for link in (status, result):
                assert ("?sig=v1." in link) is bool(keys)
                assert (await service.get(urlsplit(link)._replace(scheme="", netloc="").geturl())).status == 200
            assert "sig=" not in logs


@pytest.mark.parametrize("link_keys", [(OLD,), ()])
async def test_who_may_call_without_a_key_sees_what_became_of_it_by_a_link(
    tmp_path: Path, link_keys: tuple[Secret, ...]
) -> None:
    functions = {"quick-background": FunctionSettings(access=Access.PUBLIC)}
    async with sharing(tmp_path, link_keys=link_keys, functions=functions) as service:
        accepted = await service.post("/functions/quick-background")
        own = await service.post("/functions/quick-background", headers=bearer("maker"))
        job_id, location = accepted.json["id"], accepted.headers["Location"]
        assert own.headers["Location"] == f"/v1/jobs/{own.json['id']}"
        if not link_keys:
            assert location == f"/v1/jobs/{job_id}"
            assert (await service.get(location)).status == 401
            return
        assert location.startswith(f"/v1/jobs/{job_id}?sig=v1.")
        assert accepted.json["links"]["self"] == service.url + location
        job = await service.get(f"{location}&wait=30")
        assert (job.status, job.json["state"]) == (200, "succeeded")
        assert (await service.get(job.json["links"]["result"].removeprefix(service.url))).status == 200
        assert (await service.get(location.replace(job_id, own.json["id"]))).status == 403
        at_once = await service.post("/functions/quick-background", headers={"Prefer": "wait=30"})
        assert "?sig=v1." in at_once.headers["Location"]
