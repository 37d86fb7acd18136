"""What a real service sends, of every form, is verified by others: the official libraries of Standard Webhooks in
JavaScript, run in Node, and in Python, and the official library of CloudEvents.
"""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.processes import eventually
from tests.support.programs import NODE, found, node_packages
from tests.support.serving import Service
from tests.support.shapes import check

pytestmark = pytest.mark.acceptance

NEW, OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OVER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="

BODIES = {
    "message": "message",
    "raw": "raw",
    "thin": "thin",
    "lambda": "lambda",
    "structured": "cloudevents",
    "binary": "{cloudevents: {mode: binary}}",
    "template": """{template: '{"text": "{{ type }}", "of": {{ (job or batch).links }}, "error": {{ error }}}'}""",
    "text": """{template: "{{ (job or batch).function }} \\U0001F4EE", content_type: text/plain}""",
}
FUNCTIONS = {
    # Neither ASCII nor what a parsed and rewritten JSON would keep.
    "json-background.py": "def handler(event, context):\n    return {'text': 'Grüße, \\u2028', 'number': 1.0}\n",
    "text-background.py": """
        def handler(event, context):
            return {"statusCode": 200, "headers": {"Content-Type": "text/csv"}, "body": "a;ü\\r\\n"}
        """,
    "bytes-background.py": """
        import base64

        def handler(event, context):
            body = base64.b64encode(bytes(range(256))).decode()
            return {"statusCode": 200, "headers": {"Content-Type": "image/png"}, "body": body, "isBase64Encoded": True}
        """,
    "fails-background.py": "def handler(event, context):\n    raise ValueError('no \"words\"')\n",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as Node got it, and what is said of it there."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    library: list[str]
    crypto: list[bool]
    public_key: bool
    forged: list[str]

    @property
    def form(self) -> str:
        return self.path.removeprefix("/")

    @property
    def function(self) -> str:
        return self.headers["x-function-name"].removesuffix("-background")

    @property
    def is_text(self) -> bool:
        try:
            self.body.decode()
        except UnicodeDecodeError:
            return False
        return True


@contextmanager
def node_receiver(folder: Path) -> Iterator[tuple[int, Path]]:
    """Run the receiver in Node; give its port, and the file of what it prints."""
    command = [found("node"), NODE / "receiver.cjs", node_packages(), PUBLIC, NEW, OLD, OVER]
    printed, said = folder / "printed", folder / "said"
    with printed.open("wb") as output, said.open("wb") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors)
    try:
        line = eventually(lambda: printed.read_text().partition("\n")[0] or process.poll(), what="Node listens")
        assert process.poll() is None, said.read_text()
        yield int(str(line)), printed
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    """All that came: every form of what four functions and a batch came to, each in two attempts."""
    folder = tmp_path_factory.mktemp("proof")
    with node_receiver(folder) as (port, printed):
        secrets = f"[{NEW}, {OLD}, {PRIVATE}, {{secret: {OVER}, until: 2020-01-01T00:00:00Z}}]"
        destinations = "\n".join(
            f"  {name}: {{type: webhook, url: 'http://127.0.0.1:{port}/{name}', secrets: {secrets}, "
            f"retry: [200ms, 1s, 5s], body: {body}}}"
            for name, body in BODIES.items()
        )
        names = f"[{', '.join(BODIES)}]"
        to_all = f"on_success: {names}, on_failure: {names}, on_batch: {names}, retry: []"
        settings = "\n".join(f"    {file.removesuffix('.py')}: {{{to_all}}}" for file in FUNCTIONS)
        config = f"functions:\n  settings:\n{settings}\ndestinations:\n{destinations}\n"
        with Service(folder / "service", FUNCTIONS, config) as service:
            for file in FUNCTIONS:
                job_id = service.submit(file.removesuffix(".py"))
                assert service.settled(job_id)["deliveries"]["delivered"] == len(BODIES), service.log
            batch = json.dumps({"function": "json-background", "items": [{"body": 1}]}).encode()
            sent = service.request("POST", "/v1/batches", batch, {"Content-Type": "application/json"})
            assert sent.status == 202, sent
            wanted = 2 * len(BODIES) * (len(FUNCTIONS) + 2)  # the batch, and the job in it
            eventually(lambda: printed.read_text().count("\n") > wanted, what="all has come twice")
            assert_all_delivered(service)
        lines = printed.read_text().splitlines()[1:]
    return [request_of(json.loads(line)) for line in lines]


def assert_all_delivered(service: Service) -> None:
    eventually(
        lambda: {one["state"] for one in service.items("/v1/deliveries")} == {"delivered"}, what="all is delivered"
    )


def request_of(told: dict[str, Any]) -> Request:
    public_key = told.pop("publicKey")
    return Request(**{**told, "body": base64.b64decode(told["body"]), "public_key": public_key})


