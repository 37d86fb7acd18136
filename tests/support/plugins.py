"""Packages that offer destinations, as an installer leaves them: modules, and a `.dist-info` with entry points."""

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

GROUP = "sendoff.destinations"

SCHEMA = """
    SCHEMA = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "place": {"description": "Where to.", "type": "string", "minLength": 1},
            "token": {"description": "Who it is.", "type": "string", "x-secret": True},
            "timeout": {"description": "How long.", "$ref": "#/$defs/duration", "default": "5s"},
            "concurrency": {"description": "How many.", "type": "integer", "minimum": 1, "default": 2},
            "retry": {"description": "When.", "$ref": "#/$defs/retry", "default": "default"},
        },
        "required": ["place"],
    }
    """

KIND = (
    """
    from dataclasses import dataclass, field
    from destinations.base import Kind
    from pipeline.config.secret import Secret
    from pipeline.config.settings import RetrySpec
    from pipeline.model import Outcome, Verdict

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        place: str
        token: Secret | None = None
        timeout: float = 5.0
        concurrency: int = 2
        retry: RetrySpec = field(default_factory=lambda: RetrySpec(name="default"))

    class Box:
        def __init__(self, name, settings):
            self.settings = settings
        async def open(self): pass
        async def close(self): pass
        def recipients(self): return ("",)
        async def send(self, sending): return Outcome(verdict=Verdict.DELIVERED, remote_address=self.settings.place)
    """
    + SCHEMA
    + """
    KIND = Kind(kind="box", schema=SCHEMA, settings=lambda options: Settings(**options), make=Box)
    """
)
"""A module `box` whose KIND is a good one."""


def installed(
    folder: Path, package: str, points: Mapping[str, str], modules: Mapping[str, str], version: str = "1.0"
) -> Path:
    """Write a package with entry points of the group into `folder`, which is to be on the path; return `folder`."""
    written = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    written.mkdir(parents=True)
    (written / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [f"[{GROUP}]", *(f"{name} = {value}" for name, value in points.items())]
    (written / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
    return folder


def pip_installed(project: Path, folder: Path) -> Path:
    """Have pip install a project into `folder`, without a network; return `folder`. The project is left as it is."""
    copy = folder.with_name(f"{folder.name}-built")
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("data", "build", "*.egg-info", "__pycache__"))
    command = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index")
    ended = subprocess.run(
        [*command, "--no-deps", "--no-build-isolation", "--target", folder, copy],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder
