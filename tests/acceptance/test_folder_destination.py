"""The example of a plug-in, installed by pip and served: each message becomes a file, as a whole or not at all."""

import base64
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.test_full_disk import fill
from tests.support.plugins import pip_installed
from tests.support.processes import eventually
from tests.support.serving import SENDOFF, Service
from tests.support.walkthrough import ROOT

pytestmark = pytest.mark.acceptance

EXAMPLE = ROOT / "examples" / "folder-destination"
LARGE = "def handler(event, context):\n    return {'words': 'x' * 300_000, 'body': event['body']}\n"
ANYTHING = """
    import base64, json
    def handler(event, context):
        asked = json.loads(event["body"])
        answer = {"statusCode": 200, "headers": {"content-type": asked["type"]}}
        return answer | {"body": asked["base64"], "isBase64Encoded": True}
    """
CONFIG = """
    functions: {settings: {f-background: {on_success: [results], retry: []}}}
    destinations: {results: {type: folder, folder: out, body: raw, retry: [100ms, 200ms, 1s, 1s, 1s, 1s, 1s, 1s, 1s]}}
    """
RESULTS = {
    ".json": ("application/json", b'{"a": 1}'),
    ".txt": ("text/plain", b"words\r\n"),
    ".pdf": ("application/pdf", b"%PDF-1.7 \xff\0"),
}
ON_A_SMALL_DISK = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m none out && exec "$@"', "sh")
# Within the service: whoever brings a part to the disk stops in the middle of it, as long as the file `hold` is there.
HOLD = """
    import os, time
    whole = os.fsync
    def fsync(file):
        name = os.readlink(f"/proc/self/fd/{file}")
        if "/.sendoff-part-" in name and os.path.exists("hold"):
            os.ftruncate(file, os.fstat(file).st_size // 2)
            while os.path.exists("hold"):
                time.sleep(0.01)
            raise OSError(5, "held")
        whole(file)
    os.fsync = fsync
    """


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the example is installed."""
    return pip_installed(EXAMPLE, tmp_path_factory.mktemp("plug-in") / "site")


@pytest.fixture(autouse=True)
def path(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every process look for packages there."""
    monkeypatch.setenv("PYTHONPATH", str(site))


def service_of(folder: Path, function: str = LARGE, config: str = CONFIG) -> Service:
    (folder / "out").mkdir()
    return Service(folder, {"f-background.py": function}, config)


def whole_files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}


def parts(out: Path) -> list[Path]:
    return [path for path in out.iterdir() if path.name.startswith(".")]


def test_its_own_tests_pass_with_nothing_but_pytest(site: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", f"--rootdir={EXAMPLE}",
         "-c", EXAMPLE / "pyproject.toml", EXAMPLE],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "skipped" not in ended.stdout


def test_each_result_becomes_a_file(tmp_path: Path) -> None:
    with service_of(tmp_path, ANYTHING) as service:
        for suffix, (kind, content) in RESULTS.items():
            job = service.submit("f-background", {"type": kind, "base64": base64.b64encode(content).decode()})
            assert service.settled(job)["deliveries"]["delivered"] == 1
            (delivery,) = service.deliveries(job)
            assert delivery["kind"] == "folder"
            file = tmp_path / "out" / f"{delivery['message_id']}{suffix}"
            assert file.read_bytes() == content
            file.write_text("changed by somebody")
            assert service.request("POST", f"/v1/deliveries/{delivery['id']}/replay").status == 202
            eventually(lambda file=file, content=content: file.read_bytes() == content, what="it was sent again")
        assert len(whole_files(tmp_path / "out")) == len(RESULTS)
        assert parts(tmp_path / "out") == []
        assert service.stop() == 0


