"""The parts besides the store, each by itself: the pool, the webhook, signing, making an event."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from samples import CLOCK, DOCUMENT, FUNCTION, IDS, RESULT, SECRET, SOURCE, webhook
from timing import CALLERS, Row, Stopwatch

from destinations.base import Sending
from destinations.signing.keys import parse_secret
from destinations.signing.signatures import Signer
from pipeline.config.settings import FunctionsSettings
from pipeline.functions import wire
from pipeline.functions.catalog import Catalog
from pipeline.functions.pool import Pool
from pipeline.model import Call, JobState, Message, MessageType, RunState, Verdict

REQUEST_HEADERS = [
    ("Host", "127.0.0.1:8888"),
    ("User-Agent", "curl/8.0"),
    ("Accept", "*/*"),
    ("Content-Type", "application/json"),
    ("Content-Length", str(len(DOCUMENT))),
]


async def of_pool(folder: Path, stopwatch: Stopwatch) -> list[Row]:
    """Measure a run of a function that does next to nothing, in a process that is warm."""
    (folder / f"{FUNCTION}.py").write_text(SOURCE)
    functions = FunctionsSettings(directory=folder, settings=MappingProxyType({}))
    pool = Pool(catalog=Catalog.load(functions), settings=functions, result_limit=2**20, clock=CLOCK)
    await pool.open()

    async def run() -> None:
        call = Call(id=IDS.new(), function=FUNCTION, event=EVENT, timeout_s=60.0, is_background=True)
        if (outcome := await pool.run(call)).state is not RunState.SUCCEEDED:
            raise RuntimeError(f"the run came to {outcome}")

    try:
        alone, together = await stopwatch.rate(run, 1), await stopwatch.rate(run, CALLERS)
    finally:
        await pool.close()
    processes = os.cpu_count() or 1
    return [
        Row(name="pool: a warm run, 1 caller", per_second=alone, note="one process"),
        Row(name=f"pool: a warm run, {CALLERS} callers", per_second=together, note=f"{processes} processes"),
    ]


async def of_webhook(_: Path, stopwatch: Stopwatch) -> list[Row]:
    """Measure a sending, with its body and signature, to a receiver in a process of its own."""
    async with sink() as url:
        hook = webhook(url)
        await hook.open()
        message = _message()

        async def send() -> None:
            sending = Sending(
                delivery_id=IDS.new(),
                destination="hook",
                recipient="",
                attempt=1,
                max_attempts=12,
                message=message,
                base_url="http://127.0.0.1:8888",
                started_at=CLOCK.now(),
            )
            if (outcome := await hook.send(sending)).verdict is not Verdict.DELIVERED:
                raise RuntimeError(f"the sending came to {outcome}")

        try:
            alone, together = await stopwatch.rate(send, 1), await stopwatch.rate(send, CALLERS)
        finally:
            await hook.close()
    return [
        Row(name="webhook: a sending, 1 caller", per_second=alone, note="one kept connection"),
        Row(name=f"webhook: a sending, {CALLERS} callers", per_second=together, note=f"{CALLERS} kept connections"),
    ]


@asynccontextmanager
async def sink() -> AsyncIterator[str]:
    """Run the receiver; give its URL."""
    program = Path(__file__).with_name("sink.py")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, str(program), stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}/hook"
    finally:
        process.stdin.close()
        await process.wait()


async def of_pure(_: Path, stopwatch: Stopwatch) -> list[Row]:
    """Measure what needs neither network nor disk."""
    signer = Signer([parse_secret(SECRET)])
    return [
        Row(
            name="signing",
            per_second=stopwatch.rate_alone(lambda: signer.sign("msg_01", 1_700_000_000, DOCUMENT)),
            note=f"{len(DOCUMENT)} bytes, one secret",
        ),
        Row(
            name="event_json",
            per_second=stopwatch.rate_alone(_event),
            note=f"{len(DOCUMENT)} bytes as the body",
        ),
    ]


def _event() -> bytes:
    return wire.event_json(
        method="POST",
        path=f"/functions/{FUNCTION}",
        raw_query="",
        raw_url=f"http://127.0.0.1:8888/functions/{FUNCTION}",
        headers=REQUEST_HEADERS,
        body=DOCUMENT,
        request_id="01a208eb-5dfe-768b-af9b-007bc326b14f",
        client_ip="127.0.0.1",
        body_limit=2**20,
    )


EVENT = _event()


def _message() -> Message:
    now = CLOCK.now()
    return Message(
        id=IDS.message_id(),
        type=MessageType.JOB_SUCCEEDED,
        job_id=IDS.new(),
        function=FUNCTION,
        state=JobState.SUCCEEDED,
        reason=None,
        attempt=1,
        created_at=now,
        started_at=now,
        ended_at=now,
        tags=(),
        batch_id=None,
        parent_id=None,
        depth=0,
        error=None,
        result=RESULT,
    )
