"""`sendoff backup`: a copy made under load can be served, and holds all that had ended before it was begun."""

import subprocess
from pathlib import Path

import pytest

from tests.support.serving import SENDOFF, Service

pytestmark = pytest.mark.acceptance

FUNCTION = "def handler(event, context):\n    return 'done'\n"


def back_up(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [SENDOFF, "backup", *arguments]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=60)


def test_a_copy_made_under_load_is_served_with_all_that_had_ended(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with Service(tmp_path / "first", {"f-background.py": FUNCTION}) as service:
        ended = [service.submit("f-background") for _ in range(20)]
        for job_id in ended:
            service.ended(job_id)
        for _ in range(100):
            service.submit("f-background")
        done = back_up(service.folder, str(copy))
        assert (done.returncode, done.stderr) == (0, "")
    second = Service(tmp_path / "second", {"f-background.py": FUNCTION})
    second.database.parent.mkdir()
    copy.rename(second.database)
    with second:
        assert {second.job(job_id)["state"] for job_id in ended} == {"succeeded"}


def test_a_target_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine")
    done = back_up(tmp_path, "copy.db")
    assert (done.returncode, done.stderr) == (1, "sendoff: copy.db is there already\n")
    assert (tmp_path / "copy.db").read_text() == "mine"


@pytest.mark.parametrize("content", [None, b"garbage" * 1000])
def test_a_store_that_is_missing_or_no_store_makes_no_copy(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "old.db").write_bytes(content)
    done = back_up(tmp_path, "copy.db", "--store", "sqlite:///old.db")
    assert done.returncode == 70
    assert done.stderr.startswith(f"sendoff: {tmp_path / 'old.db'}: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("copy*"))
