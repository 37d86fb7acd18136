"""Keys as they come: what is taken for one, until when, where none is asked for, and that none is kept."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.callers import CALLERS, INVOKE, bearer, key, token_of
from tests.support.guarded import guarded, made
from tests.support.raw_http import raw
from tests.support.service import Service


async def test_a_public_function_takes_anybody_and_keeps_no_key(tmp_path: Path) -> None:
    async with guarded(tmp_path) as service:
        for headers in ({}, bearer("wrong"), bearer("expired"), bearer("maker"), bearer("reader"), bearer("narrow")):
            answer = await service.post("/functions/echo", headers=headers)
            assert answer.status == 200
            assert "authorization" not in answer.json["headers"]
            assert "authorization" not in answer.json["multiValueHeaders"]
        # What is not for us is the function's own.
        for own in ("Bearer sk_live_abc", "Basic YTpi", "Bearer"):
            answer = await service.post("/functions/echo", headers={"Authorization": own})
            assert answer.json["headers"]["authorization"] == own
        cross_site = {"Origin": "https://shop.example"}
        assert (await service.post("/functions/echo", headers=cross_site)).status == 200
        assert (await service.post("/functions/quick-background", headers=cross_site | bearer("maker"))).status == 403


async def test_the_key_reaches_neither_event_nor_store_nor_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with guarded(tmp_path) as service:
        job_id = await made(service)
        event = await service.app.store.get_event(job_id)
        assert event is not None
        assert b"authorization" not in event.lower()
        await service.get(f"/v1/jobs/{job_id}", headers=bearer("wrong"))
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
    for caller in ("maker", "wrong"):
        assert token_of(caller).encode() not in stored
        assert base64.b64encode(token_of(caller).encode()) not in stored
        assert token_of(caller) not in caplog.text


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer ",
        "bearer",
        "Bearer x",
        "Basic {key}",
        "{key}",
        "Bearer {key}x",
        "Bearer {key} {key}",
        "Bearer \xff",
        "Bearer " + "x" * 4000,
        'Bearer "{key}"',
        "",
    ],
)
async def test_what_is_no_key_is_401(tmp_path: Path, value: str) -> None:
    async with guarded(tmp_path, is_started=False) as service:
        line = f"Authorization: {value.format(key=token_of('all'))}"
        answer = await raw_get(service, line)
        assert answer.startswith(b"HTTP/1.1 401 ")


async def raw_get(service: Service, *lines: str) -> bytes:
    return await raw(service, "GET /v1/jobs HTTP/1.1", *lines)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer   "])
async def test_the_scheme_is_read_as_http_has_it(tmp_path: Path, scheme: str) -> None:
    async with guarded(tmp_path, is_started=False) as service:
        assert (await raw_get(service, f"Authorization: {scheme} {token_of('all')}")).startswith(b"HTTP/1.1 200 ")


async def test_two_keys_at_once_are_none(tmp_path: Path) -> None:
    async with guarded(tmp_path, is_started=False) as service:
        line = f"Authorization: Bearer {token_of('all')}"
        assert (await raw_get(service, line, line)).startswith(b"HTTP/1.1 401 ")


async def test_a_key_expires_to_the_second(tmp_path: Path) -> None:
    async with guarded(tmp_path, is_started=False) as service:
        await service.clock.advance(86_399.5)
        await service.start_job("quick-background", headers=bearer("valid"))
        await service.clock.advance(0.5)
        answer = await service.post("/functions/quick-background", headers=bearer("valid"))
        assert (answer.status, answer.json["detail"]) == (401, "the key has expired")


async def test_an_unknown_function_is_not_told_to_who_has_no_key(tmp_path: Path) -> None:
    async with guarded(tmp_path, is_started=False) as service:
        assert [
            (await service.post("/functions/nothing", headers=headers)).status
            for headers in ({}, bearer("maker"), bearer("narrow"), bearer("reader"))
        ] == [401, 404, 403, 403]


async def test_a_reload_takes_keys_away_and_brings_others(tmp_path: Path) -> None:
    async with guarded(tmp_path) as service:
        before = await made(service)
        keys = [replace(key("new", INVOKE), name="maker"), *(each for each in CALLERS if each.name != "maker")]
        assert await service.reload(keys=keys)
        assert (await service.get(f"/v1/jobs/{before}", headers=bearer("maker"))).status == 401
        assert (await service.get(f"/v1/jobs/{before}", headers=bearer("new"))).status == 200
        assert await service.reload()
        assert (await service.get(f"/v1/jobs/{before}")).status == 200
