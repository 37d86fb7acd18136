"""What several of the tests over a whole service start with."""

from collections.abc import AsyncIterator

import pytest

from tests.support.receiver import OK, Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes everything."""
    async with receiving(OK) as started:
        yield started
