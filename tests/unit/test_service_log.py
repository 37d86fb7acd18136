"""The service's log: a fact a line as text or as JSON, no secret in it, and no value that forges a line."""

import io
import json
import logging
from datetime import datetime
from pathlib import Path

import pytest

from pipeline.mask import Masker
from pipeline.model import JobReason, JobState
from pipeline.service_log import make_handler
from pipeline.telemetry import Telemetry

SECRET = "open sesame"
FORGED = "x\n2026-01-01T00:00:00.000Z INFO service.stopped\r\x1b[31m\u2028\x85\0"


class Log:
    """A telemetry, and what it wrote."""

    def __init__(self, form: str) -> None:
        self._written = io.StringIO()
        mask = Masker([SECRET])
        self.root = logging.Logger("root of the test")
        self.root.addHandler(make_handler(self._written, form, mask))
        self.telemetry = Telemetry(self.root, mask)

    @property
    def lines(self) -> list[str]:
        return self._written.getvalue().split("\n")[:-1]


@pytest.fixture
def text() -> Log:
    return Log("text")


@pytest.fixture
def as_json() -> Log:
    return Log("json")


def test_a_fact_as_text_is_a_line_with_its_fields(text: Log) -> None:
    ended = {"next": JobState.FAILED, "duration_s": None, "waited_s": None}
    text.telemetry.emit("run.failed", job_id="j1", run=2, function="f", reason=JobReason.ERROR, **ended)
    at, level, rest = text.lines[0].split(" ", 2)
    assert datetime.fromisoformat(at).utcoffset() is not None
    assert at.endswith("Z")
    assert (level, rest) == ("INFO", "run.failed job_id=j1 run=2 function=f reason=error next=failed")


def test_a_fact_as_json_is_an_object_with_its_fields(as_json: Log) -> None:
    as_json.telemetry.emit("service.draining", grace_s=30.0)
    ended = {"next": JobState.QUEUED, "duration_s": None, "waited_s": None}
    as_json.telemetry.emit("run.lost", job_id="j1", run=2, function="f", reason=None, **ended)
    as_json.telemetry.emit(
        "service.started", url="http://127.0.0.1:1", functions=1, destinations=0, store=Path("/x/ä.db")
    )
    first, second, third = map(json.loads, as_json.lines)
    assert first.pop("at").endswith("Z")
    assert first == {"level": "info", "fact": "service.draining", "grace_s": 30.0}
    assert (second["level"], second["run"], "reason" in second) == ("warning", 2, False)
    assert third["store"] == "/x/ä.db"


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_value_begins_a_line_or_steers_a_terminal(form: str) -> None:
    log = Log(form)
    log.telemetry.emit("service.warning", detail=FORGED)
    log.root.warning("%s", FORGED)
    assert len(log.lines) == 2
    for line in log.lines:
        assert line.isprintable()
    shown = json.loads(log.lines[0])["detail"] if form == "json" else json.loads(log.lines[0].partition("detail=")[2])
    assert shown == FORGED


def test_values_with_spaces_quotes_and_equals_signs_are_quoted(text: Log) -> None:
    for value, shown in (("a b", '"a b"'), ('a"b', r'"a\"b"'), ("a=b", '"a=b"'), ("", '""'), ("a/b?c", "a/b?c")):
        text.telemetry.emit("service.warning", detail=value)
        assert text.lines[-1].endswith(f"service.warning detail={shown}")


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_shown_in_fields_tracebacks_and_what_libraries_log(form: str) -> None:
    log = Log(form)
    try:
        raise RuntimeError(f"the password is {SECRET}")
    except RuntimeError as error:
        log.telemetry.failed("task.failed", error, job_id=f"j-{SECRET}")
        log.root.error("it failed: %s", SECRET, exc_info=True)
    log.telemetry.emit("service.warning", detail=f"{SECRET} again")
    written = "\n".join(log.lines)
    assert "sesame" not in written
    assert written.count("***") >= 5
    assert "RuntimeError" in written


def test_a_traceback_is_indented_as_text_and_a_field_as_json() -> None:
    for form in ("text", "json"):
        log = Log(form)
        try:
            raise RuntimeError(FORGED)
        except RuntimeError as error:
            log.telemetry.failed("task.failed", error, job_id="j1", run=1)
        if form == "json":
            (line,) = map(json.loads, log.lines)
            assert (line["fact"], line["job_id"]) == ("task.failed", "j1")
            assert line["traceback"].startswith("Traceback (most recent call last):\n")
        else:
            assert log.lines[0].endswith("ERROR task.failed job_id=j1 run=1")
            assert all(line.startswith("    ") and line.isprintable() for line in log.lines[1:])
            assert len(log.lines) > 3


def test_what_a_library_logs_has_its_own_name_and_level(as_json: Log) -> None:
    as_json.root.error("%d of %s", 1, "two")
    line = json.loads(as_json.lines[0])
    del line["at"]
    assert line == {
        "level": "error", "fact": "library.logged", "logger": "root of the test", "detail": "1 of two"
    }  # fmt: skip
