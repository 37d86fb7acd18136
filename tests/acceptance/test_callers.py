"""A service with keys, as its operator runs it: made by the command, bound to any address, taken away by a reload."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import eventually
from tests.support.serving import SENDOFF, Service

pytestmark = pytest.mark.acceptance

FUNCTIONS = {"f-background.py": "def handler(event, context):\n    print(event)\n    return event['headers']\n"}


def new_key(*arguments: str) -> tuple[str, str]:
    """Return a key and its entry for the YAML."""
    made = subprocess.run([SENDOFF, "key", "new", *arguments], capture_output=True, text=True, check=True).stdout
    key, _, entry = made.partition("\n\n")
    return key, entry


def test_a_key_lets_its_owner_in_and_stays_its_owner_s(tmp_path: Path) -> None:
    key, entry = new_key("--name", "ci")
    service = Service(tmp_path, FUNCTIONS, f"service: {{host: 0.0.0.0}}\n{entry}")
    with service:
        headers = {"Authorization": f"Bearer {key}"}
        assert service.request("POST", "/functions/f-background", b"x").status == 401
        accepted = service.request("POST", "/functions/f-background", b"x", headers)
        assert accepted.status == 202
        path = accepted.headers["location"]
        job = service.request("GET", f"{path}?wait=20", headers=headers).json()
        assert job["state"] == "succeeded"
        shown = service.request("GET", f"{path}/result", headers=headers).json()
        assert "authorization" not in {name.lower() for name in shown}
        lines = service.request("GET", f"{path}/logs", headers=headers).body
        assert key.encode() not in lines
        assert key not in service.log
        # A reload cannot open to anybody what listens on every address.
        (tmp_path / "sendoff.yaml").write_text("service: {host: 0.0.0.0}\n")
        service.send(signal.SIGHUP)
        eventually(lambda: "config.refused" in service.log, what="the refusal")
        assert service.get("/v1/jobs").status == 401
        other, its_entry = new_key("--name", "ci", "--scopes", "invoke", "read")
        (tmp_path / "sendoff.yaml").write_text(f"service: {{host: 0.0.0.0}}\n{its_entry}")
        service.send(signal.SIGHUP)
        eventually(lambda: "config.reloaded" in service.log, what="the reload")
        assert service.request("GET", path, headers=headers).status == 401
        assert service.request("GET", path, headers={"Authorization": f"Bearer {other}"}).status == 200
    for folder, _, files in os.walk(tmp_path):
        for name in files:
            assert key.encode() not in Path(folder, name).read_bytes(), name


def test_check_names_the_keys_and_warns_of_what_they_cannot_do(tmp_path: Path) -> None:
    _, entry = new_key("--name", "ci", "--functions", "g-background", "--scopes", "invoke,read")
    _, again = new_key()
    hook = "destinations: {hook: {type: webhook, url: 'https://hooks.example'}}"
    same = entry.partition("\n")[2]
    service = Service(tmp_path, FUNCTIONS, f"{entry}{same}{again.partition(chr(10))[2]}{hook}\n")
    checked = subprocess.run([SENDOFF, "check"], cwd=service.folder, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "  keys          ci (invoke, read), ci (invoke, read), caller (invoke)\n" in checked.stdout
    warnings = [line for line in checked.stdout.splitlines() if line.startswith("warning: ")]
    assert [line.partition(": keys")[2] or line.partition(": destinations")[2] for line in warnings] == [
        "[0].functions[0]: there is no such function in the folder (nearest: f-background)",
        "[1].sha256: is that of keys[0], too; only the last entry of a key counts",
        "[1].functions[0]: there is no such function in the folder (nearest: f-background)",
        ".hook: results too large for a message are links, which hook cannot follow without service.link_keys",
    ]
