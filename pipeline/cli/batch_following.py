"""Follows a batch to its end, over restarts of the service, and shows it on the way."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

from pipeline.cli.client import Client, Query
from pipeline.cli.failures import CommandError
from pipeline.cli.patience import Patience
from pipeline.cli.refusals import parsed, refusal
from pipeline.cli.screen.batch_live import BatchLive
from pipeline.clock import SystemClock

FINAL = frozenset({"completed", "completed_with_failures", "cancelled"})
"""The states in which a batch has ended."""
_WAIT_S = 30
_PAUSE_S = 0.25
_OWED_EVERY_S = 1.0
_SETTLING_S = 3
"""So long the end waits for the batch's own message to arrive, only to be able to say so."""


async def follow_batch(client: Client, batch: Any, live: BatchLive, patience: Patience) -> Any:
    """Return the batch as it is at its end."""
    live.show(batch)
    owed = asyncio.create_task(_watch_owed(client, batch["function"], live))
    try:
        return await _until_final(client, batch, live, patience)
    finally:
        owed.cancel()
        with suppress(asyncio.CancelledError, CommandError):
            await owed


async def _until_final(client: Client, batch: Any, live: BatchLive, patience: Patience) -> Any:
    clock = SystemClock()
    tag = ""
    while True:
        found, tag = await patience.ask(partial(_look, client, batch["id"], tag))
        if found is not None:
            live.show(found)
            if found["state"] in FINAL:
                return found
        await clock.sleep(_PAUSE_S)


async def _look(client: Client, batch_id: str, tag: str) -> tuple[Any | None, str]:
    """Return the batch once it is not as it was at `tag` any more, or None, and its tag."""
    headers = {"If-None-Match": tag} if tag else {}
    answer = await client.ask("GET", f"/v1/batches/{batch_id}", query={"wait": _WAIT_S} if tag else {}, headers=headers)
    if answer.status == 304:
        return None, tag
    if answer.status != 200:
        raise refusal(answer, client.address)
    return parsed(answer, client.address), answer.headers.get("etag", "")


async def _watch_owed(client: Client, function: str, live: BatchLive) -> None:
    """Tell the view how much waits for the function's destinations; what other functions owe them is among it."""
    clock = SystemClock()
    functions = (await client.get("/v1/functions"))["items"]
    targets = {
        name
        for each in functions
        if each["name"] == function
        for key in ("on_success", "on_failure", "on_batch")
        for name in each.get(key, ())
    }
    while targets:
        with suppress(CommandError):  # the batch is what matters; that the service is away is told by who follows it
            items = (await client.get("/v1/destinations"))["items"]
            live.owed({each["name"]: each["due"] + each["in_flight"] for each in items if each["name"] in targets})
        await clock.sleep(_OWED_EVERY_S)


async def own_deliveries(client: Client, batch_id: str, patience: Patience, *, is_settling: bool) -> list[Any]:
    """Return what the batch itself owes, after a moment in which it may arrive, or, where `is_settling`, once it has
    come to an end.
    """
    path = f"/v1/batches/{batch_id}"
    query: Query = {"until": "settled", "wait": _WAIT_S if is_settling else _SETTLING_S}
    while True:
        await patience.ask(partial(client.get, path, query))
        items, _ = await patience.ask(partial(client.items, f"{path}/deliveries", 500))
        if not is_settling or all(each["state"] not in ("pending", "sending", "retrying") for each in items):
            return items
