"""The examples run: their configurations are right, hello answers and sends, and the demo accounts for everything."""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from pipeline.cli import main as command_line
from tests.support.plugins import pip_installed
from tests.support.walkthrough import ROOT, Walkthrough, end_session, run, start

CONFIGURATIONS = sorted((ROOT / "examples").glob("*/*.yaml"))
OWN = ROOT / "examples" / "documents" / "documents"
OTHERS = ROOT.parent / "shared" / "documents"
A_HANDFUL = (
    "broken/scan-interrupted.pdf",
    "letters/bewerbung-baeckerei-latin1.txt",
    "minutes/2026-03-release-meeting.md",
    "recipes/caldo-verde.html",
    "reports/harbour-noise-survey.pdf",
    "tables/stock-cafe.csv",
)
PATIENCE_S = 20.0


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=lambda path: path.parent.name)
def test_the_configuration_passes_check(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if (config.parent / "pyproject.toml").exists():
        monkeypatch.syspath_prepend(pip_installed(config.parent, tmp_path / "site"))
    for variable in re.findall(r"\$\{(\w+)\}", config.read_text()):
        value = {"DEMO_MAIL_URL": "smtp://127.0.0.1:25"}.get(variable, "http://127.0.0.1:9000/hook")
        monkeypatch.setenv(variable, value if variable.endswith("_URL") else "raw:a secret of some length")
    code = command_line.main(["check", "--config", str(config)])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "warning" not in said.out


# Hello


def ask(url: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """Send a GET, or a POST of JSON; return status, headers and the JSON of the answer."""
    content = None if body is None else json.dumps(body).encode()
    request = Request(url, content, {"content-type": "application/json", **headers})
    try:
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers, json.load(answer)
    except HTTPError as refused:
        with refused:
            return refused.status, refused.headers, json.load(refused)


def eventually(look: Callable[[], Any]) -> Any:
    until = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)
    return found


@contextmanager
def hello(folder: Path) -> Iterator[tuple[str, Path]]:
    """Run the example's receiver and service; give the service's URL, and the file that the receiver writes."""
    place = Walkthrough(folder)
    received = folder / "received.log"
    command = (folder / ".venv/bin/sendoff", "serve", "--config", "examples/hello/sendoff.yaml")
    with received.open("w") as output:
        listener = start(folder / ".venv/bin/python", "examples/hello/listen.py", cwd=folder, output=output)
    with (folder / "service.log").open("w") as output:
        service = start(*command, cwd=folder, output=output)
    try:
        eventually(lambda: is_ready(place.url))
        yield place.url, received
        service.terminate()
        assert service.wait(PATIENCE_S) == 0
    finally:
        end_session(service)
        end_session(listener)


def is_ready(url: str) -> bool:
    try:
        return ask(f"{url}/readyz")[0] == 200
    except (URLError, ConnectionError):
        return False


def messages(received: Path) -> list[Any]:
    """Return the messages that the receiver printed so far, behind their ids."""
    text = received.read_text()
    return [json.loads(found) for found in re.findall(r"^msg_\S+\n(\{.*?^\})$", text, re.MULTILINE | re.DOTALL)]


def test_hello_answers_and_sends(tmp_path: Path) -> None:
    with hello(tmp_path) as (url, received):
        assert ask(f"{url}/functions/hello?name=Ada")[2] == {"greeting": "Hello, Ada!"}
        assert ask(f"{url}/.netlify/functions/hello")[2] == {"greeting": "Hello, world!"}
        assert ask(f"{url}/functions/helo")[0] == 404

        status, headers, accepted = ask(f"{url}/functions/hello-background", {"name": "Ada"})
        assert (status, headers["Location"]) == (202, f"/v1/jobs/{accepted['id']}")
        assert ask(f"{accepted['links']['self']}?wait=20")[2]["state"] == "succeeded"
        assert ask(accepted["links"]["result"])[2] == {"greeting": "Hello, Ada!", "attempt": 1}
        (succeeded,) = eventually(lambda: messages(received))
        assert succeeded["type"] == "job.succeeded"
        assert succeeded["data"]["result"] == {"greeting": "Hello, Ada!", "attempt": 1}
        eventually(lambda: ask(accepted["links"]["deliveries"])[2]["items"][0]["state"] == "delivered")
        log = ask(accepted["links"]["logs"])[2]["items"]
        assert [line["text"] for line in log] == ["clearing my throat", "waving", "saying it"]

        _, _, accepted = ask(f"{url}/functions/hello-background", {})
        job = ask(f"{accepted['links']['self']}?wait=20")[2]
        assert (job["state"], job["reason"], job["attempt"]) == ("failed", "rejected", 1)
        _, failed = eventually(lambda: len(found := messages(received)) == 2 and found)
        assert (failed["type"], failed["data"]["job"]["id"]) == ("job.failed", job["id"])
        assert failed["data"]["error"]["errorType"] == "Rejected"


# The demo


def demo(*arguments: str | Path) -> tuple[int, str]:
    """Run the demo as a process; return its exit code and what it printed."""
    code, has_left, output = run(sys.executable, ROOT / "examples" / "documents" / "demo.py", *arguments, cwd=ROOT)
    assert not has_left
    return code, output


def test_the_demo_accounts_for_a_handful_of_documents(tmp_path: Path) -> None:
    for name in A_HANDFUL:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(OWN / name, tmp_path / name)
    code, output = demo(tmp_path)
    assert code == 0, output
    assert "6 documents: 5 succeeded, 1 failed (rejected: 1)" in output
    assert "6 webhooks verified, 0 bad signatures, 0 duplicates" in output
    assert output.rstrip().endswith("Every document is accounted for.")


def test_the_demo_accounts_for_all_its_documents() -> None:
    code, output = demo()
    assert code == 0, output
    assert "42 documents: 40 succeeded, 2 failed (rejected: 2)" in output
    assert "42 webhooks verified, 0 bad signatures, 0 duplicates" in output
    assert "2 mails, 0 duplicates" in output
    assert re.search(r"40 index entries; '\w+' finds \S+", output)


def test_the_demo_accounts_for_all_its_documents_although_the_service_is_killed() -> None:
    code, output = demo("--crash")
    assert code == 0, output
    assert "42 documents: 40 succeeded, 2 failed (rejected: 2)" in output
    assert "2 kills -9" in output
    assert output.rstrip().endswith("Every document is accounted for.")


@pytest.mark.skipif(not OTHERS.is_dir(), reason="the folder shared/documents is not beside the project")
def test_the_demo_accounts_for_the_documents_of_other_programs() -> None:
    count = sum(path.is_file() for path in OTHERS.rglob("*"))
    code, output = demo(OTHERS)
    assert code == 0, output
    assert f"{count} documents: {count} succeeded, 0 failed" in output


def test_the_demo_refuses_a_folder_that_is_not_there_or_empty(tmp_path: Path) -> None:
    assert demo(tmp_path / "missing")[0] == 2
    assert demo(tmp_path) == (2, f"demo: there are no documents in {tmp_path}\n")


# The benchmarks


def test_the_benchmarks_measure() -> None:
    code, _, output = run(sys.executable, ROOT / "benchmarks" / "run.py", "--seconds", "0.05", cwd=ROOT)
    assert code == 0, output
    measured = [line.split(":")[0].split("  ")[0] for line in output.splitlines()[3:]]
    assert measured == [
        *("store", "store", "pool", "pool", "webhook", "webhook", "signing", "event_json"),
        *("status", "status", "history", "history", "history", "history", "history", "batch", "batch"),
    ]
