"""`sendoff doctor` as a process, in good worlds and in bad ones: what it finds, what helps, and the exit code."""

import json
import os
import socket
import sqlite3
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import processes
from tests.support.capabilities import WITHOUT_OVERRIDE
from tests.support.ports import free_port
from tests.support.serving import SENDOFF, Service

pytestmark = pytest.mark.acceptance

GOOD = "def handler(event, context):\n    return 'done'\n"
NAMES = [
    "python", "sqlite", "aiohttp", "aiodns", "uvloop", "proc", "user", "sandbox", "guard", "limits", "configuration",
    "functions", "clock", "descriptors", "processes", "filesystem", "disk", "write-ahead log", "store", "port", "links",
]  # fmt: skip


class Said(NamedTuple):
    """What the doctor said."""

    code: int
    checks: Sequence[Mapping[str, Any]]
    faults: int

    def of(self, name: str) -> Mapping[str, Any]:
        """Return the one finding of a check."""
        (found,) = (check for check in self.checks if check["name"] == name)
        return found

    def faulty(self) -> set[str]:
        """Return the names of the checks that found a fault."""
        return {check["name"] for check in self.checks if check["level"] == "fault"}


class World:
    """A folder with functions and a configuration, in which the doctor is asked."""

    def __init__(self, folder: Path, config: str = "", functions: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        (folder / "functions").mkdir()
        (folder / "tmp").mkdir()
        for name, source in (functions or {"f-background.py": GOOD}).items():
            (folder / "functions" / name).write_text(source)
        (folder / "sendoff.yaml").write_text(textwrap.dedent(config) or "service: {}\n")

    def run(self, *arguments: str, through: Sequence[str] = (), **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run `sendoff doctor`; nothing of it may be left afterwards, neither a process nor a file."""
        before = self.files()
        ended = subprocess.run(
            [*through, SENDOFF, "doctor", "--port", str(self.port), *arguments],
            cwd=self.folder, env={**os.environ, "TMPDIR": str(self.folder / "tmp"), **environ},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in ended.stderr, ended.stderr
        assert processes.marked(f"TMPDIR={self.folder / 'tmp'}") == []
        assert self.files() == before
        return ended

    def ask(self, *arguments: str, through: Sequence[str] = (), **environ: str) -> Said:
        """Have the doctor's findings as data."""
        ended = self.run("--json", *arguments, through=through, **environ)
        whole = json.loads(ended.stdout)
        assert all(check["remedy"] for check in whole["checks"] if check["level"] != "ok")
        return Said(ended.returncode, whole["checks"], whole["faults"])

    def files(self) -> set[str]:
        """Return what is in the folder, without what Python caches."""
        return {str(path) for path in self.folder.rglob("*") if "__pycache__" not in path.parts}


def test_a_good_world_has_no_fault(tmp_path: Path) -> None:
    said = World(tmp_path).ask()
    assert (said.code, said.faulty(), said.faults) == (0, set(), 0)
    assert [check["name"] for check in said.checks] == NAMES
    assert "RLIMIT_NOFILE holds" in said.of("limits")["found"]
    assert said.of("sandbox")["found"].startswith("none: ")
    assert said.of("functions")["found"].startswith("1 in ")


def test_a_finding_is_a_line_and_its_remedy_the_next(tmp_path: Path) -> None:
    world = World(tmp_path, functions={"bad.py": "import no_such_module\n"})
    ended = world.run()
    lines = ended.stdout.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("fault "))
    assert " ".join(lines[at].split()).startswith("fault functions bad does not load: Runtime.ImportModuleError: ")
    assert lines[at].endswith("No module named 'no_such_module'")
    assert lines[at + 1].strip().startswith("remedy: ")
    assert lines[-1].startswith("faults: 1, warnings: ")
    assert ended.returncode == 1


def test_a_port_that_is_taken_names_who_has_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    with socket.create_server(("127.0.0.1", world.port)):
        said = world.ask()
    assert (said.code, said.faulty()) == (78, {"port"})
    assert f"held by pid {os.getpid()} (" in said.of("port")["found"]


def test_links_that_others_get_and_cannot_follow_are_a_warning(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        """
        destinations:
          here: {type: webhook, url: "http://[::1]:9/"}
          there: {type: webhook, url: "https://example.com/"}
          mail: {type: email, smtp: "smtp://localhost:25", from: a@example.com, to: [b@example.com]}
          back: {type: callback, allow_hosts: ["*"]}
          next: {type: function, function: f-background}
        """,
    )
    found = world.ask().of("links")
    assert found["level"] == "warning"
    assert (
        f"those to there, mail, back, as to a large result, begin with http://127.0.0.1:{world.port}," in found["found"]
    )
    assert "service.public_url" in found["remedy"]
    with (tmp_path / "sendoff.yaml").open("a") as config:
        config.write("\nservice: {public_url: 'https://jobs.example.com/'}\n")
    found = world.ask().of("links")
    assert (found["level"], found["found"]) == ("ok", "they begin with https://jobs.example.com")


def test_a_public_address_is_a_fault_unless_it_is_meant(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.ask("--host", "0.0.0.0").code == 78
    assert world.ask("--host", "0.0.0.0", "--insecure").code == 0


def test_every_fault_of_the_configuration_is_told_and_the_machine_is_looked_at_all_the_same(tmp_path: Path) -> None:
    world = World(tmp_path, "service: {prot: 1}\nfunctions: {settings: {f-background: {on_success: [nobody]}}}\n")
    said = world.ask()
    assert (said.code, said.faulty(), said.faults) == (78, {"configuration"}, 2)
    told = [check["found"] for check in said.checks if check["name"] == "configuration"]
    assert told[0].startswith("sendoff.yaml:1:11: service.prot: ")
    assert told[1].startswith("sendoff.yaml:2:")
    assert said.of("guard")["level"] == "ok"


def test_a_folder_of_functions_that_is_not_there_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    world = World(tmp_path, "functions: {directory: nowhere}")
    assert (said := world.ask()).code == 78
    assert "nowhere" in said.of("configuration")["found"]


def test_a_folder_that_may_not_be_written_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    said = World(tmp_path).ask(through=WITHOUT_OVERRIDE)
    assert (said.code, said.faulty()) == (1, {"write-ahead log"})
    assert str(tmp_path / "data") in said.of("write-ahead log")["found"]


def test_a_disk_that_is_all_but_full_is_a_fault_and_one_in_memory_a_warning(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    script = 'mount -t tmpfs -o size=4m none data && head -c 3500000 /dev/zero > data/filler && exec "$@"'
    said = World(tmp_path).ask(through=("unshare", "-rm", "sh", "-c", script, "sh"))
    assert (said.code, said.faulty()) == (1, {"disk"})
    assert "refused with 503" in said.of("disk")["found"]
    assert said.of("filesystem")["level"] == "warning"
    assert said.of("filesystem")["found"].startswith(f"tmpfs at {tmp_path / 'data'} ")


def test_a_database_in_use_is_no_fault_and_stays_in_use(tmp_path: Path) -> None:
    with Service(tmp_path / "service", {"f-background.py": GOOD}) as service:
        job_id = service.submit("f-background")
        service.ended(job_id)
        (tmp_path / "world").mkdir()
        world = World(tmp_path / "world")
        world.port = service.port
        said = world.ask("--store", f"sqlite:///{service.database}")
        assert (said.code, said.faulty()) == (0, set())
        assert f"database is in use by pid {service.pid}" in said.of("store")["found"]
        assert said.of("port")["found"].endswith(f"is that of the running service, pid {service.pid}")
        assert "in use by pid" in Service(tmp_path / "second", {}).run("--store", f"sqlite:///{service.database}").said
        service.kill()
        assert "in use" not in world.ask("--store", f"sqlite:///{service.database}").of("store")["found"]
        service.start()
        assert service.job(job_id)["state"] == "succeeded"


def test_a_store_that_is_none_or_newer_is_a_fault_and_left_as_it_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    database = tmp_path / "data" / "sendoff.db"
    database.parent.mkdir()
    database.write_bytes(b"garbage" * 1000)
    said = world.ask()
    assert (said.code, said.faulty()) == (1, {"store"})
    assert database.read_bytes() == b"garbage" * 1000
    database.unlink()
    with closing(sqlite3.connect(database)) as other:
        other.execute("CREATE TABLE mine (id INTEGER)")
    assert "not one of Sendoff's" in world.ask().of("store")["found"]


def test_a_store_that_everybody_may_read_is_a_warning(tmp_path: Path) -> None:
    with Service(tmp_path / "service", {"f-background.py": GOOD}) as service:
        service.stop()
    (tmp_path / "world").mkdir()
    store = f"sqlite:///{service.database}"
    world = World(tmp_path / "world")
    assert world.ask("--store", store).of("store")["level"] == "ok"
    service.database.parent.chmod(0o755)
    service.database.chmod(0o644)
    said = world.ask("--store", store)
    assert (said.code, said.of("store")["level"]) == (0, "warning")
    assert said.of("store")["remedy"] == f"chmod 0700 {service.database.parent}"


def test_libraries_without_their_fast_parts_are_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    said = world.ask(AIOHTTP_NO_EXTENSIONS="1")
    assert (said.code, said.faulty()) == (1, {"aiohttp"})
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "aiodns.py").write_text("raise ImportError('broken')\n")
    said = world.ask(PYTHONPATH=str(tmp_path / "shadow"))
    assert (said.code, said.of("aiodns")["level"]) == (0, "warning")


@pytest.mark.parametrize(
    ("library", "names"),
    [
        ("uvloop", {"uvloop"}),
        ("aiohttp", {"aiohttp", "aiodns", "configuration"}),
        ("sqlite_utils", {"libraries"}),
        ("jsonschema", {"libraries"}),
    ],
)
def test_a_library_that_is_broken_is_a_fault_and_not_the_end(tmp_path: Path, library: str, names: set[str]) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / f"{library}.py").write_text("raise ImportError('broken')\n")
    said = World(tmp_path).ask(PYTHONPATH=str(tmp_path / "shadow"))
    assert (said.code, said.faulty()) == (1, names)


def test_a_command_whose_libraries_are_broken_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('broken')\n")
    command = [SENDOFF, "serve", "--port", "0", "--help"]
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = "sendoff: serve cannot be run: broken; ask `sendoff doctor`\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", said)


def test_too_few_descriptors_for_the_workers_is_a_fault(tmp_path: Path) -> None:
    world = World(tmp_path, "functions: {settings: {f-background: {concurrency: 100}}}")
    said = world.ask(through=("sh", "-c", 'ulimit -n 100; exec "$@"', "sh"))
    assert (said.code, said.faulty()) == (1, {"descriptors"})
    assert said.of("descriptors")["found"].endswith(": 12 workers fit")


def test_without_proc_nothing_that_functions_start_can_be_found(tmp_path: Path) -> None:
    script = 'mount -t tmpfs none /proc && exec "$@"'
    said = World(tmp_path).ask(through=("unshare", "-rmpf", "--kill-child", "sh", "-c", script, "sh"))
    assert said.code == 1
    assert {"proc", "guard"} <= said.faulty()
    assert "outlives" in said.of("guard")["found"]
