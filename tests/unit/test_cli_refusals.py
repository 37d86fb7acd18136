"""What answers mean to somebody at a prompt: what is wrong, and what helps."""

import json
from typing import Any

import pytest

from pipeline.cli.address import Address
from pipeline.cli.failures import RefusedError, UnavailableError
from pipeline.cli.refusals import Answer, parsed, refusal

HERE = Address(url="http://here", origin="is the default")
WITH_KEY = Address(url="http://here", origin="is the default", key="sk_1")


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **members: Any) -> Answer:
    body = {"type": "about:blank", "title": "A title", "status": status, "detail": detail} | members
    return Answer(
        status=status,
        headers={"content-type": "application/problem+json", **(headers or {})},
        body=json.dumps(body).encode(),
    )


@pytest.mark.parametrize(
    ("answer", "address", "sentence", "advice"),
    [
        (problem(401, "no key"), HERE, "the service at http://here wants a key", "SENDOFF_KEY"),
        (problem(401, "the key is unknown"), WITH_KEY, "does not take the key in SENDOFF_KEY", "expired"),
        (problem(403, "the key lacks admin"), WITH_KEY, "the key lacks admin", "scope"),
        (problem(403, "the Host 'x' is not this service"), HERE, "the Host 'x' is not this service", ""),
        (problem(404, "there is no job 1"), HERE, "there is no job 1", "`sendoff jobs` and `sendoff batches` list"),
        (problem(404, "there is no batch 1"), HERE, "there is no batch 1", "`sendoff batches` lists"),
        (
            problem(404, "nothing is at /v1/x"),
            HERE,
            "does not know this: nothing is at /v1/x",
            "older than this command",
        ),
        (problem(409, "the job is running"), HERE, "the job is running", ""),
        (problem(410, "older than the retention"), HERE, "older than the retention", ""),
        (problem(500, "error 1f", id="1f"), HERE, "the service failed: error 1f", "log"),
        (problem(400, "bad\x1b[31m\nname"), HERE, "bad name", ""),
    ],
)
def test_a_problem_is_told_with_what_helps(answer: Answer, address: Address, sentence: str, advice: str) -> None:
    error = refusal(answer, address)
    assert isinstance(error, RefusedError)
    assert sentence in str(error)
    assert advice in error.advice
    assert bool(advice) is bool(error.advice)


@pytest.mark.parametrize("status", [429, 503])
def test_what_passes_is_told_from_what_does_not(status: int) -> None:
    error = refusal(problem(status, "Shutting down", {"retry-after": "5"}), HERE)
    assert isinstance(error, UnavailableError)
    assert error.wait_s == 5


@pytest.mark.parametrize("status", [502, 504])
def test_a_proxy_that_does_not_reach_the_service_passes(status: int) -> None:
    error = refusal(Answer(status=status, headers={"content-type": "text/html"}, body=b"<h1>"), HERE)
    assert isinstance(error, UnavailableError)


@pytest.mark.parametrize("status", [404, 500])
def test_an_answer_of_something_else_asks_whether_the_url_is_right(status: int) -> None:
    error = refusal(Answer(status=status, headers={"content-type": "text/html; charset=utf-8"}, body=b"<h1>"), HERE)
    assert str(error) == f"http://here answered {status} with text/html, which is not Sendoff's answer"
    assert "--url" in error.advice


def test_what_is_no_json_is_an_answer_of_something_else() -> None:
    with pytest.raises(RefusedError, match="answered 200 with text/html"):
        parsed(Answer(status=200, headers={"content-type": "text/html"}, body=b"<h1>Hello</h1>"), HERE)


def test_a_service_that_has_moved_is_named() -> None:
    answer = Answer(status=301, headers={"location": "https://there/v1/jobs"}, body=b"")
    assert "leads on to https://there/v1/jobs" in str(refusal(answer, HERE))
