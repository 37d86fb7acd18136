"""`sendoff key`, run as a process: what it prints can be used as it is, and it changes nothing."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from destinations.registry import builtin_kinds
from pipeline.config import load_config
from pipeline.config.settings import KeySettings
from tests.support.serving import SENDOFF


def sendoff(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([SENDOFF, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def made(folder: Path, *arguments: str) -> tuple[str, KeySettings]:
    """Make a key; return it, and its entry as the loader reads it."""
    done = sendoff("key", "new", *arguments, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(folder.iterdir()) == []
    key, _, entry = done.stdout.partition("\n\n")
    yaml = folder / "made.yaml"
    yaml.write_text(entry)
    config = load_config(yaml, environ={}, kinds=builtin_kinds(), cwd=folder)
    yaml.unlink()
    (settings,) = config.keys
    return key, settings


def test_a_new_key_stands_in_the_yaml_as_its_hash(tmp_path: Path) -> None:
    key, settings = made(tmp_path)
    assert settings.sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert (settings.name, settings.scopes, settings.functions, settings.expires) == ("caller", ("invoke",), None, None)
    assert made(tmp_path)[0] != key


@pytest.mark.parametrize("scopes", [("invoke", "read"), ("invoke,read",), ("invoke", "read", "invoke")])
def test_an_entry_says_what_was_asked_for(tmp_path: Path, scopes: tuple[str, ...]) -> None:
    _, settings = made(
        tmp_path,
        "--name",
        "ci",
        "--scopes",
        *scopes,
        "--functions",
        "f-background,g",
        "--expires",
        "2027-01-31T00:00:00Z",
    )
    assert (settings.name, settings.scopes, settings.functions) == ("ci", ("invoke", "read"), ("f-background", "g"))
    assert str(settings.expires) == "2027-01-31 00:00:00+00:00"


@pytest.mark.parametrize("name", ["true", "NULL", "007", "1e5", "0x10", "-", "_x", "a-b", "None", "12-30"])
def test_every_name_is_a_text_to_yaml(tmp_path: Path, name: str) -> None:
    _, settings = made(tmp_path, f"--name={name}", f"--functions={name}")
    assert (settings.name, settings.functions) == (name, (name,))


@pytest.mark.parametrize(
    "arguments",
    [
        ["new", "--scopes", "everything"],
        ["new", "--name", "a b"],
        ["new", "--functions", "a.py"],
        ["new", "--expires", "tomorrow"],
        ["new", "--expires", "2027-01-31"],
        ["new", "extra"],
        ["old"],
        [],
    ],
)
def test_wrong_usage_is_2(tmp_path: Path, arguments: list[str]) -> None:
    done = sendoff("key", *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_a_key_for_links_is_what_the_setting_takes(tmp_path: Path) -> None:
    done = sendoff("key", "link", folder=tmp_path)
    (tmp_path / "sendoff.yaml").write_text(f"service: {{link_keys: [{done.stdout.strip()}]}}\n")
    checked = sendoff("check", folder=tmp_path)
    assert (done.returncode, checked.returncode) == (0, 0)
    assert done.stdout.strip() not in checked.stdout
