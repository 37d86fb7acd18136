"""`sendoff invoke` as a process against a real service: answers, jobs, bodies, and what it says where it cannot."""

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.command import sendoff
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

FUNCTIONS = {
    "echo.py": """
        import json
        def handler(event, context):
            return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}
        """,
    "missing.py": "def handler(event, context):\n    return {'statusCode': 404, 'body': 'no such page'}\n",
    "broken.py": "def handler(event, context):\n    raise ValueError('not \\x1b[31mtoday')\n",
    "good-background.py": """
        def handler(event, context):
            print("at work")
            return {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "done: " + event["body"]}
        """,
    "bad-background.py": "def handler(event, context):\n    context.reject('never')\n",
    "bytes-background.py": """
        import base64
        def handler(event, context):
            body = base64.b64encode(bytes(range(256))).decode()
            return {"statusCode": 200, "body": body, "isBase64Encoded": True}
        """,
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service"), FUNCTIONS, "") as running:
        yield running


def invoke(service: Service, folder: Path, *arguments: str, said: str | None = None) -> "CompletedProcess[str]":
    return sendoff(folder, "invoke", *arguments, said=said, SENDOFF_URL=f"http://127.0.0.1:{service.port}")


def event_of(service: Service, folder: Path, *arguments: str, said: str | None = None) -> Any:
    ended = invoke(service, folder, "echo", *arguments, said=said)
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def test_the_answer_of_a_synchronous_function_is_printed(service: Service, tmp_path: Path) -> None:
    event = event_of(service, tmp_path)
    assert (event["httpMethod"], event["path"], event["body"]) == ("POST", "/functions/echo", None)


def test_path_query_method_and_headers_reach_the_function(service: Service, tmp_path: Path) -> None:
    ended = invoke(service, tmp_path, "echo/some/where?q=a%20b", "--method", "PUT", "--header", "X-Mark: one:two")
    event = json.loads(ended.stdout)
    assert (event["httpMethod"], event["path"]) == ("PUT", "/functions/echo/some/where")
    assert event["queryStringParameters"] == {"q": "a b"}
    assert event["headers"]["x-mark"] == "one:two"


def test_a_body_has_the_type_that_it_is_of(service: Service, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>")
    (tmp_path / "unnamed").write_bytes(b"\xff\x00")
    expected = {
        "plain words": ("plain words", "text/plain; charset=utf-8"),
        '{"n": 1}': ('{"n": 1}', "application/json"),
        "@page.html": ("<p>", "text/html"),
        "@unnamed": ("/wA=", "application/octet-stream"),
    }
    for data, (body, kind) in expected.items():
        event = event_of(service, tmp_path, "--data", data)
        assert (event["body"], event["headers"]["content-type"]) == (body, kind), data
    event = event_of(service, tmp_path, "--data", "-", said="[1, 2]")
    assert (event["body"], event["headers"]["content-type"]) == ("[1, 2]", "application/json")
    event = event_of(service, tmp_path, "--data", "a,b", "--header", "content-type: text/csv")
    assert event["headers"]["content-type"] == "text/csv"


def test_an_answer_of_400_and_more_is_a_failure(service: Service, tmp_path: Path) -> None:
    ended = invoke(service, tmp_path, "missing")
    assert (ended.returncode, ended.stdout) == (1, "no such page")
    assert "the function answered 404" in ended.stderr


def test_what_a_function_raised_is_told_without_its_control_characters(service: Service, tmp_path: Path) -> None:
    ended = invoke(service, tmp_path, "broken")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith("sendoff: the function failed: ValueError: not today\n")
    assert "broken.py" in ended.stderr


def test_a_background_function_gives_the_id_of_its_job(service: Service, tmp_path: Path) -> None:
    ended = invoke(service, tmp_path, "good-background", "--data", "x")
    assert ended.returncode == 0
    job_id = ended.stdout.strip()
    assert service.ended(job_id)["state"] == "succeeded"
    assert f"sendoff wait {job_id}" in ended.stderr
    shown = invoke(service, tmp_path, "good-background", "--data", "x", "--json")
    assert json.loads(shown.stdout)["state"] == "queued"


def test_waiting_gives_the_result_alone_on_stdout(service: Service, tmp_path: Path) -> None:
    ended = invoke(service, tmp_path, "good-background", "--data", "x", "--wait")
    assert (ended.returncode, ended.stdout) == (0, "done: x")
    assert "good-background  succeeded after" in ended.stderr


def test_a_job_that_fails_is_a_failure_and_told(service: Service, tmp_path: Path) -> None:
    ended = invoke(service, tmp_path, "bad-background", "--wait")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "bad-background  failed (rejected)" in ended.stderr
    assert "never" in ended.stderr
    assert "sendoff job " in ended.stderr


def test_a_result_of_bytes_comes_as_it_is(service: Service, tmp_path: Path) -> None:
    ended = invoke(service, tmp_path, "bytes-background", "--wait", "--output", "result")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert (tmp_path / "result").read_bytes() == bytes(range(256))


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--callback", "http://127.0.0.1:9/", "--callback is for jobs"),
        ("--key", "nightly", "--key is for jobs"),
        ("--tag", "nightly", "--tag is for jobs"),
        ("--delay", "1s", "--delay is for jobs"),
        ("--header", "X-Job-Priority: 1", "X-Job-Priority is for jobs"),
    ],
)
def test_what_is_for_jobs_is_refused_with_the_option_that_makes_one(
    service: Service, tmp_path: Path, option: str, value: str, said: str
) -> None:
    ended = invoke(service, tmp_path, "echo", option, value)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"sendoff: {said}, and echo is synchronous\n  --async makes a job of this call.\n"
    if option != "--callback":
        assert invoke(service, tmp_path, "echo", option, value, "--async").returncode == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--tag", "t" * 100),
        ("--tag", "\u00fc\u6587" * 50),
        ("--tag", "\U0001f469\u200d\U0001f4bb \u0645\u06cc\u200c\u062e\u0648"),
        ("--key", "k" * 255),
        ("--key", '"in quotes"'),
        ("--delay", "366d"),
        ("--delay", "90"),
        ("--delay", "0s"),
    ],
)
def test_what_the_command_takes_at_the_utmost_the_service_takes_too(
    service: Service, tmp_path: Path, option: str, value: str
) -> None:
    ended = invoke(service, tmp_path, "good-background", "--data", "x", option, value)
    assert ended.returncode == 0, ended.stderr


def test_an_unknown_function_is_told_with_the_nearest(service: Service, tmp_path: Path) -> None:
    ended = invoke(service, tmp_path, "good-backgruond")
    assert ended.returncode == 1
    said = "sendoff: there is no function good-backgruond\n  Did you mean good-background? There are: bad-background, "
    assert ended.stderr.startswith(said)
    assert "There are: bad-background, broken, " in invoke(service, tmp_path, "zzz").stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "required: NAME"),
        (["echo", "--data", "@nowhere"], "sendoff: nowhere cannot be read: No such file or directory"),
        (["echo", "--header", "no colon"], "expected a header"),
        (["echo", "--header", "X: a\nb"], "expected a header"),
        (["echo", "--url", "here"], "--url: expected a URL"),
    ],
)
def test_wrong_usage_is_2(service: Service, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    ended = invoke(service, tmp_path, *arguments)
    assert ended.returncode == 2
    assert sentence in ended.stderr
