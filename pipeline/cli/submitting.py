"""Submits a batch: sends its items, as often as it takes, until the service has said that it has them all."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from pipeline.cli.client import Client
from pipeline.cli.documents import Upload
from pipeline.cli.patience import Patience
from pipeline.cli.refusals import parsed, refusal


class Submitted(NamedTuple):
    """What the service answered: the batch, what it rejected by index, and whether the batch was there before."""

    batch: Any
    rejected: list[Any]
    is_repeated: bool


async def submit(
    client: Client,
    function: str,
    upload: Upload,
    headers: Sequence[tuple[str, str]],
    patience: Patience,
    on_sent: Callable[[], None],
) -> Submitted:
    """Send the items under the key that is in `headers`; with it nothing is made twice, however often it is sent."""
    return await patience.ask(partial(_send, client, function, upload, headers, on_sent))


async def _send(
    client: Client, function: str, upload: Upload, headers: Sequence[tuple[str, str]], on_sent: Callable[[], None]
) -> Submitted:
    answer = await client.ask(
        "POST",
        "/v1/batches",
        query={"function": function},
        headers=[("Content-Type", upload.content_type), *headers],
        body=_stream(upload.pieces(), on_sent),
        seconds=None,
    )
    if answer.status != 202:
        raise refusal(answer, client.address)
    batch = parsed(answer, client.address)
    rejected = batch.pop("rejected", [])
    # What was sent a second time may be known from the first.
    is_repeated = answer.headers.get("idempotency-replayed") == "true" and upload.times == 1
    return Submitted(batch, rejected, is_repeated)


async def _stream(pieces: Iterator[bytes], on_sent: Callable[[], None]) -> AsyncIterator[bytes]:
    # Files are read in a thread, so that a slow disk does not stop the bar.
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece
        on_sent()
