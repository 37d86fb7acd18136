"""schemathesis, run over a service as a program of its own: everything that the document allows, and much that it does
not.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("schemathesis")

SETTINGS = ROOT / "tests" / "support" / "schemathesis.toml"


class Fuzzed(NamedTuple):
    """How a run ended."""

    code: int
    said: str
    seen: frozenset[str]
    """Each `METHOD path status` that was answered."""


def fuzz(
    folder: Path, url: str, words: Mapping[str, Sequence[object]], *, examples: int, headers: Mapping[str, str]
) -> Fuzzed:
    """Run schemathesis over the service at `url` with all checks, always in the same way.

    `words` are values that the service knows, by what they are for; `examples` is how many requests of each kind are
    made up for each operation.
    """
    known = [f"[dictionaries.{name}]\nvalues = {json.dumps(values)}" for name, values in words.items()]
    config, seen = folder / "schemathesis.toml", folder / "seen"
    config.write_text("\n".join([SETTINGS.read_text("utf-8"), *known]), "utf-8")
    seen.touch()
    asked = [f"--header={name}: {value}" for name, value in headers.items()]
    more = {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "SEEN": str(seen)}
    ended = subprocess.run(
        [
            *(PROGRAM, "--config-file", config, "run", f"{url}/openapi.json"),
            *("--checks=all", f"--max-examples={examples}", "--no-color", *asked),
        ],
        cwd=folder,
        env=os.environ | more,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Fuzzed(ended.returncode, ended.stdout + ended.stderr, frozenset(seen.read_text().splitlines()))
