"""A name that is not there: the nearest one is told, and only to those who may list the names."""

from pathlib import Path

import pytest

from tests.support.callers import ADMIN, CALLERS, INVOKE, READ, bearer, key
from tests.support.guarded import guarded

NARROW = (
    key("narrow-reader", INVOKE, READ, functions=("other-background",)),
    key("narrow-operator", INVOKE, ADMIN, functions=("other-background",)),
)
LONG = "hook" * 100
MAY = {"GET": ("all", "reader", "narrow-reader"), "POST": ("all", "operator", "narrow-operator")}
FUNCTION = "there is no function 'quik-background'"
ASKED = {
    "GET /v1/destinations/hok": ("there is no destination hok", "hook"),
    "GET /v1/destinations/hok/replays": ("there is no destination hok", "hook"),
    "GET /v1/deliveries?destination=hok": ("there is no destination hok", "hook"),
    "POST /v1/destinations/hok/pause": ("there is no destination hok", "hook"),
    "POST /v1/destinations/hok/replay": ("there is no destination hok", "hook"),
    "GET /v1/destinations/zzz": ("there is no destination zzz", None),
    f"GET /v1/destinations/{LONG}": (f"there is no destination {LONG}", None),
    "GET /v1/jobs?function=quik-background": (FUNCTION, "quick-background"),
    "GET /v1/batches?function=quik-background": (FUNCTION, "quick-background"),
    "GET /v1/usage?function=quik-background": (FUNCTION, "quick-background"),
}


@pytest.mark.parametrize("caller", ["all", "reader", "operator", "maker", "narrow-reader", "narrow-operator"])
async def test_the_nearest_name_is_told_to_those_who_may_list_the_names(tmp_path: Path, caller: str) -> None:
    async with guarded(tmp_path, keys=(*CALLERS, *NARROW)) as service:
        for asked, (detail, meant) in ASKED.items():
            method, _, path = asked.partition(" ")
            answer = await service.ask(method, path, headers=bearer(caller))
            listed = await service.get(
                "/v1/functions" if "function" in path else "/v1/destinations", headers=bearer(caller)
            )
            if caller not in MAY[method]:
                assert answer.status == 403, asked
            elif listed.status == 403:
                assert (answer.status, answer.json["detail"]) == (404, detail), asked
            else:
                assert meant in (None, *(each["name"] for each in listed.json["items"]))
                told = detail if meant is None else f"{detail}; did you mean {meant}?"
                assert (answer.status, answer.json["detail"]) == (404, told), asked


async def test_the_nearest_name_is_told_to_everybody_where_nobody_is_asked_for_a_key(tmp_path: Path) -> None:
    async with guarded(tmp_path, keys=()) as service:
        answer = await service.get("/v1/destinations/hok")
        assert answer.json["detail"] == "there is no destination hok; did you mean hook?"
