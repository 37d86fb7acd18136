"""The demo's client against a service that is only scripted: it submits, follows, and notes what was refused."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses

from tests.support.aioresponses_compat import scripted

SERVICE = "http://sendoff.example"
SUBMIT = f"{SERVICE}/functions/extract-background?name=a.txt"
JOB = "/v1/jobs/01960000-0000-7000-8000-00000000002a"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples" / "documents")
    import client

    yield client
    for name in ("client", "account"):
        sys.modules.pop(name, None)


@pytest.fixture
def world() -> Iterator[aioresponses]:
    with scripted() as world:
        yield world


async def followed(client: Any, folder: Path) -> Any:
    path = folder / "a.txt"
    path.write_text("three words here")
    case = client.Case(name="a.txt", path=path)
    await client.process_all(SERVICE, [case], lambda: None)
    return case


async def test_a_document_is_followed_until_its_deliveries_are_settled(
    client: Any, world: aioresponses, tmp_path: Path
) -> None:
    world.post(SUBMIT, status=202, payload={"id": "one"}, headers={"location": JOB})
    first, then = f"{SERVICE}{JOB}?wait=30", f"{SERVICE}{JOB}?wait=30&until=settled"
    world.get(first, payload={"state": "running"})
    world.get(first, payload={"state": "succeeded", "deliveries": {"pending": 1}})
    world.get(then, payload={"state": "succeeded", "deliveries": {"delivered": 1}})
    world.get(f"{SERVICE}/v1/jobs?parent=one", payload={"items": [{"id": "two", "state": "running"}]})
    world.get(f"{SERVICE}/v1/jobs/two?wait=30", payload={"id": "two", "state": "succeeded"})
    case = await followed(client, tmp_path)
    assert (case.job_id, case.problem, case.is_settled) == ("one", None, True)
    assert case.children == [{"id": "two", "state": "succeeded"}]
    (submitted,) = next(calls for (method, _), calls in world.requests.items() if method == "POST")
    assert submitted.kwargs["data"] == b"three words here"
    assert submitted.kwargs["headers"] == {"content-type": "text/plain", "idempotency-key": case.key}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            {"status": 503, "payload": {"title": "Unavailable", "detail": "the queue is full"}},
            "/functions/extract-background was answered with 503: the queue is full",
        ),
        ({"status": 202, "payload": {"id": "one"}}, "the 202 names no job or no status URL"),
        ({"exception": aiohttp.ServerDisconnectedError()}, "ServerDisconnectedError: Server disconnected"),
    ],
)
async def test_what_goes_wrong_is_noted_in_the_case(
    client: Any, world: aioresponses, tmp_path: Path, answer: dict[str, Any], problem: str
) -> None:
    world.post(SUBMIT, **answer)
    assert (await followed(client, tmp_path)).problem.endswith(problem)
