"""`--env-file`: what its lines mean, and every bad one at its place, without what stands there."""

from pathlib import Path

import pytest

from pipeline.config.env_file import read_env_file
from pipeline.errors import ConfigurationError
from tests.support.command import sendoff

BAD = "expected NAME=value, got something else"


def faults_of(folder: Path, text: str) -> list[str]:
    (folder / ".env").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_env_file(folder / ".env", ".env")
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("# a remark\n\nA=1\n", {"A": "1"}),
        ("A=1\r\nB = two words # a remark\nexport C='3'\n", {"A": "1", "B": "two words", "C": "3"}),
        ("A=\"two\nlines\\tand '$B ${C}'\"\nB='#no remark'", {"A": "two\nlines\tand '$B ${C}'", "B": "#no remark"}),
        ("A=\nA=last=wins", {"A": "last=wins"}),
        ("\ufeffÄ_=1".replace("Ä", "A"), {"A_": "1"}),
    ],
)
def test_lines_are_names_and_values(tmp_path: Path, text: str, found: dict[str, str]) -> None:
    (tmp_path / ".env").write_text(text)
    assert read_env_file(tmp_path / ".env", ".env") == found


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("hunter2", ["1:1"]),
        ("A=1\n\n  hunter2 hunter3\nB=2\n=hunter4", ["3:3", "5:1"]),
        ("A=1\nB='hunter2", ["2:1"]),
        ("A=1\nÜ=2\n3=4\nA B=5\nA-B=6", ["2:1", "3:1", "4:1", "5:1"]),
        ("A='1' hunter2", ["1:1"]),
    ],
)
def test_every_bad_line_is_told_by_its_place_alone(tmp_path: Path, text: str, places: list[str]) -> None:
    assert faults_of(tmp_path, text) == [f".env:{place}: {BAD}" for place in places]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a readable file, got: No such file or directory"),
        (b"\xff", "expected a file in UTF-8, got other bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / ".env").write_bytes(content)
    for command in (["check"], ["serve"], ["backup", "copy.db"]):
        done = sendoff(tmp_path, *command, "--env-file", ".env")
        assert (done.returncode, done.stderr) == (78, f".env:1:1: {message}\n")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "sendoff.yaml").write_text("service: {port: '${PORT}', host: '${HOST}'}\n")
    (tmp_path / ".env").write_text("PORT=1234\nHOST=localhost\n")
    assert "http://localhost:1234" in sendoff(tmp_path, "check", "--env-file", ".env").stdout
    assert "http://localhost:99" in sendoff(tmp_path, "check", "--env-file", ".env", PORT="99").stdout
    assert sendoff(tmp_path, "check").returncode == 78


def test_the_doctor_takes_the_file_too(tmp_path: Path) -> None:
    (tmp_path / "sendoff.yaml").write_text("functions: {directory: '${FOLDER}'}\n")
    (tmp_path / ".env").write_text("FOLDER=elsewhere\n")
    seen = sendoff(tmp_path, "doctor", "--env-file", ".env").stdout
    assert f"{tmp_path}/elsewhere:1:1: expected a folder of functions" in seen
    (tmp_path / ".env").write_text("FOLDER")
    done = sendoff(tmp_path, "doctor", "--env-file", ".env")
    assert (done.returncode, done.stderr) == (78, "")
    assert f".env:1:1: {BAD}" in done.stdout
