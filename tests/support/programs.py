"""Programs of other languages, which not every machine has: without one a test is skipped, but in CI it fails."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

NODE = Path(__file__).with_name("node")
_INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def found(program: str) -> str:
    """Return where a program is."""
    path = shutil.which(program)
    if path is None:
        missing(f"there is no {program} to run the documentation or its libraries with")
    return path


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    raise AssertionError(reason)


def node_packages() -> Path:
    """Return the folder where the packages of `tests/support/node` are installed, each as its hash in the lock says.

    It is kept beside the environment of Python, so that npm is asked once for each lock.
    """
    npm = found("npm")
    digest = hashlib.sha256((NODE / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = Path(sys.prefix) / "share" / f"sendoff-tests-node-{digest}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="node-") as made:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(NODE / name, made)
        done = subprocess.run([npm, *_INSTALL], cwd=made, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            missing(f"npm cannot install what tests/support/node/package-lock.json names: {done.stderr.strip()}")
        try:
            Path(made).rename(folder)
        except OSError:  # another process of the tests was as far
            assert folder.exists()
        Path(made).mkdir(exist_ok=True)  # what is cleaned up
    return folder
