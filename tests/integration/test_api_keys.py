"""Keys: who may do what, and whose is what. One table names every route; a route that is not in it fails."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from destinations.function import Settings as FunctionTarget
from pipeline.config.settings import DestinationSettings
from pipeline.web import routes
from pipeline.web.access import POLICIES
from pipeline.web.policies import ADMIN, CHANGE_JOB, Policy
from pipeline.web.policies import INVOKE as INVOKE_ANY
from pipeline.web.routes import ROUTES, Row
from tests.support import samples
from tests.support.batches import BATCHES, NDJSON
from tests.support.callers import CALLERS, INVOKE, bearer, key, token_of
from tests.support.callers import READ as READ_ALL
from tests.support.guarded import guarded, made
from tests.support.service import Service, eventually, serving

AS_JSON = {"Content-Type": "application/json"}
DRY_RUN = b'{"since": "2026-01-05T00:00:00Z", "dry_run": true}'
LINES = b'{"body": 1}\n{"body": 2, "headers": {"Authorization": "Bearer KEY"}}\n'.replace(
    b"KEY", token_of("maker").encode()
)
YES = 0
"""Stands for whatever the route answers who may use it."""
FUNCTION = {"maker": YES, "valid": YES, "stranger": YES, "narrow": 403, "all": YES, "reader": 403, "operator": 403}
READ = {"maker": 403, "valid": 403, "stranger": 403, "narrow": 403, "all": YES, "reader": YES, "operator": 403}
BATCH = FUNCTION
OWN = {"maker": YES, "valid": YES, "stranger": 404, "narrow": YES, "all": YES, "reader": YES, "operator": 403}
CHANGE = {"maker": YES, "valid": YES, "stranger": 404, "narrow": 403, "all": YES, "reader": 403, "operator": YES}
OPERATE = {"maker": 403, "valid": 403, "stranger": 403, "narrow": 403, "all": YES, "reader": 403, "operator": YES}
OPEN = dict.fromkeys(("none", "wrong", "expired", *READ), YES)
WHO: dict[tuple[str, str], dict[str, int]] = {
    ("*", "/functions/{name}"): FUNCTION,
    ("*", "/functions/{name}/{rest:.*}"): FUNCTION,
    ("*", "/.netlify/functions/{name}"): FUNCTION,
    ("*", "/.netlify/functions/{name}/{rest:.*}"): FUNCTION,
    ("GET", "/v1/jobs"): READ,
    ("GET", "/v1/jobs/{id}"): OWN,
    ("GET", "/v1/jobs/{id}/result"): OWN,
    ("GET", "/v1/jobs/{id}/runs"): OWN,
    ("GET", "/v1/jobs/{id}/logs"): OWN,
    ("GET", "/v1/jobs/{id}/deliveries"): OWN,
    ("POST", "/v1/jobs/{id}/cancel"): CHANGE,
    ("POST", "/v1/jobs/{id}/retry"): CHANGE,
    ("POST", "/v1/jobs/{id}/replay"): CHANGE,
    ("DELETE", "/v1/jobs/{id}"): OPERATE,
    ("GET", "/v1/jobs/{id}/events"): OWN,
    ("POST", "/v1/batches"): BATCH,
    ("GET", "/v1/batches"): READ,
    ("GET", "/v1/batches/{id}"): OWN,
    ("GET", "/v1/batches/{id}/results"): OWN,
    ("GET", "/v1/batches/{id}/events"): OWN,
    ("GET", "/v1/batches/{id}/deliveries"): OWN,
    ("POST", "/v1/batches/{id}/cancel"): CHANGE,
    ("POST", "/v1/batches/{id}/retry-failed"): CHANGE,
    ("GET", "/v1/deliveries"): READ,
    ("GET", "/v1/deliveries/{id}"): OWN,
    ("POST", "/v1/deliveries/{id}/cancel"): CHANGE,
    ("POST", "/v1/deliveries/{id}/replay"): CHANGE,
    ("GET", "/v1/destinations"): READ,
    ("GET", "/v1/destinations/{name}"): READ,
    ("POST", "/v1/destinations/{name}/pause"): OPERATE,
    ("POST", "/v1/destinations/{name}/resume"): OPERATE,
    ("POST", "/v1/destinations/{name}/test"): OPERATE,
    ("POST", "/v1/destinations/{name}/replay"): OPERATE,
    ("GET", "/v1/destinations/{name}/replays"): READ,
    ("GET", "/v1/replays"): READ,
    ("GET", "/v1/replays/{id}"): READ,
    ("POST", "/v1/replays/{id}/cancel"): OPERATE,
    ("GET", "/v1/functions"): READ,
    ("GET", "/v1/usage"): READ,
    ("GET", "/metrics"): READ,
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/.well-known/webhook-keys"): OPEN,
    ("GET", "/openapi.json"): OPEN,
}
"""What each caller is answered on each route, where the maker made what is asked for; who is not named there is
answered 401.
"""
METHODS = {"*": ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"), "GET": ("GET", "HEAD")}
ANSWERS = dict.fromkeys(("cancel", "retry", "retry-failed", "resume", "DELETE"), 409) | {
    "replay": 202,
    "pause": 202,
    "*": 202,
}
"""What those routes answer, where the job has succeeded and still owes a delivery; all others 200."""


async def batch_of(service: Service, caller: str) -> str:
    """Have a caller make a batch, and wait until it has ended; return its id."""
    answer = await service.post(BATCHES, headers=NDJSON | bearer(caller), data=LINES)
    assert answer.status == 202, answer
    batch_id = str(answer.json["id"])
    assert (await service.get(f"/v1/batches/{batch_id}?wait=20", headers=bearer(caller))).json["state"] == "completed"
    return batch_id


def test_every_route_stands_in_the_table() -> None:
    assert {(row.method, row.path) for row in ROUTES} == WHO.keys()


async def test_every_route_of_the_application_has_a_policy(tmp_path: Path) -> None:
    async with serving(tmp_path, is_started=False) as service:
        app = service.app.application()
        assert set(app.router.routes()) == app[POLICIES].keys()


@pytest.mark.parametrize(("method", "path"), WHO, ids=lambda part: part)
async def test_every_caller_is_answered_as_the_table_says(tmp_path: Path, method: str, path: str) -> None:
    async with guarded(tmp_path) as service:
        job_id = await made(service)
        (delivery,) = await service.until_delivered(job_id, "retrying")
        name = "hook" if "destinations" in path else "quick-background"
        subject = job_id
        if path.startswith("/v1/deliveries"):
            subject = delivery.id
        elif path.startswith("/v1/batches"):
            subject = await batch_of(service, "maker")
        elif path.startswith("/v1/replays/"):
            subject = await ended_replay(service)
        asked = path.replace("{id}", subject).replace("{name}", name).replace("{rest:.*}", "x")
        answered = ANSWERS.get(path.rpartition("/")[2], ANSWERS.get(method, 200))
        upload: dict[str, Any] = {}
        media_type = NDJSON
        if (method, path) == ("POST", "/v1/batches"):
            asked, answered, upload = BATCHES, 202, {"data": LINES}
        if path == "/v1/destinations/{name}/replay":
            answered, upload, media_type = 200, {"data": DRY_RUN}, AS_JSON
        if path.startswith("/v1/deliveries/") and method == "POST":
            # Once; from then on it is cancelled, or waits until its destination is resumed.
            await service.post("/v1/destinations/hook/pause", headers=bearer("operator"))
            assert (await service.post(asked, headers=bearer("operator"))).status == 202
            answered = 409
        for caller in OPEN:
            expected = WHO[method, path].get(caller, 401) or answered
            headers = {} if caller == "none" else bearer(caller)
            for each in METHODS.get(method, (method,)):
                status, said = await ask(service, each, asked, headers=headers | media_type, **upload)
                assert status == expected, (caller, each, asked)
                assert said.get("WWW-Authenticate") == ("Bearer" if expected == 401 else None)
            if method != "*":
                assert (await service.ask("PATCH", asked, headers=headers)).status == 405


async def ended_replay(service: Service) -> str:
    """Have a replay made that finds nothing, and wait until it has ended; return its id."""
    document, headers = {"since": "2026-01-05T00:00:00Z"}, bearer("operator")
    answer = await service.post("/v1/destinations/hook/replay", json=document, headers=headers)
    path = f"/v1/replays/{answer.json['id']}"

    async def look() -> bool | None:
        return (await service.get(path, headers=bearer("reader"))).json["ended_at"] and True

    await eventually(look)
    return str(answer.json["id"])


async def ask(service: Service, method: str, path: str, **options: Any) -> tuple[int, Mapping[str, str]]:
    """Return status and headers of an answer, which is read only where it ends."""
    if path.endswith("/events"):
        async with service.client.request(method, service.url + path, **options) as got:
            return got.status, got.headers
    answer = await service.ask(method, path, **options)
    return answer.status, answer.headers


async def test_a_job_of_another_key_is_answered_like_one_that_is_not_there(tmp_path: Path) -> None:
    async with guarded(tmp_path) as service:
        job_id, nothing = await made(service), samples.new_id()
        for path in ("", "/result", "/runs", "/logs", "/deliveries"):
            said = []
            for each in (job_id, nothing):
                answer = await service.get(f"/v1/jobs/{each}{path}", headers=bearer("stranger"))
                said.append((answer.status, answer.body.replace(each.encode(), b"ID")))
            assert said[0] == said[1]
        await service.clock.advance(8 * 86_400)  # so old that it might be gone
        assert (await service.get(f"/v1/jobs/{job_id}", headers=bearer("stranger"))).status == 410


CHANGES = [
    (INVOKE_ANY, {"maker": 204, "valid": 204, "stranger": 204, "narrow": 204, "all": 204, "both": 204}),
    (ADMIN, {"operator": 204, "all": 204}),
    # `both` sees that the job is there, and is told what it lacks; `narrow` made it, but may not have it run again.
    (CHANGE_JOB, {"maker": 204, "valid": 204, "stranger": 404, "operator": 204, "all": 204}),
]


@pytest.mark.parametrize(("policy", "expected"), CHANGES, ids=["invoke", "admin", "change"])
async def test_policies_of_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Policy, expected: dict[str, int]
) -> None:
    async def change(_: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    monkeypatch.setattr(routes, "ROUTES", (*ROUTES, Row("POST", "/v1/jobs/{id}/change", change, policy)))
    async with guarded(tmp_path, keys=(*CALLERS, key("both", INVOKE, READ_ALL))) as service:
        job_id = await made(service)
        for caller in (*OPEN, "both"):
            url = f"{service.url}/v1/jobs/{job_id}/change"
            answer = await service.client.post(url, headers=bearer(caller))
            assert answer.status == expected.get(caller, 401 if caller in ("none", "wrong", "expired") else 403), caller


async def test_a_job_belongs_to_the_name_of_the_key_that_made_it(tmp_path: Path) -> None:
    async with guarded(tmp_path, is_started=False) as service:
        owners = []
        for caller in ("maker", "valid", "all"):
            job_id = await service.start_job("quick-background", headers=bearer(caller))
            owners.append((await service.job(job_id)).origin.owner)
        job_id = await service.start_job("open-background")
        assert [*owners, (await service.job(job_id)).origin.owner] == ["maker", "maker", "all", None]


async def test_a_replay_belongs_to_who_asked_for_it(tmp_path: Path) -> None:
    async with guarded(tmp_path) as service:
        job_id = await made(service)
        for caller in ("maker", "operator"):
            answer = await service.post(f"/v1/jobs/{job_id}/replay", headers=bearer(caller))
            assert (await service.job(answer.json["id"])).origin.owner == caller


async def test_an_idempotency_key_is_good_for_who_chose_it(tmp_path: Path) -> None:
    async with guarded(tmp_path, is_started=False) as service:
        ids = []
        for caller in ("maker", "valid", "stranger"):
            headers = {"Idempotency-Key": "one", **bearer(caller)}
            ids.append((await service.post("/functions/quick-background", headers=headers)).json["id"])
        assert ids[0] == ids[1] != ids[2]
        assert (await service.job(ids[2])).origin.owner == "stranger"


async def test_a_batch_belongs_to_who_made_it_and_so_do_its_jobs(tmp_path: Path) -> None:
    async with guarded(tmp_path) as service:
        batch_id = await batch_of(service, "maker")
        jobs = (await service.get(f"/v1/jobs?batch={batch_id}", headers=bearer("reader"))).json["items"]
        assert len(jobs) == 2
        for job in jobs:
            assert (await service.get(f"/v1/jobs/{job['id']}", headers=bearer("maker"))).status == 200
            assert (await service.get(f"/v1/jobs/{job['id']}", headers=bearer("stranger"))).status == 404
            event = await service.app.store.get_event(job["id"])
            assert event is not None
            assert b"authorization" not in event.lower()


async def test_the_key_of_a_batch_is_good_for_who_chose_it(tmp_path: Path) -> None:
    async with guarded(tmp_path, is_started=False) as service:
        ids = []
        for caller in ("maker", "valid", "stranger"):
            headers = {"Idempotency-Key": "one", **NDJSON, **bearer(caller)}
            ids.append((await service.post(BATCHES, headers=headers, data=LINES)).json["id"])
        assert ids[0] == ids[1] != ids[2]


async def test_a_key_makes_batches_of_its_own_functions_only(tmp_path: Path) -> None:
    async with guarded(tmp_path, is_started=False) as service:
        headers = {"Content-Type": "application/json", **bearer("narrow")}
        for name, status in (("other-background", 202), ("quick-background", 403), ("nothing", 403)):
            document = {"function": name, "items": [{"body": 1}]}
            answer = await service.post("/v1/batches", headers=headers, data=json.dumps(document).encode())
            assert answer.status == status


async def test_the_child_of_a_job_belongs_to_who_made_its_parent(tmp_path: Path) -> None:
    to = DestinationSettings(name="", kind="function", options=FunctionTarget(function="other-background"))
    async with guarded(tmp_path, destinations={"hook": to}) as service:
        job_id = await made(service)
        await service.until_delivered(job_id, "delivered")
        (child,) = (await service.get(f"/v1/jobs?parent={job_id}", headers=bearer("reader"))).json["items"]
        assert (await service.get(f"/v1/jobs/{child['id']}", headers=bearer("maker"))).status == 200
        assert (await service.get(f"/v1/jobs/{child['id']}", headers=bearer("stranger"))).status == 404
