"""Replays of a destination for tests: a service that owes it much, the asking, and the end."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pipeline.config.settings import RetrySpec
from pipeline.model import Delivery, DeliveryState
from tests.support.receiver import Receiver, receiving
from tests.support.service import QUICK, Answer, Service, eventually, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK}
LONG_AGO = "2026-01-01T00:00:00Z"
NEVER = RetrySpec(waits=())


async def begin(service: Service, name: str = "hook", **document: Any) -> Answer:
    """Ask for a replay of all that there ever was."""
    return await service.post(f"/v1/destinations/{name}/replay", json={"since": LONG_AGO} | document)


async def replayed(service: Service, name: str = "hook", **document: Any) -> Any:
    """Replay, turn the clock on until it has ended, and return the replay."""
    began = await begin(service, name, **document)
    assert began.status == 202, began
    assert began.headers["Location"] == f"/v1/replays/{began.json['id']}"
    return await at_end(service, began.json["id"])


async def at_end(service: Service, replay_id: str) -> Any:
    """Turn the clock on until a replay has ended, and return it."""

    async def look() -> Any:
        found = (await service.get(f"/v1/replays/{replay_id}")).json
        await service.clock.advance(0.2)
        return found if found["ended_at"] else None

    return await eventually(look)


async def deliveries(service: Service, state: str, count: int) -> Sequence[Delivery]:
    """Wait until so many deliveries stand in a state."""

    async def look() -> Sequence[Delivery] | None:
        found = await service.app.store.list_deliveries(before=None, most=500, state=DeliveryState(state))
        return found if len(found) == count else None

    return await eventually(look)


async def jobs(service: Service, count: int) -> list[str]:
    """Run so many jobs to their end."""
    started = [await service.start_job("quick-background") for _ in range(count)]
    for job_id in started:
        await service.until(job_id, "succeeded")
    return started


def to_hook(url: str, **options: Any) -> dict[str, Any]:
    """Return a configuration whose function sends to one webhook."""
    hook = webhook(url, retry=options.pop("retry", NEVER), **options)
    return {"functions": {"quick-background": sends_to("hook")}, "destinations": {"hook": hook}}


@asynccontextmanager
async def hooked(folder: Path, *replies: bytes, retry: RetrySpec = NEVER) -> AsyncIterator[tuple[Receiver, Service]]:
    """Run a service whose function sends to one webhook, and its receiver."""
    async with receiving(*replies) as receiver, serving(folder, FILES, **to_hook(receiver.url, retry=retry)) as service:
        yield receiver, service
