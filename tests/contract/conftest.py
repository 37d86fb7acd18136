"""What several of the contracts start with.

The one place that says which database the contract of the store is held against.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme

from pipeline.store import Store
from tests.support.certificates import authority_in
from tests.support.internet import Internet, simulate
from tests.support.names import NameServer, name_server
from tests.support.sender import Sender, sender
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


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority that nobody trusts but who is told to."""
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    """The file with the certificate of the authority."""
    return authority_in(tmp_path, authority)


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    """An Internet all of whose addresses lead to this machine."""
    return simulate(monkeypatch)


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NameServer]:
    """The name server that all look-ups ask."""
    async with name_server(monkeypatch) as server:
        yield server


@pytest.fixture(scope="module")
def process() -> Iterator[Sender]:
    """A process that sends webhooks and does nothing else."""
    with sender() as started:
        yield started
