"""The `sendoff` command, run to its end in a folder and an environment of its own."""

import subprocess
import sys
from pathlib import Path

SENDOFF = Path(sys.executable).parent / "sendoff"


def sendoff(folder: Path, *arguments: str, said: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command; its environment has `environ` alone, its stdin `said`."""
    return subprocess.run(
        [SENDOFF, *arguments], cwd=folder, env=environ, input=said, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
