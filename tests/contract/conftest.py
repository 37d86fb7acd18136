"""The one place that says which database the contract of the store is held against."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.store import Store
from tests.support.stores import Rig, opened


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A fresh database with an open store."""
    async with opened(tmp_path / "sendoff.db") as rig:
        yield rig


@pytest.fixture
def store(rig: Rig) -> Store:
    """The store of the rig."""
    return rig.store
