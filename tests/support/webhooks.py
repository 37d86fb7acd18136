"""A webhook that a test opens, what it sends, and names that lead where the test says."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from destinations import egress
from destinations.base import Sending
from destinations.dial.exchange import Exchange
from destinations.webhook import destination as webhook
from destinations.webhook import settings as webhook_settings
from pipeline.model import JobState, Message, MessageType, Outcome, Result
from tests.support.receiver import Receiver, Reply, receiving

JOB = "01960000-0000-7000-8000-00000000002a"
SHORT_S = 0.3
"""A timeout that a broken receiver runs into."""


def sending(**changes: Any) -> Sending:
    now = datetime.now(UTC)  # the independent verifier holds signatures against the machine's clock
    message = Message(
        id="msg_01960000-0000-7000-8000-00000000002b",
        type=MessageType.JOB_SUCCEEDED,
        job_id=JOB,
        function="extract-background",
        state=JobState.SUCCEEDED,
        reason=None,
        attempt=1,
        created_at=now,
        started_at=now,
        ended_at=now + timedelta(seconds=1.5),
        tags=(),
        batch_id=None,
        parent_id=None,
        depth=0,
        error=None,
        result=Result(status=201, headers=(("content-type", "application/json"),), body=b'{"words": 12}'),
    )
    return Sending(
        delivery_id="01960000-0000-7000-8000-00000000002c",
        destination="archive",
        recipient="",
        attempt=3,
        max_attempts=12,
        message=replace(message, **changes),
        base_url="https://sendoff.example",
        started_at=now,
    )


@asynccontextmanager
async def opened(url: str, trust: egress.Trust = egress.OPERATOR, **settings: Any) -> AsyncIterator[webhook.Webhook]:
    destination = webhook.Webhook("archive", webhook_settings.Settings(url=url, **settings), trust=trust)
    await destination.open()
    try:
        yield destination
    finally:
        await destination.close()


def exchange_of(destination: webhook.Webhook) -> Exchange:
    """Return the exchange of an open webhook, which keeps its connections."""
    assert destination._exchange is not None
    return destination._exchange


async def sent(url: str, *, trust: egress.Trust = egress.OPERATOR, **settings: Any) -> Outcome:
    async with opened(url, trust, **settings) as destination:
        return await destination.send(sending())


@asynccontextmanager
async def answered_by(reply: bytes | Reply, **settings: float) -> AsyncIterator[tuple[Receiver, Outcome]]:
    """Have a webhook answered so; it ends long before pytest's limit."""
    async with receiving(reply) as receiver, opened(receiver.url, **settings) as destination, asyncio.timeout(20):
        yield receiver, await destination.send(sending())


class FakeResolver(AbstractResolver):
    """Names that lead where the test says."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if not self.addresses:
            raise OSError(None, "Domain name not found")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass
