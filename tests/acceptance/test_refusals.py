"""What `sendoff serve` cannot work with ends it at once: one line that says why, the exit code, and nothing changed."""

import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.capabilities import WITHOUT_OVERRIDE
from tests.support.serving import Ended, Service

pytestmark = pytest.mark.acceptance

FUNCTIONS = {"f-background.py": "def handler(event, context):\n    return 'done'\n"}


def service_with_a_store(folder: Path) -> Service:
    """Return a service that was started once and has ended."""
    service = Service(folder, FUNCTIONS)
    service.start()
    assert service.stop() == 0
    return service


def assert_refused(ended: Ended, code: int, *words: str) -> None:
    """Hold that the command ended with `code` and one line that has these words."""
    assert ended.code == code, ended.said
    assert len(ended.said.splitlines()) == 1, ended.said
    for word in words:
        assert word in ended.said


def test_a_database_in_use_names_the_process_that_uses_it(tmp_path: Path) -> None:
    with Service(tmp_path, FUNCTIONS) as first:
        second = Service(tmp_path, FUNCTIONS)
        assert_refused(second.run(), 70, f"database is in use by pid {first.pid}")
        assert first.get("/readyz").status == 200


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    service = Service(tmp_path, FUNCTIONS)
    service.database.parent.mkdir()
    service.database.write_bytes(b"garbage" * 1000)
    assert_refused(service.run(), 70, str(service.database), "not a database")
    assert service.database.read_bytes() == b"garbage" * 1000


def newer(database: sqlite3.Connection) -> None:
    database.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('sendoff', 'from_the_future', '')"
    )


def foreign(database: sqlite3.Connection) -> None:
    database.execute("DROP TABLE _sqlite_migrations")


@pytest.mark.parametrize(
    ("change", "word"),
    [(newer, "newer than this program"), (foreign, "not one of Sendoff's")],
    ids=["newer", "foreign"],
)
def test_a_database_of_another_program_or_version_is_refused_and_left_as_it_is(
    tmp_path: Path, change: Callable[[sqlite3.Connection], None], word: str
) -> None:
    service = service_with_a_store(tmp_path)
    with closing(sqlite3.connect(service.database)) as database, database:
        change(database)
    before = service.database.read_bytes()
    assert_refused(service.run(), 70, str(service.database), word)
    assert service.database.read_bytes() == before


def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    service = service_with_a_store(tmp_path)
    service.database.chmod(0o400)
    before = service.database.read_bytes()
    assert_refused(service.run(through=WITHOUT_OVERRIDE), 70, str(service.database), "read")
    assert service.database.read_bytes() == before


def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    service = Service(tmp_path, FUNCTIONS)
    service.database.parent.mkdir(mode=0o500)
    assert_refused(service.run(through=WITHOUT_OVERRIDE), 70, str(service.database.parent))
    assert list(service.database.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    service = Service(tmp_path, FUNCTIONS)
    (tmp_path / "data").write_text("a file stands in its place")
    assert_refused(service.run(), 70, str(service.database.parent))


def test_a_public_address_needs_insecure(tmp_path: Path) -> None:
    assert_refused(Service(tmp_path, FUNCTIONS).run("--host", "0.0.0.0"), 78, "--insecure")


def test_a_port_that_is_none_is_a_fault(tmp_path: Path) -> None:
    assert_refused(Service(tmp_path, FUNCTIONS).run("--port", "70000"), 78, "service.port", "70000")


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    service = Service(tmp_path, FUNCTIONS)
    with socket.create_server(("127.0.0.1", service.port)):
        ended = service.run()
    assert_refused(ended, 78, f"127.0.0.1:{service.port}", "in use", "service.port: ")


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--port", "many"], ["--port"]])
def test_wrong_usage_is_2(tmp_path: Path, arguments: list[str]) -> None:
    ended = Service(tmp_path, FUNCTIONS).run(*arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.said


@pytest.mark.parametrize(
    ("yaml", "where"),
    [
        ("service: {port: [", "sendoff.yaml:"),
        ("service: {prot: 1}", "sendoff.yaml:1:11: service.prot: "),
        ("functions: {settings: {f-background: {on_success: [nobody]}}}", "sendoff.yaml:1:52: "),
    ],
)
def test_a_configuration_fault_is_78_and_says_where(tmp_path: Path, yaml: str, where: str) -> None:
    service = Service(tmp_path, FUNCTIONS)
    (tmp_path / "sendoff.yaml").write_text(yaml)
    assert_refused(service.run(), 78, where)
    assert not service.database.exists()
