"""The examples of deployment hold to the settings of the service, and the image to the project."""

import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

from pipeline.app import WRITING_S
from pipeline.cli import main as command_line
from pipeline.config.settings import ServiceSettings
from tests.support.documents import document
from tests.support.image import Image
from tests.support.walkthrough import ROOT

UNIT = ROOT / "examples" / "deploy" / "sendoff.service"
# A drain writes three times after its grace: what ended, what was sent, and the notes.
DRAIN_S = ServiceSettings().drain_grace + 3 * WRITING_S


def test_systemd_waits_longer_than_a_drain_takes() -> None:
    unit = ConfigParser(interpolation=None, strict=False)  # ExecReload= stands there twice, and the last one is told
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    assert float(service["TimeoutStopSec"]) > DRAIN_S
    assert service["KillMode"] == "mixed"
    assert "78" in service["RestartPreventExitStatus"].split()
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"


# The image


def test_the_image_is_made_of_what_is_in_the_project_and_nothing_else_goes_to_the_builder() -> None:
    sources = Image.read().sources()
    assert {"pipeline", "destinations", "schemas", "requirements.lock"} <= sources
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not tracked or re.search(rf"^{re.escape(source)}(/|$)", tracked, re.MULTILINE), source
    first, *rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert first == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources


def test_the_image_has_what_the_package_is_built_of() -> None:
    sources = Image.read().sources()
    project = (ROOT / "pyproject.toml").read_text()
    assert set(re.findall(r'"(\w+)\*"', project)) <= sources
    named = re.findall(r'^readme = "(.+)"$|^license-files = \["(.+)"\]$', project, re.MULTILINE)
    assert {file for pair in named for file in pair if file} <= sources


def test_the_image_installs_by_hash_and_from_what_was_checked_alone() -> None:
    image = Image.read()
    fetching, installing = (run for run in image.all("RUN") if "pip " in run)
    assert "--require-hashes" in fetching
    assert "--no-index" in installing
    assert all(re.fullmatch(r"python:3\.\d+-slim( AS build)?", base) for base in image.all("FROM"))
    assert "://" not in (fetching + installing)


def test_the_image_runs_a_command_that_is_there_as_a_user_who_is_not_root() -> None:
    last = Image.read().last_stage()
    assert last.words("ENTRYPOINT") == ["sendoff"]
    args = command_line._parser(["serve"]).parse_args(last.words("CMD"))
    assert args.store == "sqlite:////data/sendoff.db"
    assert not args.insecure
    (user,) = last.all("USER")
    assert re.search(rf"useradd .*--uid [1-9]\d+ .*{user}\b", "\n".join(last.all("RUN")))
    names = [name for name, _ in last.steps]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert last.all("VOLUME") == [str(Path(args.store.removeprefix("sqlite:///")).parent)]


def test_the_image_is_stopped_by_what_drains_it_in_the_time_that_takes() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert Image.read().last_stage().all("STOPSIGNAL") == ["SIGTERM"]
    page = document("docs/how-to/run-in-production.md").text
    waits = re.findall(r"(?:--stop-timeout|stop_grace_period:|terminationGracePeriodSeconds:) (\d+)", text + page)
    assert len(waits) >= 3
    assert all(float(wait) > DRAIN_S for wait in waits)
