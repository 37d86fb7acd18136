"""The results of a batch: into a file that is whole or not there, and its failures, to be told of."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import IO, Any

import orjson

from pipeline.cli.client import Client
from pipeline.cli.failures import CommandError, UnavailableError, UsageError
from pipeline.cli.patience import Patience
from pipeline.cli.screen import words

SHOWN = 5
"""So many failures are told of."""


def check_results(path: Path | None) -> None:
    """Raise UsageError for a file that results could not be written to, before anything is begun."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"--results: {path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"--results: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"--results: nothing can be written in {path.parent}")


async def save_results(client: Client, batch: Any, path: Path, patience: Patience) -> int:
    """Write the results, a line for each job, and return how many there are; CommandError where it cannot be done."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            count = await _write(client, batch["id"], file, patience)
        if count != batch["total"]:
            raise CommandError(f"{count:,} of {words.count(batch['total'], 'result')} came; what came is in {part}")
        os.replace(part, path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
    return count


async def _write(client: Client, batch_id: str, file: IO[bytes], patience: Patience) -> int:
    count = 0
    async with aclosing(_lines(client, batch_id, patience)) as lines:
        async for line in lines:
            file.write(line + b"\n")
            count += 1
    return count


async def failures_of(client: Client, batch: Any, patience: Patience) -> list[Any]:
    """Return the first of the batch's jobs that failed, expired or were cancelled, by index."""
    most = min(SHOWN, batch["failed"] + batch["expired"])
    found: list[Any] = []
    if most:
        async with aclosing(_lines(client, batch["id"], patience)) as lines:
            async for line in lines:
                # The state stands before the result, which may be long.
                if b'"state":"succeeded"' not in line[:1000]:
                    shown = orjson.loads(line)
                    found += [shown] if shown["state"] in ("failed", "expired") else []
                if len(found) == most:
                    break
    return found


async def _lines(client: Client, batch_id: str, patience: Patience) -> AsyncGenerator[bytes, None]:
    """Yield the lines by index; where the service goes away, on from where it was."""
    after: int | None = None
    while True:
        try:
            async with aclosing(client.lines(f"/v1/batches/{batch_id}/results", {"after": after})) as lines:
                async for line in lines:
                    index = orjson.loads(line)["index"]
                    yield line
                    after = index
        except UnavailableError:
            await patience.ask(lambda: client.get(f"/v1/batches/{batch_id}"))
        else:
            return