def test_check_names_what_is_wrong_with_its_settings_and_where(tmp_path: Path) -> None:
    config = """\
        destinations:
          here: {type: folder, folder: nowhere}
          there:
            type: folder
            folder: out
            sufix: .json
            suffix: json
            body: lambda
            concurrency: 0
            timeout: soon
          none: {type: folder}
        """
    service_of(tmp_path, config=config)
    ended = subprocess.run([SENDOFF, "check"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 78
    assert ended.stderr.splitlines() == [
        f"sendoff.yaml:2:32: destinations.here.folder: expected a folder that is there, got {tmp_path}/nowhere",
        'sendoff.yaml:6:5: destinations.there.sufix: expected a known key (nearest: suffix), got "sufix"',
        'sendoff.yaml:7:13: destinations.there.suffix: expected a suffix such as .json, got "json"',
        'sendoff.yaml:8:11: destinations.there.body: expected a known value (message, raw), got "lambda"',
        "sendoff.yaml:9:18: destinations.there.concurrency: expected an integer from 1 to 100, got 0",
        (
            "sendoff.yaml:10:14: destinations.there.timeout: expected a duration such as 500ms, 30s, 2m, 1h or 30d, "
            'got "soon"'
        ),
        "sendoff.yaml:11:9: destinations.none: expected the key folder, got none",
    ]


def test_a_service_that_is_killed_in_the_middle_of_a_file_leaves_none(tmp_path: Path, site: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(textwrap.dedent(HOLD))
    out, hold = tmp_path / "out", tmp_path / "hold"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{hooks}{os.pathsep}{site}")
        with service_of(tmp_path) as service:
            hold.touch()
            job = service.submit("f-background")
            (part,) = eventually(
                lambda: [each for each in parts(out) if 0 < each.stat().st_size < 200_000], what="a half"
            )
            service.kill()
            assert (whole_files(out), parts(out)) == ({}, [part])
            hold.unlink()
            service.start()
            assert service.settled(job)["deliveries"]["delivered"] == 1
            ((_, content),) = whole_files(out).items()
            assert json.loads(content)["words"] == "x" * 300_000
            assert parts(out) == []


def test_nobody_ever_sees_half_a_file_however_often_the_service_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with service_of(tmp_path) as service, watching(out) as broken:
        jobs = []
        for _ in range(3):
            jobs += [service.submit("f-background") for _ in range(30)]
            written = len(whole_files(out))
            eventually(lambda written=written: len(os.listdir(out)) > written, what="files are being written")
            service.kill()
            service.start()
        for job in jobs:
            assert service.settled(job, 60.0)["deliveries"]["delivered"] == 1
        assert (len(whole_files(out)), parts(out), broken) == (90, [], [])


@contextmanager
def watching(out: Path) -> Iterator[list[str]]:
    """Look at every file all the time; give the names of those that were seen and not whole."""
    broken: list[str] = []
    is_over = threading.Event()

    def watch() -> None:
        seen: dict[str, int] = {}
        while not is_over.is_set():
            for path in out.iterdir():
                if path.name.startswith(".") or seen.get(path.name) == path.stat().st_ino:
                    continue
                seen[path.name] = path.stat().st_ino
                if len(path.read_bytes()) < 300_000:
                    broken.append(path.name)
            time.sleep(0.001)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield broken
    finally:
        is_over.set()
        thread.join()


def test_a_full_disk_is_told_and_tried_again(tmp_path: Path) -> None:
    service = service_of(tmp_path)
    service.launch(through=ON_A_SMALL_DISK)
    try:
        service.ready()
        out = Path(f"/proc/{service.pid}/root{tmp_path}/out")
        fill(out / "filler")
        job = service.submit("f-background")
        service.ended(job)
        eventually(lambda: service.deliveries(job)[0]["attempt"] > 1, what="it is tried again")
        (delivery,) = service.deliveries(job)
        file = f"{delivery['message_id']}.json"
        said = f"{file} cannot be written to {tmp_path}/out: No space left on device"
        assert delivery["attempts"][0]["class"] == "receiver_error"
        assert delivery["attempts"][0]["message"] == said
        assert sorted(os.listdir(out)) == ["filler"]
        (out / "filler").unlink()
        assert service.settled(job)["deliveries"]["delivered"] == 1
        assert os.listdir(out) == [file]
    finally:
        service.__exit__()


def test_a_reload_sends_what_comes_to_the_new_folder(tmp_path: Path) -> None:
    with service_of(tmp_path) as service:
        service.settled(service.submit("f-background"))
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "sendoff.yaml").write_text(textwrap.dedent(CONFIG).replace("folder: out", "folder: elsewhere"))
        os.kill(service.pid, signal.SIGHUP)
        eventually(lambda: "config.reloaded" in service.log, what="it is reloaded")
        service.settled(service.submit("f-background"))
        assert (len(whole_files(tmp_path / "out")), len(whole_files(tmp_path / "elsewhere"))) == (1, 1)
        assert service.stop() == 0


def test_a_folder_that_is_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    with service_of(tmp_path) as service:
        (tmp_path / "out").rename(tmp_path / "away")
        job = service.submit("f-background")
        service.ended(job)
        eventually(lambda: service.deliveries(job)[0]["last_error"], what="an attempt has failed")
        (delivery,) = service.deliveries(job)
        assert delivery["last_error"]["class"] == "receiver_error"
        assert delivery["last_error"]["message"].endswith(f"to {tmp_path}/out: No such file or directory")
        (tmp_path / "away").rename(tmp_path / "out")
        assert service.settled(job)["deliveries"]["delivered"] == 1
        assert len(whole_files(tmp_path / "out")) == 1
