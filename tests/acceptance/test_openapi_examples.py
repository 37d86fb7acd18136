"""The examples of the OpenAPI document, run: what it sends is taken, and what it shows is what a service answers."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from multidict import CIMultiDict

from pipeline.web.openapi.components import SHAPES, component
from tests.support.hooks import receiving
from tests.support.processes import eventually
from tests.support.serving import Answer, Service
from tests.support.shapes import hold, openapi
from tests.support.walkthrough import ROOT

HELLO = ROOT / "examples" / "hello"
FUNCTIONS = {path.name: path.read_text() for path in (HELLO / "functions").glob("*.py")}
ASYMMETRIC = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
REQUESTS = [
    pytest.param(method, path, media_type, content["example"], id=f"{method} {path} {media_type}")
    for path, item in openapi()["paths"].items()
    for method, told in item.items()
    if method != "parameters"
    for media_type, content in told.get("requestBody", {}).get("content", {}).items()
    if "example" in content
]


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service of the example, with a receiver of its webhooks."""
    config = (HELLO / "sendoff.yaml").read_text()
    with receiving() as receiver:
        config = config.replace("secrets: [", f"secrets: [{ASYMMETRIC}, ")
        config = config.replace("http://127.0.0.1:9000", f"http://127.0.0.1:{receiver.port}")
        with Service(tmp_path_factory.mktemp("hello"), FUNCTIONS, config) as service:
            yield service


def asked(service: Service, method: str, path: str, body: bytes = b"", media_type: str | None = None) -> Answer:
    """Send a request, and hold the answer against the document."""
    answer = service.request(method, path, body, {"Content-Type": media_type} if media_type else {})
    hold(method, path.partition("?")[0], answer.status, CIMultiDict(answer.headers), answer.body)
    return answer


@pytest.mark.parametrize(("method", "path", "media_type", "example"), REQUESTS)
def test_what_an_example_sends_is_taken(
    hello: Service, method: str, path: str, media_type: str, example: object
) -> None:
    body = example if isinstance(example, str) else json.dumps(example)
    filled = path.format(name="hello-background", rest="more")
    query = "?function=hello-background" if media_type == "application/x-ndjson" else ""
    answer = asked(hello, method.upper(), filled + query, body.encode(), media_type)
    assert answer.status == 202, answer
    if "batches" in path:
        assert (answer.json()["total"], answer.json()["rejected"]) == (2, [])
        batch = f"/v1/batches/{answer.json()['id']}"
        assert asked(hello, "GET", f"{batch}?wait=30").json()["state"] == "completed"
    else:
        assert hello.ended(answer.json()["id"])["state"] == "succeeded"


NUMBERS = {"duration_ms", "invocations", "runs", "run_time_s", "gb_seconds"}


def plain(value: Any) -> Any:
    """Return a value without what is another one each time: ids, moments, durations and the service's address."""
    if isinstance(value, dict):
        return {key: "some" if key in NUMBERS else plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", value)
    value = re.sub(r"\d{4}-\d\d-\d\d(T[\d:.]+Z)?", "MOMENT", value)
    return re.sub(r"http://127\.0\.0\.1:\d+", "ADDRESS", value)


def example_of(shape: str) -> Any:
    """Return what the document shows of a shape."""
    return openapi()["components"]["schemas"][shape]["examples"][0]


@pytest.fixture(scope="module")
def answers(hello: Service) -> dict[str, Any]:
    """What the service answers, by the name of its shape, in the story that the examples tell."""
    call = {"Content-Type": "application/json", "X-Job-Tag": "greeting"}
    accepted = hello.request("POST", "/functions/hello-background", b'{"name": "Ada"}', call).json()
    job = f"/v1/jobs/{accepted['id']}"
    running = eventually(lambda: _if(hello.get(f"{job}/result").json(), "state", "running"), what="the job runs")
    settled = hello.settled(accepted["id"])
    items = [{"body": {"name": "Ada"}, "key": "ada"}, {"body": {"name": "Grace"}}]
    document = json.dumps({"function": "hello-background", "items": items}).encode()
    batch = f"/v1/batches/{hello.request('POST', '/v1/batches', document, call).json()['id']}"
    ended = asked(hello, "GET", f"{batch}?wait=30").json()
    (delivery,) = hello.deliveries(accepted["id"])
    wish, to_test = example_of("ReplayRequest"), example_of("DestinationTestRequest")
    replay = _replay(hello, wish).json()
    replayed = eventually(
        lambda: _if(hello.get(f"/v1/replays/{replay['id']}").json(), "state", "completed"), what="the replay ends"
    )
    return {
        "Accepted": accepted,
        "Waiting": running,
        "Job": settled,
        "Run": hello.items(f"{job}/runs")[0],
        "LogLine": hello.items(f"{job}/logs")[0],
        "Delivery": hello.items(f"{job}/deliveries")[0],
        "DeliveryWithAttempts": delivery,
        "Attempt": delivery["attempts"][0],
        "Batch": ended,
        "BatchItem": items[0],
        "BatchLine": json.loads(hello.get(f"{batch}/results").body.splitlines()[0]),
        "Destination": hello.get("/v1/destinations/hook").json(),
        "WebhookKeys": hello.get("/.well-known/webhook-keys").json(),
        "DestinationTest": _posted(hello, "/v1/destinations/hook/test", to_test).json(),
        "DestinationTestRequest": to_test,
        "Replay": replayed,
        "ReplayRequest": wish,
        "ReplayCounts": _replay(hello, wish | {"dry_run": True}).json(),
        "DeliveryReplayRequest": example_of("DeliveryReplayRequest"),
        "ListedFunction": hello.items("/v1/functions")[1],
        "Usage": hello.items("/v1/usage")[0],
        "Health": hello.get("/healthz").json(),
        "Readiness": hello.get("/readyz").json(),
        "Problem": hello.get("/v1/jobs?limit=0").json(),
    }


def _replay(hello: Service, wish: dict[str, Any]) -> Answer:
    return _posted(hello, "/v1/destinations/hook/replay", wish)


def _posted(hello: Service, path: str, document: dict[str, Any]) -> Answer:
    return asked(hello, "POST", path, json.dumps(document).encode(), "application/json")


def _if(value: dict[str, Any], key: str, wanted: str) -> dict[str, Any] | None:
    return value if value.get(key) == wanted else None


def test_every_shape_has_its_place_in_the_story(answers: dict[str, Any]) -> None:
    assert answers.keys() == {component(shape) for shape in SHAPES} | {"DeliveryWithAttempts"}


@pytest.mark.parametrize("shape", [*(component(shape) for shape in SHAPES), "DeliveryWithAttempts"])
def test_what_an_example_shows_is_what_the_service_answers(answers: dict[str, Any], shape: str) -> None:
    assert plain(answers[shape]) == plain(example_of(shape))
