"""The interpreter that runs functions: whether it is one, and new enough."""

import subprocess
from pathlib import Path

OLDEST = (3, 9)
_LIMIT_S = 10.0
_QUESTION = "import sys; print(*sys.version_info[:2])"


def fault_of(python: Path) -> str | None:
    """Return what is wrong with an interpreter, or None; asks it for its version, which takes a moment."""
    oldest = ".".join(map(str, OLDEST))
    try:
        asked = subprocess.run(  # noqa: S603 - the operator names it, in the configuration
            [python, "-I", "-S", "-c", _QUESTION], capture_output=True, text=True, timeout=_LIMIT_S, check=True
        )
        version = tuple(map(int, asked.stdout.split()))
    except OSError as error:
        return f"expected a Python interpreter, got {python}: {error.strerror}"
    except (subprocess.SubprocessError, ValueError):
        return f"expected a Python interpreter, got {python}, which does not say its version"
    if version < OLDEST:
        return f"expected Python {oldest} or newer, got {python}, which is {'.'.join(map(str, version))}"
    return None
