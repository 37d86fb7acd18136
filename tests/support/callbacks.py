"""Callbacks for tests: their destination, the URL that a caller names, and what follows from it."""

from typing import Any

from destinations.callback.settings import Settings
from pipeline.config.settings import DestinationSettings
from tests.support.receiver import Receiver
from tests.support.service import Answer, Service, holds


def callback(*hosts: str, **options: Any) -> DestinationSettings:
    """Return a destination of callbacks to these hosts, which are this machine alone where none is named."""
    return DestinationSettings(
        name="", kind="callback", options=Settings(allow_hosts=hosts or ("127.0.0.1",), **options)
    )


def to(url: str, **headers: str) -> dict[str, str]:
    """Return the headers of a caller who names this URL."""
    return {"X-Callback-Url": url} | headers


async def came(receiver: Receiver, count: int = 1) -> None:
    """Wait until so many requests have come."""
    await holds(lambda: len(receiver.requests) >= count)


async def deliveries(service: Service, job_id: str) -> list[Any]:
    """Return the deliveries of a job as the API shows them."""
    return list((await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"])


async def refused(service: Service, url: str, path: str = "/functions/quick-background", **headers: str) -> Answer:
    """See a URL refused: nothing of it but its host is told, and nothing was made."""
    answered = await service.post(path, headers=to(url, **headers))
    assert answered.status == 400, answered
    assert answered.json["errors"][0]["header"] == "X-Callback-Url"
    assert b"hunter2" not in answered.body
    assert (await service.get("/v1/jobs")).json["items"] == []
    assert (await service.get("/v1/batches")).json["items"] == []
    return answered
