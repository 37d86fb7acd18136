"""Batches for tests: a function that shows what it was called with, uploads of lines, ends, and results."""

import json
from typing import Any

from pipeline.config.settings import FunctionSettings, RetrySpec
from tests.support import shapes
from tests.support.service import QUICK, WAITING, Answer, Service, eventually

SHOWS = """
    import base64, os
    def handler(event, context):
        body = event["body"]
        if event["isBase64Encoded"]:
            body = "base64:" + body
        if body == "fail" and not os.path.exists("works"):
            raise ValueError("no words")
        if body == "500":
            return {"statusCode": 503, "body": "later"}
        return {"body": body, "type": event["headers"].get("content-type"), "batch": context.batch_id,
                "extra": event["headers"].get("x-extra"), "path": event["path"]}
    """
FILES = {"shows-background.py": SHOWS, "quick.py": QUICK, "waiting-background.py": WAITING}
ONCE = {"shows-background": FunctionSettings(retry=RetrySpec(waits=()))}
URL = "/v1/batches?function=shows-background"
BATCHES = "/v1/batches?function=quick-background"
"""Where batches come in for `QUICK` under the name that most tests give it."""
NDJSON = {"Content-Type": "application/x-ndjson"}


def lines(*items: Any) -> bytes:
    """Return items as an upload of lines."""
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


async def post(service: Service, *items: Any, url: str = URL, **headers: str) -> Answer:
    """Upload items as lines; in the names of headers `_` stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.post(url, data=lines(*items), headers=NDJSON | named)


async def ended(service: Service, batch_id: str) -> Any:
    """Wait until a batch has ended, and return it."""

    async def look() -> Any:
        batch = (await service.get(f"/v1/batches/{batch_id}")).json
        return batch if batch["state"] not in ("receiving", "running") else None

    return await eventually(look)


async def results(service: Service, batch_id: str, query: str = "") -> list[Any]:
    """Return the lines of a batch's results, each of which has the shape that is promised."""
    answer = await service.get(f"/v1/batches/{batch_id}/results{query}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    found = [json.loads(line) for line in answer.body.splitlines()]
    for line in found:
        shapes.check("batch-line", line)
    return found
