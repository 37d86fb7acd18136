"""Replays as they are asked for: a dry run stores nothing, and what cannot be one is told by its field."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.receiver import OK, answer, receiving
from tests.support.replays import FILES, LONG_AGO, begin, deliveries, hooked, jobs, to_hook
from tests.support.service import serving, webhook


@pytest.mark.parametrize(
    ("span", "field", "said"),
    [
        ({"since": "2999-01-01T00:00:00Z"}, "since", "expected a moment that has passed, got 2999-01-01T00:00:00.000Z"),
        ({"since": "0h"}, "since", "expected a moment that has passed, got 20"),
        ({"since": "0.0s", "until": "0s"}, "since", "expected a moment that has passed, got 20"),
        ({"since": "1h", "until": "2h"}, "until", "expected a moment not before `since`, which is 20"),
        (
            {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T23:00:00Z"},
            "until",
            "expected a moment not before `since`, which is 2026-01-02T00:00:00.000Z, got 2026-01-01T23:00:00.000Z",
        ),
    ],
)
async def test_a_span_of_time_that_cannot_be_is_refused(
    tmp_path: Path, span: dict[str, str], field: str, said: str
) -> None:
    async with hooked(tmp_path, OK) as (_, service):
        for is_dry in (True, False):
            refused = await begin(service, dry_run=is_dry, **span)
            (error,) = refused.json["errors"]
            assert (refused.status, error["pointer"]) == (400, f"/{field}")
            assert said in error["detail"]
        assert (await service.get("/v1/replays")).json["items"] == []


async def test_a_dry_run_stores_nothing(tmp_path: Path) -> None:
    async with receiving(answer(500), OK) as receiver, serving(tmp_path, FILES, **to_hook(receiver.url)) as service:
        (job_id,) = await jobs(service, 1)
        await service.until_delivered(job_id, "dead")
        dry = await begin(service, dry_run=True, states=["dead", "missing"])
        assert (dry.status, dry.json["states"], dry.json["total"]) == (200, {"dead": 1, "missing": 0}, 1)
        assert (await service.get("/v1/replays")).json["items"] == []
        await deliveries(service, "dead", 1)


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({}, "/since"),
        ({"since": "yesterday"}, "/since"),
        ({"since": "2026-01-01T00:00:00"}, "/since"),
        ({"since": "2h\n"}, "/since"),
        ({"since": "2 h"}, "/since"),
        ({"since": "-2h"}, "/since"),
        ({"since": "0001-01-01T00:00:00+05:00"}, "/since"),
        ({"since": LONG_AGO, "until": "x"}, "/until"),
        ({"since": LONG_AGO, "states": ["pending"]}, "/states/0"),
        ({"since": LONG_AGO, "states": []}, "/states"),
        ({"since": LONG_AGO, "rate": "0/s"}, "/rate"),
        ({"since": LONG_AGO, "dryrun": True}, "/dryrun"),
        ([], ""),
    ],
)
async def test_what_cannot_be_a_replay_is_told_by_its_field(tmp_path: Path, document: Any, pointer: str) -> None:
    async with serving(tmp_path, destinations={"hook": webhook("http://127.0.0.1:9/")}, is_started=False) as service:
        refused = await service.post("/v1/destinations/hook/replay", json=document)
        assert (refused.status, refused.json["errors"][0]["pointer"]) == (400, pointer)


async def test_bodies_that_are_no_such_document_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, destinations={"hook": webhook("http://127.0.0.1:9/")}, is_started=False) as service:
        path, as_json = "/v1/destinations/hook/replay", {"Content-Type": "application/json"}
        for body, headers, status in (
            (b"since=now", {"Content-Type": "text/plain"}, 415),
            (b"{", as_json, 400),
            (b'{"since": "2026-01-01T00:00:00Z", "since": 1}', as_json, 400),
            (b" " * 70_000, as_json, 413),
        ):
            assert (await service.post(path, data=body, headers=headers)).status == status
        assert (await service.post("/v1/destinations/nobody/replay", json={"since": LONG_AGO})).status == 404
        for answered in (
            await service.get("/v1/replays/x"),
            await service.post("/v1/replays/019b8e07-4600-7000-8000-000000000001/cancel"),
        ):
            assert answered.status in (404, 410)
