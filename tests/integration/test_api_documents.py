"""Bodies that are held against a schema: what is wrong with them is told as faults of the configuration are."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.service import serving, webhook

HOOK = {"hook": webhook("http://127.0.0.1:9/")}
TEST, REPLAY = "/v1/destinations/hook/test", "/v1/destinations/hook/replay"
A_RATE, TOO_FAST = "expected a rate", '"1234567/h"'
BATCH, KEY_ITEMS = "/v1/batches?function=x", "expected the key items, got none"
SINCE = "2026-01-01T00:00:00Z"
MOMENT = "a moment with its offset such as 2026-01-05T12:00:00Z, or a span until now such as 24h"


@pytest.mark.parametrize(
    ("path", "document", "errors"),
    [
        (TEST, {"result": 1, "job_id": "x"}, {"/job_id": "expected only one of result and job_id, got both"}),
        (TEST, {"resutl": 1}, {"/resutl": 'expected a known key (nearest: result), got "resutl"'}),
        (TEST, {"x/~": 1}, {"/x~1~0": 'expected a known key (result, job_id), got "x/~"'}),
        (TEST, {"job_id": 1}, {"/job_id": "expected text, got 1"}),
        (TEST, [], {"": 'expected a mapping such as {"result": {"words": 12}}, or no body, got an empty list'}),
        (BATCH, {"itmes": []}, {"/items": KEY_ITEMS, "/itmes": 'expected a known key (nearest: items), got "itmes"'}),
        (BATCH, {"items": {}}, {"/items": "expected a list of items, got an empty mapping"}),
        (BATCH, {"items": [], "function": 5}, {"/function": "expected the name of a function, got 5"}),
        (BATCH, 5, {"": 'expected a mapping such as {"function": "NAME", "items": [...]}, got 5'}),
        (REPLAY, {}, {"/since": "expected the key since, got none"}),
        (REPLAY, {"since": "yesterday"}, {"/since": f'expected {MOMENT}, got "yesterday"'}),
        (REPLAY, {"since": "24"}, {"/since": f'expected {MOMENT}, got "24"'}),
        (REPLAY, {"since": "2026-01-01T00:00:00"}, {"/since": f'expected {MOMENT}, got "2026-01-01T00:00:00"'}),
        (REPLAY, {"since": SINCE, "rate": "0/s"}, {"/rate": 'expected a rate of more than 0/s, got "0/s"'}),
        (
            REPLAY,
            {"since": SINCE, "rate": "1234567/h"},
            {"/rate": f"{A_RATE} of at most 999999/h, got {TOO_FAST}"},
        ),
        (
            REPLAY,
            {"since": SINCE, "states": ["ded", "held", "held"]},
            {
                "/states/0": 'expected what is to be sent again (nearest: dead), got "ded"',
                "/states/2": 'expected each item once, got "held" again',
            },
        ),
        (
            REPLAY,
            {"sinse": SINCE, "until": 5},
            {
                "/since": "expected the key since, got none",
                "/sinse": 'expected a known key (nearest: since), got "sinse"',
                "/until": f"expected {MOMENT}, got 5",
            },
        ),
    ],
)
async def test_each_fault_of_a_document_is_told_with_its_place(
    tmp_path: Path, path: str, document: Any, errors: dict[str, str]
) -> None:
    async with serving(tmp_path, destinations=HOOK, is_started=False) as service:
        refused = await service.post(path, json=document)
        assert refused.status == 400
        assert {each["pointer"]: each["detail"] for each in refused.json["errors"]} == errors
        for said in errors.values():
            assert said in refused.json["detail"]


async def test_the_detail_names_the_places_too(tmp_path: Path) -> None:
    async with serving(tmp_path, destinations=HOOK, is_started=False) as service:
        refused = await service.post(REPLAY, json={"since": SINCE, "states": ["ded"], "new_id": "yes"})
        assert set(refused.json["detail"].split("; ")) == {
            'states[0]: expected what is to be sent again (nearest: dead), got "ded"',
            'new_id: expected true or false, got "yes"',
        }


async def test_of_very_many_faults_some_are_told(tmp_path: Path) -> None:
    async with serving(tmp_path, destinations=HOOK, is_started=False) as service:
        refused = await service.post(REPLAY, json={"since": SINCE} | {f"x{each}": 1 for each in range(2_000)})
        assert (refused.status, len(refused.json["errors"])) == (400, 10)


@pytest.mark.parametrize("path", [TEST, REPLAY, "/v1/batches?function=x"])
async def test_a_body_without_its_type_is_told_which_header_to_send(tmp_path: Path, path: str) -> None:
    sent = "application/x-www-form-urlencoded"  # as curl -d does it
    async with serving(tmp_path, destinations=HOOK, is_started=False) as service:
        refused = await service.post(path, data=b"{}", headers={"Content-Type": sent})
        assert refused.status == 415
        assert "expected the header `Content-Type: application/json`" in refused.json["detail"]
        assert refused.json["detail"].endswith(f"with this body, got {sent!r}")
        assert [each["header"] for each in refused.json["errors"]] == ["Content-Type"]
