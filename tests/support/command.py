"""The `sendoff` command, run to its end in a folder and an environment of its own."""

import subprocess
import sys
from pathlib import Path

SENDOFF = Path(sys.executable).parent / "sendoff"


def sendoff(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command; its environment has `environ` alone."""
    return subprocess.run(
        [SENDOFF, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
