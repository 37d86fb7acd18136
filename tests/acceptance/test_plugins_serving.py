"""Plug-ins in a real service: shown as the built-in kinds are, refused with a reason, harmless where they misbehave."""

import json
import os
import signal
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.hooks import SECRET, receiving
from tests.support.plugins import KIND, installed
from tests.support.processes import eventually
from tests.support.serving import CALM, SENDOFF, Ended, Service

pytestmark = pytest.mark.acceptance

GOOD = "def handler(event, context):\n    return 'done'\n"
SENDS = "async def send(self, sending): return Outcome(verdict=Verdict.DELIVERED, remote_address=self.settings.place)"
MISBEHAVING: Mapping[str, tuple[str, str]] = {
    "raises": ("async def send(self, sending): return 1 / 0", "the destination raised ZeroDivisionError"),
    "exits": ("async def send(self, sending): raise SystemExit(3)", "the destination raised BrokenOffError"),
    "cancels": (
        "async def send(self, sending): import asyncio; raise asyncio.CancelledError",
        "the destination raised BrokenOffError",
    ),
    "wrong": ("async def send(self, sending): return 'ok'", "wrong 1.0 answered wrongly: expected an Outcome, got str"),
    "blocks": ("async def send(self, sending): import time; time.sleep(3600)", ""),
    "deaf": (
        """async def send(self, sending):
            import asyncio
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass""",
        "",
    ),
}
"""What each does when it sends, and what is said of that; nothing where it never ends."""