def test_every_form_was_sent_of_everything_in_two_attempts_of_the_same_bytes(requests: list[Request]) -> None:
    def name(request: Request) -> tuple[str, str]:
        return request.form, request.headers["webhook-id"]

    sent = {key: list(each) for key, each in groupby(sorted(requests, key=name), key=name)}
    assert len(sent) == len(BODIES) * (len(FUNCTIONS) + 2)
    for first, second in sent.values():
        assert (first.status, second.status) == (503, 204)
        assert [each.headers["x-sendoff-attempt"] for each in (first, second)] == ["1", "2"]
        assert first.body == second.body
        assert first.headers["content-type"] == second.headers["content-type"]


def test_the_official_library_in_javascript_verifies_all_that_is_text(requests: list[Request]) -> None:
    texts = [request for request in requests if request.is_text]
    assert {request.form for request in texts} == set(BODIES)
    for request in texts:
        assert request.library[:2] == ["good", "good"], request  # under rotation a receiver may know either secret
        assert request.library[2] == "WebhookVerificationError: No matching signature found"  # it is over
        assert request.forged == ["WebhookVerificationError: No matching signature found"] * 3


def test_the_official_library_in_python_verifies_all_that_is_text(requests: list[Request]) -> None:
    for request in requests:
        if not request.is_text:
            continue
        for secret in (NEW, OLD):
            Webhook(secret).verify(request.body, request.headers, json_parse=False)
        for secret, body in ((OVER, request.body), (NEW, request.body + b" ")):
            with pytest.raises(WebhookVerificationError, match="No matching signature"):
                Webhook(secret).verify(body, request.headers, json_parse=False)


def test_of_bytes_that_are_no_text_the_signature_holds_by_crypto_alone(requests: list[Request]) -> None:
    """Both libraries make a text of the body first: of these bytes, neither can."""
    binary = [request for request in requests if not request.is_text]
    assert {(request.form, request.function) for request in binary} == {("raw", "bytes"), ("binary", "bytes")}
    for request in binary:
        assert request.body == bytes(range(256))
        assert request.library[0].startswith("WebhookVerificationError")
        with pytest.raises(UnicodeDecodeError):
            Webhook(NEW).verify(request.body, request.headers)


def test_node_s_crypto_verifies_everything_by_both_secrets_and_by_the_public_key(requests: list[Request]) -> None:
    for request in requests:
        assert request.crypto == [True, True, False]
        assert request.public_key
        versions = [one.partition(",")[0] for one in request.headers["webhook-signature"].split(" ")]
        assert versions == ["v1", "v1", "v1a"]


SCHEMAS = {"message": "message", "thin": "thin-message", "lambda": "lambda-record", "structured": "cloudevent"}


def test_what_came_fits_the_schema_of_its_form(requests: list[Request]) -> None:
    for request in requests:
        is_batch = "x-sendoff-batch-id" in request.headers
        if (schema := SCHEMAS.get(request.form)) is not None:
            check("message" if is_batch and schema == "lambda-record" else schema, json.loads(request.body))


def test_the_record_repeats_the_event_of_the_call(requests: list[Request]) -> None:
    records = [json.loads(each.body) for each in requests if each.form == "lambda" and each.function == "text"]
    assert {record["requestPayload"]["path"] for record in records} == {"/functions/text-background"}
    assert {record["responsePayload"] for record in records} == {"a;ü\r\n"}


def test_the_official_library_of_cloudevents_reads_both_modes(requests: list[Request]) -> None:
    events: dict[str, list[Any]] = {}
    for request in requests:
        if request.form in ("structured", "binary"):
            event = from_http(HTTPMessage(headers=request.headers, body=request.body), JSONFormat())
            assert event.get_id() == request.headers["webhook-id"]
            assert str(event.get_source()).endswith(f"/functions/{request.headers['x-function-name']}")
            events.setdefault(str(event.get_id()), []).append(event)
    assert len(events) == len(FUNCTIONS) + 2
    assert {event.get_type() for (event, *_) in events.values()} == {
        "dev.sendoff.job.succeeded",
        "dev.sendoff.job.failed",
        "dev.sendoff.batch.completed",
    }
    for first, *others in events.values():
        assert len(others) == 3
        for other in others:
            assert (other.get_attributes(), other.get_data()) == (first.get_attributes(), first.get_data())


def test_a_template_makes_json_of_whatever_a_function_said(requests: list[Request]) -> None:
    made = [json.loads(each.body) for each in requests if each.form == "template" and each.function == "fails"]
    assert {each["error"]["errorMessage"] for each in made} == {'no "words"'}
    texts = {each.body.decode() for each in requests if each.form == "text" and each.function == "bytes"}
    assert texts == {"bytes-background \N{POSTBOX}"}
