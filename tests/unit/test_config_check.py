"""`sendoff check` and the command line around it, from outside."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import __version__

SENT = "raw:any"
SENDOFF = Path(sys.executable).parent / "sendoff"
HOOK = "destinations: {hook: {type: webhook, url: 'https://example.com/hook', secrets: ['${SECRET}']}}\n"


def sendoff(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SENDOFF, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_good_file_is_ok_and_summed_up(tmp_path: Path) -> None:
    settings = "functions: {settings: {a-background: {on_success: [hook]}}}\n"
    (tmp_path / "sendoff.yaml").write_text(HOOK + settings)
    done = sendoff(tmp_path, "check", SECRET=SENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "sendoff.yaml: ok",
        "  service       http://127.0.0.1:8888",
        f"  store         {tmp_path}/data/sendoff.db",
        f"  functions     {tmp_path}/functions, which is not there (settings: a-background)",
        "  destinations  hook (webhook)",
    ]


def test_every_fault_is_a_line_and_the_exit_code_is_78(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(HOOK + "service: {prot: 1}\n")
    done = sendoff(tmp_path, "check", "--config", "my.yaml")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines() == [
        "my.yaml:1:81: destinations.hook.secrets[0]: expected the environment variable SECRET to be set, got nothing",
        'my.yaml:2:11: service.prot: expected a known key (nearest: port), got "prot"',
    ]


def test_a_named_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    done = sendoff(tmp_path, "check", "--config", "no.yaml")
    assert done.returncode == 78
    assert done.stderr == "no.yaml:1:1: expected a readable file, got: No such file or directory\n"


def test_without_a_file_the_defaults_are_ok(tmp_path: Path) -> None:
    done = sendoff(tmp_path, "check")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "no sendoff.yaml, the defaults: ok"


def test_what_is_allowed_but_hardly_meant_is_a_warning(tmp_path: Path) -> None:
    settings = "functions: {settings: {a: {on_success: [{to: hook, when: {properties: {x: {minimum: 1}}}}]}}}\n"
    (tmp_path / "sendoff.yaml").write_text(HOOK + settings)
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "a.py").touch()
    done = sendoff(tmp_path, "check", SECRET=SENT)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == [
        "warning: functions.settings.a.on_success: serves only calls made jobs by Prefer, as a is synchronous",
        (
            "warning: functions.settings.a.on_success: the filter for hook has neither type nor required, "
            "so that it may match everything"
        ),
    ]


def test_a_destination_whose_function_is_not_there_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "index-background.py").touch()
    (tmp_path / "sendoff.yaml").write_text(
        "functions: {settings: {indx-background: {timeout: 1m}}}\n"
        "destinations: {next: {type: function, function: index-background}}\n"
    )
    done = sendoff(tmp_path, "check")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        (
            "warning: functions.settings.indx-background: there is no such function in the folder "
            "(nearest: index-background)"
        ),
    )
    (tmp_path / "functions" / "index-background.py").rename(tmp_path / "functions" / "other.py")
    for command in ("check", "serve"):
        done = sendoff(tmp_path, command)
        assert done.returncode == 78
        assert done.stderr == (
            f"{tmp_path}/sendoff.yaml:1:1: destinations.next.function: "
            f"expected a function in {tmp_path}/functions, got 'index-background', which is not there\n"
        )


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("nothing", "expected a Python interpreter, got {there}: No such file or directory"),
        ("text", "expected a Python interpreter, got {there}: Permission denied"),
        ("echo", "expected a Python interpreter, got {there}, which does not say its version"),
        ("old", "expected Python 3.9 or newer, got {there}, which is 2.7"),
    ],
)
def test_an_interpreter_that_cannot_run_functions_is_a_fault(tmp_path: Path, python: str, message: str) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "text").write_text("no program")
    for name, script in (("echo", "#!/bin/sh\necho $0\n"), ("old", "#!/bin/sh\necho 2 7\n")):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "sendoff.yaml").write_text(f"functions: {{python: {python}}}\n")
    for command in ("check", "serve"):
        done = sendoff(tmp_path, command)
        assert done.returncode == 78
        expected = message.format(there=tmp_path / python)
        assert done.stderr.partition("functions.python: ")[2] == f"{expected}\n"


def test_async_concurrency_of_what_is_not_async_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "a.py").write_text("def handler(event, context): ...\n")
    (tmp_path / "functions" / "b.py").write_text("async def handler(event, context): ...\n")
    several = "{async_concurrency: 5}"
    (tmp_path / "sendoff.yaml").write_text(f"functions: {{settings: {{a: {several}, b: {several}}}}}\n")
    assert [line for line in sendoff(tmp_path, "check").stdout.splitlines() if "warning" in line] == [
        (
            "warning: functions.settings.a.async_concurrency: serves only an async def handler, "
            "which a.py does not define"
        )
    ]


def test_wrong_usage_exits_2(tmp_path: Path) -> None:
    assert sendoff(tmp_path).returncode == 2
    assert sendoff(tmp_path, "chekc").returncode == 2
    assert sendoff(tmp_path, "check", "--nope").returncode == 2


def test_version_is_the_package_s(tmp_path: Path) -> None:
    assert sendoff(tmp_path, "--version").stdout == f"sendoff {__version__}\n"