def sendoff(folder: Path, command: str) -> Ended:
    ended = subprocess.run(
        [SENDOFF, command], cwd=folder, capture_output=True, text=True, timeout=60, check=False, env=os.environ
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return Ended(ended.returncode, ended.stdout + ended.stderr)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that every process looks for packages in."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def test_a_plug_in_is_shown_as_the_built_in_kinds_are(tmp_path: Path, site: Path) -> None:
    installed(site, "box-destination", {"box": "box:KIND"}, {"box": KIND}, "0.3")
    config = """
        functions: {settings: {f-background: {on_success: [attic]}}}
        destinations: {attic: {type: box, place: under the roof}}
        """
    with Service(tmp_path, {"f-background.py": GOOD}, config) as service:
        checked = sendoff(tmp_path, "check")
        assert checked.code == 0, checked.said
        assert "  destinations  attic (box)\n  plug-ins      box (box-destination 0.3)\n" in checked.said
        (found,) = [line for line in sendoff(tmp_path, "doctor").said.splitlines() if "plug-ins" in line]
        assert "box (box-destination 0.3)" in found
        job = service.submit("f-background")
        assert service.settled(job)["deliveries"]["delivered"] == 1
        (delivery,) = service.deliveries(job)
        assert (delivery["kind"], delivery["attempt"]) == ("box", 1)
        (shown,) = service.get("/v1/destinations").json()["items"]
        assert (shown["name"], shown["kind"], shown["state"]) == ("attic", "box", "active")
        tested = service.request("POST", "/v1/destinations/attic/test").json()
        assert (tested["kind"], tested["tries"][0]["remote_address"]) == ("box", "under the roof")
        assert service.stop() == 0


def test_one_that_cannot_be_used_stops_the_service_where_it_is_configured(tmp_path: Path, site: Path) -> None:
    installed(site, "box-destination", {"box": "box:KIND"}, {"box": "import nowhere_at_all"})
    sentence = (
        "the plug-in box-destination 1.0, entry point box = box:KIND: cannot be imported: "
        "ModuleNotFoundError: No module named 'nowhere_at_all'"
    )
    service = Service(tmp_path, {"f.py": CALM}, "destinations: {attic: {type: box, place: here}}\n")
    place = "sendoff.yaml:1:30: destinations.attic.type: "
    for ended in (sendoff(tmp_path, "check"), service.run()):
        assert (ended.code, ended.said) == (
            78,
            f"{place}expected a kind of destination that can be used, got box: {sentence}\n",
        )
    examined = sendoff(tmp_path, "doctor")
    assert examined.code == 78
    assert examined.said.count(sentence) == 2
    (tmp_path / "sendoff.yaml").write_text("service: {}\n")
    checked = sendoff(tmp_path, "check")
    assert (checked.code, f"warning: {sentence}\n" in checked.said) == (0, True)
    with service:
        assert f"service.warning detail={json.dumps(sentence)}" in service.log


def test_one_that_cannot_be_made_or_opened_is_told_where_it_is_configured(tmp_path: Path, site: Path) -> None:
    in_init = "self.settings = settings"
    for part, old, new, commands in (
        ("made", in_init, f"{in_init}; 1 / 0", ("check", "serve")),
        ("opened", "open(self): pass", "open(self): 1 / 0", ("serve",)),
    ):
        source = KIND.replace(old, new)
        assert source != KIND
        folder = tmp_path / part
        installed(folder / "site", "box-destination", {"box": "box:KIND"}, {"box": source})
        service = Service(folder, {"f.py": CALM}, "destinations: {attic: {type: box, place: here}}\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(folder / "site"))
            for command in commands:
                ended = service.run() if command == "serve" else sendoff(folder, command)
                assert ended.code == 78, ended.said
                assert f"sendoff.yaml:1:23: destinations.attic: cannot be {part}: " in ended.said
                assert "ZeroDivisionError: division by zero" in ended.said


SAMPLED = KIND.replace("    concurrency: int = 2", '    concurrency: int = 2\n        rate: str = "44100"')
"""Its settings have `rate` for something that the service does not mean."""


def test_settings_that_the_service_would_read_wrongly_are_refused_also_by_a_reload(tmp_path: Path, site: Path) -> None:
    assert SAMPLED != KIND
    installed(site, "box-destination", {"box": "box:KIND"}, {"box": SAMPLED}, "0.3")
    config = "destinations: {attic: {type: box, place: here}}\n"
    said = (
        "sendoff.yaml:1:30: destinations.attic.type: expected settings whose rate is attempts in a second, as "
        "#/$defs/rate makes them, or None, got str from box-destination 0.3\n"
    )
    service = Service(tmp_path, {"f.py": CALM}, config)
    for ended in (sendoff(tmp_path, "check"), service.run()):
        assert (ended.code, ended.said) == (78, said)
    (tmp_path / "sendoff.yaml").write_text("service: {}\n")
    with service:
        (tmp_path / "sendoff.yaml").write_text(config)
        service.send(signal.SIGHUP)
        eventually(lambda: "config.refused" in service.log, what="the reload is refused")
        assert said.strip().partition(": ")[2] in service.log
        assert service.post("f").body == b"calm"
        assert service.get("/v1/destinations").json()["items"] == []
        assert service.stop() == 0


def test_what_misbehaves_harms_nobody_else(tmp_path: Path, site: Path) -> None:
    for name, (send, _) in MISBEHAVING.items():
        source = KIND.replace(SENDS, send).replace('kind="box"', f'kind="{name}"')
        installed(site, name, {name: f"{name}_box:KIND"}, {f"{name}_box": textwrap.dedent(source)})
    boxes = "\n".join(f"  {name}: {{type: {name}, place: here, retry: []}}" for name in MISBEHAVING)
    with receiving() as receiver:
        config = (
            f"functions: {{settings: {{f-background: {{on_success: [{', '.join(MISBEHAVING)}, hook]}}}}}}\n"
            f"service: {{drain_grace: 1s}}\ndestinations:\n{boxes}\n"
            f'  hook: {{type: webhook, url: "{receiver.url("/hook")}", secrets: ["{SECRET}"]}}\n'
        )
        with Service(tmp_path, {"f-background.py": GOOD}, config) as service:
            jobs = [service.submit("f-background") for _ in range(20)]

            def states(job: str) -> Mapping[str, str]:
                return {each["destination"]: each["state"] for each in service.items(f"/v1/jobs/{job}/deliveries")}

            for job in jobs:
                eventually(lambda job=job: states(job).get("hook") == "delivered", what="the webhook has its message")
            for name, (_, said) in MISBEHAVING.items():
                if said:
                    eventually(lambda name=name: states(jobs[0])[name] == "dead", what=f"{name} is dead")
                    (found,) = [each for each in service.deliveries(jobs[0]) if each["destination"] == name]
                    assert found["reason"] == "aborted"
                    assert found["attempts"][0]["message"] == said
                else:
                    assert states(jobs[0])[name] in ("pending", "sending")
            assert service.stop(60.0) == 0
        assert service.leftovers() == []
        for name in ("blocks", "deaf"):
            left = f"the destination {name} of the plug-in {name} 1.0 does not end; its thread is left behind"
            assert left in service.log
