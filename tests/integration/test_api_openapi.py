"""GET /openapi.json; and that the document tells every parameter and header that a handler looks at, and no other."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp.web_request import BaseRequest

from pipeline.web.openapi.document import document
from pipeline.web.routes import ROUTES
from tests.support.service import QUICK, Service, eventually, serving
from tests.support.shapes import openapi

FILES = {"quick-background.py": QUICK}
LINES = {"Content-Type": "application/x-ndjson"}
STANDARD = frozenset(
    ["host", "origin", "accept", "content-type", "content-encoding", "transfer-encoding", "expect", "authorization"]
)
"""Headers that HTTP itself, or the security schemes, speak of."""
REFUSED_FOR_BATCHES = {"x-job-run-at", "x-job-delay"}
"""Looked at in order to say that they are not taken."""


async def test_the_document_is_served_and_has_an_etag(tmp_path: Path) -> None:
    async with serving(tmp_path, is_started=False) as service:
        answer = await service.get("/openapi.json")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json == document(ROUTES, service.url, has_keys=False)
        same = await service.get("/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})
        assert same.status == 304
        assert (await service.ask("HEAD", "/openapi.json")).headers["ETag"] == answer.headers["ETag"]


async def test_the_server_of_the_document_is_how_the_service_was_reached(tmp_path: Path) -> None:
    async with serving(tmp_path, is_started=False) as service:
        other = await service.get("/openapi.json", headers={"Host": "localhost:1234"})
        assert other.json["servers"] == [{"url": "http://localhost:1234"}]
        assert other.headers["ETag"] != (await service.get("/openapi.json")).headers["ETag"]


async def test_the_server_of_the_document_is_the_public_url_where_there_is_one(tmp_path: Path) -> None:
    async with serving(tmp_path, is_started=False, public_url="https://sendoff.example.com/") as service:
        assert (await service.get("/openapi.json")).json["servers"] == [{"url": "https://sendoff.example.com"}]


# What handlers look at


class Watched:
    """A mapping of a request that writes down which names it is asked for."""

    def __init__(self, mapping: Any, asked: set[str]) -> None:
        self._mapping = mapping
        self._asked = asked

    def __contains__(self, name: str) -> bool:
        self._asked.add(name.lower())
        return name in self._mapping

    def __getitem__(self, name: str) -> Any:
        self._asked.add(name.lower())
        return self._mapping[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value."""
        self._asked.add(name.lower())
        return self._mapping.get(name, default)

    def getall(self, name: str, *default: Any) -> Any:
        """Return all values."""
        self._asked.add(name.lower())
        return self._mapping.getall(name, *default)

    def items(self) -> Any:
        """Return everything, which the event of a function carries: no name is asked for."""
        return self._mapping.items()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The names that were asked for since, in queries and in headers."""
    found: dict[str, set[str]] = {"query": set(), "header": set()}
    query = BaseRequest.query
    monkeypatch.setattr(
        BaseRequest, "query", property(lambda request: Watched(query.__get__(request, type(request)), found["query"]))
    )
    monkeypatch.setattr(BaseRequest, "headers", property(lambda request: Watched(request._headers, found["header"])))
    return found


async def known(service: Service) -> dict[str, str]:
    """Have one of everything made; return what stands for `id` and `name` in the paths."""
    job = await service.start_job("quick-background")
    batch = await service.post("/v1/batches?function=quick-background", data=b'{"body": 1}\n', headers=LINES)
    await service.until(job, "succeeded")
    await eventually(partial(ended, service, batch.json["id"]))  # streams of what is open do not end
    return {"jobs": job, "batches": batch.json["id"], "functions": "quick-background"}


async def ended(service: Service, batch_id: str) -> bool | None:
    """Tell whether a batch has ended."""
    return (await service.get(f"/v1/batches/{batch_id}")).json["state"] == "completed" or None


def told(method: str, path: str) -> dict[str, set[str]]:
    """Return what the document says of an operation's parameters."""
    item = openapi()["paths"][path]
    parameters = [*item.get("parameters", ()), *item[method].get("parameters", ())]
    return {
        place: {each["name"].lower() for each in parameters if each["in"] == place} for place in ("query", "header")
    }


def test_there_are_routes_to_ask() -> None:
    assert len(ROUTES) > 25


@pytest.mark.parametrize(("method", "path"), [row[:2] for row in ROUTES], ids=lambda part: part)
async def test_what_a_handler_looks_at_is_told(
    tmp_path: Path, method: str, path: str, asked: Mapping[str, set[str]]
) -> None:
    async with serving(tmp_path, FILES) as service:
        found = await known(service)
        one = next((found[part] for part in path.split("/") if part in found), "x")
        shown = re.sub(r":[^}]*", "", path)
        filled = shown.format(id=one, name=one, rest="more")
        options: dict[str, Any] = {"headers": {"Idempotency-Key": "once"}} if "functions" in path else {}
        if path == "/v1/batches" and method == "POST":
            options = {"data": b'{"body": 1}\n', "headers": LINES | {"Idempotency-Key": "once"}}
        for names in asked.values():
            names.clear()
        # With a query that says nothing: one that is not there at all need not be looked at.
        await service.ask("POST" if method == "*" else method, f"{filled}?x=1", **options)
        expected = told("post" if method == "*" else method.lower(), shown)
        assert asked["query"] == expected["query"]
        looked_at = asked["header"] - STANDARD
        assert looked_at - (REFUSED_FOR_BATCHES if path == "/v1/batches" else set()) == expected["header"]
